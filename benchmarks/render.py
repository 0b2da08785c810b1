"""Rendering: images a second against the script one would write first, at equal quality, in the same run.

    python benchmarks/render.py [--quick]

The first script keeps Blender's defaults: 64 samples, the denoiser on ACCURATE/HIGH, the whole frame path traced with
the surroundings in it, no persistent data, one render call for each view that writes a PNG and an EXR with the passes.
It keeps its scene and only moves the meshes; rebuilding the scene for every picture is timed too. Both are compared
with the first script's scene at 1024 samples without denoiser, as 8-bit sRGB, and get the same background, camera,
light and materials. Higher is better for images/s and PSNR. Seconds are those of the process's CPU time, the whole
process on one core (the denoiser's idle threads would spin, and count): a busy machine does not change them much.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np

from garments.garment import Fabric, Garment
from synth.assets import resolve
from synth.blender import passes, scene, session
from synth.blender.render import ClipRenderer
from synth.body import lbs
from synth.body.model import load_named
from synth.config import SceneConfig
from synth.geometry.triangles import vertex_normals
from synth.rng import generator
from synth.scene.backgrounds import brightness
from synth.scene.cameras import cameras, extents
from synth.scene.sample import SceneFiles, sample_cloth, sample_scene, studio_lights
from synth.spec import BackgroundSpec, BodySpec, ClipSpec, FileRef, GarmentSpec, MotionSpec, RenderSpec, SimulationSpec
from synth.types import BodyModel, DressedGarment, Motion, SimulatedClip

NAIVE_SAMPLES = 64
CANDIDATES = (8, 12, 16, 20, 24, 26, 28, 30, 32, 36, 40, 48, 64)
NOTHING = FileRef(path="asset:none", sha256="0" * 64)
CLOTHES = {"trousers": ((1, 2, 3, 5, 6), 0.010), "shirt": ((1, 4, 7, 10, 14, 15, 17, 18), 0.016)}


def subdivided(vertices, faces):
    """Midpoint subdivision: four faces for each, over any leading axes of the vertices."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, back = np.unique(edges, axis=0, return_inverse=True)
    middle = back.reshape(3, -1).T + vertices.shape[-2]
    a, b, c = faces.T
    ab, bc, ca = middle.T
    split = np.concatenate([np.stack(f, axis=1) for f in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return np.concatenate([vertices, vertices[..., unique, :].mean(axis=-2)], axis=-2), split


def walk(body: BodyModel, frames: int):
    """A walk on the spot that drifts forward."""
    t = np.arange(frames) / 30
    swing, pose = np.sin(2 * np.pi * t), np.zeros((frames, 23, 3))
    pose[:, 15, 2], pose[:, 16, 2] = -1.0, 1.0
    pose[:, 0, 0], pose[:, 1, 0] = -0.5 * swing, 0.5 * swing
    pose[:, 3, 0], pose[:, 4, 0] = 0.35 * (1 - np.cos(2 * np.pi * t)), 0.35 * (1 + np.cos(2 * np.pi * t))
    motion = Motion(
        fps=30.0,
        global_orient=np.tile([np.pi / 2, 0.0, 0.0], (frames, 1)),
        body_pose=pose,
        transl=np.stack([0 * t, -t, 0 * t + 1.1], axis=1),
        source="benchmark",
        source_frames=np.arange(frames, dtype=float),
    )
    return motion, *lbs.posed(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)


def shell(body: BodyModel, vertices, name: str, layer: int):
    """Skin-tight cloth: the body's faces of some parts, pushed out."""
    parts, gap = CLOTHES[name]
    faces = body.faces[np.isin(body.face_parts, parts)]
    used, faces = np.unique(faces, return_inverse=True)
    faces = np.insert(faces.reshape(-1, 3), 3, -1, axis=1)
    moved = np.stack([(v + gap * vertex_normals(v, body.faces))[used] for v in vertices])
    rest = body.v_template[used]
    garment = Garment(
        name=name,
        layer=layer,
        covers="upper",
        vertices=rest,
        faces=faces,
        uv=np.stack([0.2 * np.arctan2(rest[:, 0], rest[:, 2]), rest[:, 1]], axis=1)[np.maximum(faces, 0)],
        pins=np.zeros(len(used)),
        goals=np.zeros(len(used)),
        loose=False,
        fabric=Fabric(name="cotton", density=0.2, stretch=1.0, shear=1.0, bend=1.0, friction=1.0),
        source="benchmark",
        licence="CC0-1.0",
    )
    worn = DressedGarment(garment=garment, rest_vertices=rest, lbs_weights=body.lbs_weights[used], skinned_world=moved)
    return worn, moved


def make_clip(frames: int, finer: int = 0) -> tuple[BodyModel, SimulatedClip]:
    """A dressed, walking body; `finer` times subdivided."""
    body = load_named("free", "neutral")
    motion, vertices, joints = walk(body, frames)
    for _ in range(finer):
        v_template, faces = subdivided(body.v_template, body.faces)
        vertices, _ = subdivided(vertices, body.faces)
        weights, _ = subdivided(body.lbs_weights, body.faces)
        body = dataclasses.replace(
            body,
            v_template=v_template,
            faces=faces,
            lbs_weights=weights,
            uv=np.zeros((len(faces), 3, 2)),
            shapedirs=np.zeros((len(v_template), 3, 10)),
            posedirs=np.zeros((len(v_template), 3, 207), dtype=np.float32),
            J_regressor=np.zeros((24, len(v_template))),
            keypoint_regressors={},
        )
    worn = [shell(body, vertices, name, layer) for layer, name in enumerate(CLOTHES)]
    return body, SimulatedClip(
        betas=np.zeros(10),
        motion=motion,
        body_vertices_world=vertices,
        joints_world=joints,
        garments=tuple(w for w, _ in worn),
        garment_vertices_world={w.garment.name: moved for w, moved in worn},
        quality={},
    )


def make_spec(clip: SimulatedClip, samples: int, views: int, seed: int = 3) -> ClipSpec:
    """A scene drawn at random; its background is the spherical picture at its true size, which Blender can show too."""
    rng = generator(seed, "benchmark")
    extent, travel = extents(clip.body_vertices_world, clip.joints_world[:, 0])
    sampled = sample_scene(
        rng, config=SceneConfig(views=views), files=SceneFiles(hdris=studio_lights()), extent=extent, travel=travel
    )
    behind = BackgroundSpec(kind="environment", seed=0, scale=1.0, rotation=0.0)
    return ClipSpec(
        seed=seed,
        index=0,
        motion=MotionSpec(
            kind="original", sources=(NOTHING,), names=("walk",), frames=(0, 1), count=len(clip.motion), fps=30.0
        ),
        body=BodySpec(file=NOTHING, name="free", gender="neutral", betas=(0.0,) * 10),
        outfit=tuple(
            GarmentSpec(name=name, fabric="cotton", sha256="0" * 64, material=sample_cloth(rng, ())) for name in CLOTHES
        ),
        simulation=SimulationSpec(solver="skinned", quality=1, retries=0),
        scene=dataclasses.replace(sampled, background=behind),
        render=RenderSpec(samples=samples, denoise=True, jpeg_quality=95, exposure=1.0),
    )


class FirstScript:
    """The script one would write first: Blender's defaults, everything in the frame, files for all passes."""

    def __init__(self, spec, clip, body, views, folder: Path, threads: int) -> None:
        self.arguments, self.folder = (spec, clip, body, views, threads), folder
        self.build()

    def build(self) -> None:
        """Make the scene."""
        spec, clip, body, self.views, threads = self.arguments
        self.scene = used = bpy.data.scenes.new("first script")
        used.render.engine, used.cycles.samples = "CYCLES", NAIVE_SAMPLES
        used.cycles.use_denoising, used.cycles.denoiser = True, "OPENIMAGEDENOISE"
        used.cycles.denoising_prefilter, used.cycles.denoising_quality = "ACCURATE", "HIGH"
        used.render.resolution_x, used.render.resolution_y = self.views[0].width, self.views[0].height
        used.render.threads_mode, used.render.threads = "FIXED", threads
        used.view_settings.view_transform = "Standard"
        layer = used.view_layers[0]
        layer.use_pass_z = layer.use_pass_vector = layer.use_pass_normal = layer.use_pass_object_index = True
        origin = clip.joints_world[:, 0].mean(axis=0)
        self.eye = scene.Eye(origin, (used,))
        self.figure = scene.Figure(spec, clip, body, origin, (used,))
        for index, light in enumerate(spec.scene.lights):
            scene.add_area_light(used, light, index)
        self.add_environment(spec)
        used.frame_set(1)

    def add_environment(self, spec) -> None:
        """The HDRI file as it is, with Blender's own settings."""
        environment = spec.scene.environment
        path = resolve(environment.image)
        world = bpy.data.worlds.new("first script")
        world.use_nodes = True
        nodes, links = world.node_tree.nodes, world.node_tree.links
        image, place = nodes.new("ShaderNodeTexEnvironment"), nodes.new("ShaderNodeMapping")
        image.image = bpy.data.images.load(str(path))
        place.inputs["Rotation"].default_value = (0.0, 0.0, -environment.rotation)
        links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], place.inputs["Vector"])
        links.new(place.outputs["Vector"], image.inputs["Vector"])
        links.new(image.outputs["Color"], nodes["Background"].inputs["Color"])
        strength = environment.strength / brightness(passes.read_picture(path))
        nodes["Background"].inputs["Strength"].default_value = strength
        self.scene.world = world

    def close(self) -> None:
        """Remove the scene."""
        bpy.data.scenes.remove(self.scene)
        bpy.data.orphans_purge(do_recursive=True)

    def frame(self, view: int, t: int) -> np.ndarray:
        """Render one picture and write its passes; gives what the PNG holds."""
        self.figure.pose(t)
        self.eye.look(self.views[view], t)
        settings = self.scene.render.image_settings
        settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR_MULTILAYER", "RGBA", "32"
        self.scene.render.filepath = str(self.folder / f"passes_{view}_{t}.exr")
        self.scene.update_tag()
        with session.output_to(Path(os.devnull)):
            bpy.ops.render.render(write_still=True, scene=self.scene.name)
        combined = passes.read_layers(self.folder / f"passes_{view}_{t}.exr")["Combined"][..., :3]
        picture = (255 * passes.linear_to_srgb(combined) + 0.5).astype(np.uint8)
        out = bpy.data.images.new("out", picture.shape[1], picture.shape[0])
        out.pixels.foreach_set(np.insert(picture[::-1] / 255, 3, 1.0, axis=2).astype(np.float32).ravel())
        out.file_format, out.filepath_raw = "PNG", str(self.folder / f"rgb_{view}_{t}.png")
        out.save()
        bpy.data.images.remove(out)
        return picture


def psnr(picture: np.ndarray, reference: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio [dB] of 8-bit pictures, over some pixels."""
    error = picture.astype(np.float64) - reference
    squared = error**2 if where is None else error[where] ** 2
    return float(10 * np.log10(255**2 / max(squared.mean(), 1e-9)))


def seconds(work, *arguments) -> float:
    """CPU time [s] of a call; equals wall time on an idle core with one thread."""
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def with_samples(renderer: ClipRenderer, samples: int, denoise: bool = True) -> None:
    """Change the renderer's sample count in place."""
    renderer._picture.cycles.samples, renderer._picture.cycles.use_denoising = samples, denoise


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, to see that it runs")
    quick = parser.parse_args().quick
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    body, clip = make_clip(4)
    spec = make_spec(clip, NAIVE_SAMPLES, 4)
    views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
    with tempfile.TemporaryDirectory() as name, ClipRenderer(spec, clip, body, views, "cpu", threads=1) as renderer:
        first = FirstScript(spec, clip, body, views, Path(name), 1)
        samples, ours_db, naive_db = equal_quality(first, renderer, [(0, 1)] if quick else [(0, 1), (2, 1)], quick)
        times = alternate(first, renderer, samples, 1 if quick else 5)
        first.close()
    tracing = samples * (times["bare"] - times["one"]) / (samples - 1) / times["ours"]
    denoiser = 1 - times["bare"] / times["ours"]
    print(f"first script: {times['naive']:.2f} s an image, {times['rebuilt']:.2f} s when its scene is rebuilt")
    print(f"ours, {samples} samples: {times['ours']:.3f} s an image: tracing {tracing:.0%}, denoiser {denoiser:.0%}")
    costs(quick)
    result = {
        "speedup_at_equal_psnr": round(times["naive"] / times["ours"], 2) if ours_db >= naive_db else None,
        "tracing_share": round(tracing, 3),
        "images_per_s": round(1 / times["ours"], 3),
        "psnr_db": round(ours_db, 2),
        "samples": samples,
        "naive_psnr_db": round(naive_db, 2),
        "naive_s": round(times["naive"], 3),
        "naive_rebuilt_s": round(times["rebuilt"], 3),
    }
    print(json.dumps(result))


def equal_quality(first: FirstScript, renderer: ClipRenderer, shots, quick: bool) -> tuple[int, float, float]:
    """Find the fewest samples with which ours is at least as close to the reference; PSNR is that of the person."""
    naive = [first.frame(*shot) for shot in shots]
    kept = NAIVE_SAMPLES, True, True
    _settings(first, 256 if quick else 1024, False, False)
    references = [first.frame(*shot) for shot in shots]
    _settings(first, *kept)
    persons = [renderer.frame(*shot).alpha > 0.02 for shot in shots]

    def against(pictures, where) -> float:
        return float(np.mean([psnr(p, r, w) for p, r, w in zip(pictures, references, where, strict=True)]))

    everywhere = [None] * len(shots)
    naive_db, ours_db, samples = against(naive, persons), 0.0, 0
    print(f"first script, {NAIVE_SAMPLES} samples: person {naive_db:.2f} dB, whole {against(naive, everywhere):.2f} dB")
    for samples in CANDIDATES[:2] if quick else CANDIDATES:
        with_samples(renderer, samples)
        made = [renderer.frame(*shot).rgb for shot in shots]
        ours_db = against(made, persons)
        print(f"ours, {samples:2d} samples: person {ours_db:.2f} dB, whole {against(made, everywhere):.2f} dB")
        if ours_db >= naive_db:
            break
    return samples, ours_db, naive_db


def _settings(first: FirstScript, samples: int, denoise: bool, adaptive: bool) -> None:
    cycles = first.scene.cycles
    cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = samples, denoise, adaptive


def alternate(first: FirstScript, renderer: ClipRenderer, samples: int, rounds: int) -> dict[str, float]:
    """Seconds an image, by turns, so that whatever else the machine does meets both."""

    def ours(count: int, denoise: bool, t: int) -> float:
        with_samples(renderer, count, denoise)
        renderer.frame(0, t)
        return float(np.mean([seconds(renderer.frame, view, t) for view in range(4)]))

    times: dict[str, list[float]] = {}
    for k in range(rounds):
        t = 1 + k % 2
        for name, taken in (
            ("naive", seconds(first.frame, k % 4, t)),
            ("ours", ours(samples, True, t)),
            ("bare", ours(samples, False, t)),
            ("one", ours(1, False, t)),
        ):
            times.setdefault(name, []).append(taken)
            if name in ("naive", "ours"):
                print(f"round {k}: {name} {taken:.2f} s")

    def rebuilt() -> None:
        first.close()
        first.build()
        first.frame(0, 1)

    return {name: float(np.median(taken)) for name, taken in times.items()} | {"rebuilt": seconds(rebuilt)}


def costs(quick: bool) -> None:
    """Print seconds an image against frames, views and vertices, at 16 samples."""
    cases = [(2, 4, 0), (2, 1, 0)] if quick else [(2, 4, 0), (8, 4, 0), (4, 1, 0), (2, 8, 0), (2, 4, 1)]
    for frames, count, finer in cases:
        body, clip = make_clip(frames, finer)
        spec = make_spec(clip, 16, count)
        views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
        vertices = len(body.v_template) + sum(len(g.rest_vertices) for g in clip.garments)
        start = time.process_time()
        with ClipRenderer(spec, clip, body, views, "cpu", threads=1) as renderer:
            renderer.frame(0, 0)
            ready = time.process_time() - start
            work = [(view, t) for t in range(frames) for view in range(count)]
            taken = np.mean([seconds(renderer.frame, *shot) for shot in work])
        print(f"{frames:3d} frames, {count} views, {vertices} vertices: "
              f"{taken:.3f} s an image, first image after {ready:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
