"""Rendering: images a second against the script one would write first, at equal quality, in the same run.

    python benchmarks/render.py [--quick]

The first script keeps Blender's defaults: 64 samples, the denoiser on ACCURATE/HIGH, the whole frame path traced with
the surroundings in it, no persistent data, one render call for each view that writes a PNG and an EXR with the passes.
It keeps its scene and only moves the meshes; rebuilding the scene for every picture is timed too. Both are compared
with the first script's scene at 1024 samples without denoiser, as 8-bit sRGB, and get the same background, camera,
light and materials. Higher is better for images/s and PSNR. Seconds are those of the process's CPU time with one
thread: what a core that is its own takes, and what a busy machine does not change much.
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
from synth.blender import passes, scene, session
from synth.blender.files import located
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
CANDIDATES = (8, 16, 32, 40, 48, 64)
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
        path = located(environment.image)
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


def clock(work, items) -> float:
    """Mean CPU time [s] of a call over some arguments; equals wall time on an idle core with one thread."""
    start = time.process_time()
    for item in items:
        work(*item)
    return (time.process_time() - start) / len(items)


def with_samples(renderer: ClipRenderer, samples: int, denoise: bool = True) -> None:
    """Change the renderer's sample count in place."""
    renderer._picture.cycles.samples, renderer._picture.cycles.use_denoising = samples, denoise


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, to see that it runs")
    arguments = parser.parse_args()
    quick, threads = arguments.quick, 1
    body, clip = make_clip(4)
    spec = make_spec(clip, NAIVE_SAMPLES, 4)
    views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
    shots = [(0, 1)] if quick else [(0, 1), (2, 1)]
    with tempfile.TemporaryDirectory() as name:
        first = FirstScript(spec, clip, body, views, Path(name), threads)
        naive = [first.frame(*shot) for shot in shots]
        timed = [(3, 2)] if quick else [(1, 1), (3, 2), (0, 2)]
        naive_seconds = clock(first.frame, timed)

        def rebuilt(view: int, t: int) -> None:
            first.close()
            first.build()
            first.frame(view, t)

        rebuilt_seconds = clock(rebuilt, timed[:1])
        cycles = first.scene.cycles
        cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = 256 if quick else 1024, False, False
        first.scene.render.threads = os.cpu_count() or 1
        references = [first.frame(*shot) for shot in shots]
        first.close()
    report(body, clip, spec, views, shots, naive, references, (naive_seconds, rebuilt_seconds), quick, threads)


def report(body, clip, spec, views, shots, naive, references, seconds, quick, threads) -> None:
    """Render with ours at several sample counts, compare and print."""
    naive_seconds, rebuilt_seconds = seconds
    with ClipRenderer(spec, clip, body, views, "cpu", threads=threads) as renderer:
        persons = [renderer.frame(*shot).alpha > 0.02 for shot in shots]
        person_naive = np.mean([psnr(p, r, w) for p, r, w in zip(naive, references, persons, strict=True)])
        whole_naive = np.mean([psnr(p, r) for p, r in zip(naive, references, strict=True)])
        print(f"first script, {NAIVE_SAMPLES} samples: {naive_seconds:.2f} s an image, {rebuilt_seconds:.2f} s rebuilt")
        print(f"  PSNR {person_naive:.2f} dB on the person, {whole_naive:.2f} dB whole")
        chosen = None
        work = [(view, t) for t in ((2,) if quick else (1, 2)) for view in range(4)]
        for samples in CANDIDATES[:2] if quick else CANDIDATES:
            with_samples(renderer, samples)
            made = [renderer.frame(*shot).rgb for shot in shots]
            person = np.mean([psnr(p, r, w) for p, r, w in zip(made, references, persons, strict=True)])
            whole = np.mean([psnr(p, r) for p, r in zip(made, references, strict=True)])
            taken = clock(renderer.frame, work)
            print(f"ours, {samples} samples: {taken:.3f} s an image")
            print(f"  PSNR {person:.2f} dB on the person, {whole:.2f} dB whole")
            chosen = (samples, taken, person)
            if person >= person_naive:
                break
        samples, taken, person = chosen
        with_samples(renderer, 1, denoise=False)
        one = clock(renderer.frame, work)
        with_samples(renderer, samples, denoise=False)
        bare = clock(renderer.frame, work)
        tracing = (bare - one) / (samples - 1) * samples / taken
        denoiser = (taken - bare) / taken
        print(f"of {taken:.3f} s at {samples} samples: tracing {tracing:.0%}, denoiser {denoiser:.0%}, the rest other")
    costs(quick, threads)
    result = {
        "speedup_at_equal_psnr": round(naive_seconds / taken, 2) if person >= person_naive else None,
        "tracing_share": round(tracing, 3),
        "images_per_s": round(1 / taken, 3),
        "psnr_db": round(float(person), 2),
        "samples": samples,
        "naive_psnr_db": round(float(person_naive), 2),
        "naive_s": round(naive_seconds, 3),
        "naive_rebuilt_s": round(rebuilt_seconds, 3),
    }
    print(json.dumps(result))


def costs(quick: bool, threads: int) -> None:
    """Print seconds an image against frames, views and vertices, at 16 samples."""
    cases = [(2, 4, 0), (2, 1, 0)] if quick else [(2, 4, 0), (8, 4, 0), (4, 1, 0), (2, 8, 0), (2, 4, 1)]
    for frames, count, finer in cases:
        body, clip = make_clip(frames, finer)
        spec = make_spec(clip, 16, count)
        views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
        vertices = len(body.v_template) + sum(len(g.rest_vertices) for g in clip.garments)
        start = time.process_time()
        with ClipRenderer(spec, clip, body, views, "cpu", threads=threads) as renderer:
            renderer.frame(0, 0)
            ready = time.process_time() - start
            taken = clock(renderer.frame, [(view, t) for t in range(frames) for view in range(count)])
        print(f"{frames:3d} frames, {count} views, {vertices} vertices: "
              f"{taken:.3f} s an image, first image after {ready:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
