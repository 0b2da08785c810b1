"""The renderer's labels against geometry computed without it, its determinism, and Blender's silent traps."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import render_toys as toys  # noqa: E402

from synth.assets import reference, resolve  # noqa: E402
from synth.blender import materials, passes  # noqa: E402
from synth.blender.render import ClipRenderer, noise_seed, paste, person_box  # noqa: E402
from synth.errors import SynthError  # noqa: E402
from synth.geometry.camera import pixel_centres, project, unproject, world_to_camera  # noqa: E402
from synth.geometry.triangles import ClosestPoint, rasterize  # noqa: E402
from synth.scene import backgrounds, lighting  # noqa: E402
from synth.spec import BackgroundSpec, EnvironmentSpec, FileRef  # noqa: E402
from synth.types import Camera  # noqa: E402

pytestmark = pytest.mark.blender

BODY = toys.toy_body()
CLIP = toys.toy_clip(BODY)
SPEC = toys.toy_spec(CLIP)
CAMERAS = toys.toy_cameras(SPEC, CLIP)
LABELS = ("depth", "normal", "flow", "parts", "garments")


@pytest.fixture(scope="module")
def renderer():
    bpy.context.scene.frame_set(30)  # as a simulation in the same process leaves it: keys must not follow that frame
    with ClipRenderer(SPEC, CLIP, BODY, CAMERAS, "cpu", threads=1) as made:
        yield made


@pytest.fixture(scope="module")
def rendered(renderer):
    return {(view, t): renderer.frame(view, t) for t in (1, 3) for view in range(4)}


def mesh(t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles, and part and garment of each triangle."""
    dressed = CLIP.garments[0]
    count = len(BODY.v_template)
    vertices = np.concatenate([CLIP.body_vertices_world[t], CLIP.garment_vertices_world["tube"][t]])
    faces = np.concatenate([BODY.faces, dressed.garment.triangles + count])
    parts = np.concatenate([BODY.face_parts, dressed.face_parts, dressed.face_parts])
    garments = np.repeat(np.array([0, 1], dtype=np.uint8), [len(BODY.faces), 2 * len(dressed.face_parts)])
    return vertices, faces, parts, garments


def drawn(view: int, t: int):
    """The same view from the z-buffer: depth, face, barycentric."""
    vertices, faces, _, _ = mesh(t)
    camera = CAMERAS[view]
    seen = world_to_camera(vertices, camera, t)
    return rasterize(seen, faces, camera.K, camera.width, camera.height)


@pytest.mark.parametrize("view", range(4))
def test_depth_lands_on_the_mesh(rendered, view):
    # Fails for ray length instead of planar depth, a half-pixel shift, views swapped, or another frame's shape.
    vertices, faces, _, _ = mesh(1)
    depth = rendered[view, 1].depth
    points = unproject(depth.astype(np.float64), CAMERAS[view], 1)[depth > 0]
    assert len(points) > 200
    distance = np.abs(ClosestPoint(vertices, faces)(points).distance)
    assert np.median(distance) < 1e-4
    assert np.quantile(distance, 0.99) < 1e-3


@pytest.mark.parametrize("view", range(4))
def test_pixel_centres_parts_and_garments_are_those_of_the_z_buffer(rendered, view):
    _, _, parts, garments = mesh(1)
    depth, face, _ = drawn(view, 1)
    got = rendered[view, 1]
    agree = (face >= 0) == (got.depth > 0)
    assert agree.mean() > 0.9995
    both = (face >= 0) & (got.depth > 0)
    assert np.median(np.abs(depth - got.depth)[both]) < 1e-4
    assert (parts[face] == got.parts)[both].mean() > 0.995
    assert (garments[face] == got.garments)[both].mean() > 0.998
    assert {0, 1} <= set(np.unique(got.garments[both]))
    assert (got.parts[~(got.depth > 0)] == 0).all()


@pytest.mark.parametrize("view", range(4))
def test_flow_is_how_the_seen_points_move_in_the_picture(rendered, view):
    # The tracking camera turns between the frames; without its motion the error is several pixels. A wrong sign or
    # swapped axis fails too.
    vertices, faces, _, _ = mesh(1)
    following = mesh(2)[0]
    _, face, barycentric = drawn(view, 1)
    got, camera = rendered[view, 1], CAMERAS[view]
    both = (face >= 0) & (got.depth > 0)
    corners = following[faces[face[both]]]
    # pixel -> point on the triangle now -> the same point in the next frame -> its pixel
    moved = project((barycentric[both][..., None] * corners).sum(axis=1), camera, 2)
    here = (barycentric[both][..., None] * vertices[faces[face[both]]]).sum(axis=1)
    np.testing.assert_allclose(project(here, camera, 1), pixel_centres(camera)[both], atol=1e-3)
    error = np.linalg.norm(got.flow[both] - (moved - pixel_centres(camera)[both]), axis=-1)
    assert np.linalg.norm(got.flow[both], axis=-1).max() > 0.5
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.95) < 0.05
    assert (got.flow[got.depth == 0] == 0).all()


def test_the_last_frame_has_no_flow(rendered):
    assert all((rendered[view, 3].flow == 0).all() for view in range(4))
    assert (rendered[0, 3].depth > 0).any()


def test_normals_are_the_triangles_own(rendered):
    vertices, faces, _, _ = mesh(1)
    for view in range(4):
        _, face, _ = drawn(view, 1)
        got = rendered[view, 1]
        both = (face >= 0) & (got.depth > 0)
        corners = world_to_camera(vertices, CAMERAS[view], 1)[faces[face[both]]]
        expected = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
        cosine = np.abs((expected * got.normal[both]).sum(axis=-1))
        assert np.quantile(cosine, 0.02) > 0.999
        np.testing.assert_allclose(np.linalg.norm(got.normal[both], axis=-1), 1, atol=1e-5)
        assert (got.normal[both][:, 2] < 0).all()
        assert (got.normal[got.depth == 0] == 0).all()


def test_left_is_left(rendered):
    # In front of the person, their left hand (part 23) is on the right of the picture; behind, on the left.
    facing = toys.to_world(np.array([0, 0, 1.0]), 1) - toys.to_world(np.zeros(3), 1)
    for view, camera in enumerate(CAMERAS):
        x = [np.argwhere(rendered[view, 1].parts == part)[:, 1].mean() for part in (23, 24)]
        towards = -camera.T_camera_world[1, 2, :3] @ facing
        if abs(towards) > 0.5:
            assert np.sign(x[0] - x[1]) == np.sign(towards)


def test_picture_and_truth_share_the_silhouette(rendered):
    for got in rendered.values():
        assert (got.alpha[got.depth > 0] > 0.2).all()
        assert got.alpha[got.depth == 0].mean() < 0.02
        assert abs((got.alpha > 0.5).sum() - (got.depth > 0).sum()) < 0.05 * (got.depth > 0).sum()


def test_picture_is_of_use(rendered):
    person = rendered[2, 1].rgb[rendered[2, 1].depth > 0]
    assert 20 < person.mean() < 235
    assert person.std() > 5
    assert (person == 255).all(axis=-1).mean() < 0.2


def test_frames_do_not_depend_on_the_order_they_are_asked_for(renderer, rendered):
    # Stale geometry, camera or seed from the frame rendered before would show.
    again = renderer.frame(2, 1)
    for name in (*LABELS, "rgb", "alpha"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rendered[2, 1], name))


def test_crop_gives_what_the_whole_image_gives(renderer, rendered):
    renderer._figure.pose(1)
    renderer._posed = 1
    camera = CAMERAS[1]
    renderer._eye.look(camera, 1)
    box = person_box(renderer._figure.vertices(1), camera, 1)
    assert (box[2] - box[0]) * (box[3] - box[1]) < 0.6 * camera.width * camera.height
    whole, part = (renderer.truth(camera, b) for b in ((0, 0, camera.width, camera.height), box))
    x0, y0, x1, y1 = box
    surface = whole["Depth"][..., 0] < 1e9
    assert not surface[: y0 + 1].any()
    assert not surface[y1 - 1 :].any()
    for name in ("Depth", "Vector", "labels", "true_normal"):
        # The sample's place within the pixel's central hundredth depends on the crop.
        inside = surface[y0:y1, x0:x1]
        difference = np.abs(whole[name] - part[name])[y0:y1, x0:x1][inside]
        assert np.quantile(difference, 0.98) < 2e-3, name
    np.testing.assert_array_equal(part["labels"][y0:y1, x0:x1] > 0, whole["labels"][y0:y1, x0:x1] > 0)


def test_another_seed_gives_other_noise(renderer):
    # With persistent data Cycles ignores the new seed unless the scene is tagged.
    camera, t = CAMERAS[0], 0
    renderer._figure.pose(t)
    renderer._posed = t
    renderer._eye.look(camera, t)
    box = person_box(renderer._figure.vertices(t), camera, t)
    first, second, third = (renderer.picture(camera, box, seed) for seed in (1, 2, 1))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(first, third)
    assert len({noise_seed(s, c, f, v) for s in range(2) for c in range(3) for f in range(4) for v in range(4)}) == 96


def test_nothing_of_blenders_talk_reaches_the_output(renderer, capfd):
    renderer.frame(0, 0)
    assert capfd.readouterr().out == ""


DIGEST = """
import hashlib, sys
sys.path[:0] = [{folder!r}]
import render_toys as toys
from synth.blender.render import ClipRenderer
body = toys.toy_body()
clip = toys.toy_clip(body)
spec = toys.toy_spec(clip)
with ClipRenderer(spec, clip, body, toys.toy_cameras(spec, clip), "cpu", threads=2) as renderer:
    frame = renderer.frame(3, 1)
assert "torch" not in sys.modules
for name in ("depth", "normal", "flow", "parts", "garments", "rgb", "alpha"):
    print(name, hashlib.sha256(getattr(frame, name).tobytes()).hexdigest())
"""


def test_another_process_gives_the_same_bits(rendered):
    code = DIGEST.format(folder=str(Path(__file__).parent))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    theirs = dict(line.split() for line in run.stdout.strip().splitlines())
    assert set(theirs) == {*LABELS, "rgb", "alpha"}
    for name, found in theirs.items():
        assert hashlib.sha256(getattr(rendered[3, 1], name).tobytes()).hexdigest() == found, name


def test_environment_behind_is_the_one_that_lights(tmp_path):
    # Cycles' own view of the environment against our lookup: a mirrored, flipped or wrongly turned picture fails.
    x = np.linspace(0, 1, 256, endpoint=False)
    grid_x, grid_y = np.meshgrid(x, x[::2])
    picture = np.stack([grid_x, grid_y, 0.5 + 0.5 * np.cos(6 * np.pi * grid_x)], axis=-1).astype(np.float32)
    image = bpy.data.images.new("sky", 256, 128, float_buffer=True)
    image.pixels.foreach_set(np.insert(picture[::-1], 3, 1.0, axis=2).astype(np.float32).ravel())
    image.file_format, image.filepath_raw = "OPEN_EXR", str(tmp_path / "sky.exr")
    image.save()
    file = reference(tmp_path / "sky.exr")
    scene = dataclasses.replace(
        SPEC.scene,
        environment=EnvironmentSpec(image=file, rotation=0.7, strength=0.3),
        background=BackgroundSpec(kind="environment", seed=0, scale=1.0, rotation=0.0),
    )
    spec = dataclasses.replace(SPEC, scene=scene)
    wide = [
        Camera(
            K=np.array([[60.0, 0, 48], [0, 60, 48], [0, 0, 1]]), T_camera_world=c.T_camera_world, width=96, height=96
        )
        for c in CAMERAS
    ]
    with ClipRenderer(spec, CLIP, BODY, wide, "cpu", threads=1) as made:
        made._picture.render.film_transparent = False
        made._picture.cycles.use_denoising = False
        for view in (0, 2):
            made._figure.pose(0)
            made._eye.look(wide[view], 0)
            seen = made.picture(wide[view], (0, 0, 96, 96), 1)[..., :3]
            still = dataclasses.replace(wide[view], T_camera_world=wide[view].T_camera_world[:1])
            smooth = lighting.smooth(made._behind[view])
            ours = backgrounds.background(scene.background, smooth, still, 0, rotation=0.7)
            sky = made.truth(wide[view], (0, 0, 96, 96))["Depth"][..., 0] > 1e9
            error = np.abs(seen - ours).max(axis=-1)[sky]
            assert np.median(error) < 0.01 * ours.mean()
            assert np.quantile(error, 0.9) < 0.1 * ours.mean()


def test_suns_and_sky_light_like_the_whole_picture():
    # Cycles lit by our split against Cycles lit by the picture itself: a sun of wrong strength, place or turning fails
    sphere = passes.read_picture(resolve(SPEC.scene.environment.image))
    with ClipRenderer(SPEC, CLIP, BODY, CAMERAS, "cpu", threads=2) as made:
        used = made._picture
        used.cycles.use_denoising, used.cycles.samples = False, 64
        assert any(thing.name.startswith("sun") for thing in used.objects)
        ours = [made.frame(view, 0) for view in (0, 1)]
        for thing in [thing for thing in used.objects if thing.type == "LIGHT" and thing.name.startswith("sun")]:
            used.collection.objects.unlink(thing)
        environment = SPEC.scene.environment
        sphere *= np.float32(environment.strength / backgrounds.brightness(sphere))
        image = next(node for node in used.world.node_tree.nodes if node.type == "TEX_ENVIRONMENT")
        image.image = materials.array_image("whole", backgrounds.fitted(sphere, sphere.shape[1] / 512))
        used.world.cycles.sampling_method = "AUTOMATIC"
        whole = [made.frame(view, 0) for view in (0, 1)]
    for mine, theirs in zip(ours, whole, strict=True):
        lit = [passes.srgb_to_linear(p.rgb[p.alpha > 0.99] / 255.0) for p in (mine, theirs)]
        assert np.abs(lit[0].mean(axis=0) / lit[1].mean(axis=0) - 1).max() < 0.02
        bands = [p.mean(axis=1)[: len(p) // 16 * 16].reshape(16, -1).mean(axis=1) for p in lit]
        assert np.abs(bands[0] / bands[1] - 1).mean() < 0.05


def test_damaged_or_missing_pictures_are_named(tmp_path):
    broken = tmp_path / "broken.exr"
    broken.write_bytes(resolve(SPEC.scene.environment.image).read_bytes()[:2000])
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    gone = FileRef(path=str(tmp_path / "gone.hdr"), sha256="0" * 64)
    changed = FileRef(path=str(broken), sha256="0" * 64)
    for file in (reference(broken), reference(empty), gone, changed):
        environment = dataclasses.replace(SPEC.scene.environment, image=file)
        spec = dataclasses.replace(SPEC, scene=dataclasses.replace(SPEC.scene, environment=environment))
        with pytest.raises(SynthError, match=Path(file.path).name):
            ClipRenderer(spec, CLIP, BODY, CAMERAS, "cpu", threads=1)


def test_a_damaged_texture_is_named(tmp_path):
    path = tmp_path / "cloth.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    material = dataclasses.replace(SPEC.outfit[0].material, kind="image", image=reference(path))
    spec = dataclasses.replace(SPEC, outfit=(dataclasses.replace(SPEC.outfit[0], material=material),))
    with pytest.raises(SynthError, match=r"cloth\.png"):
        ClipRenderer(spec, CLIP, BODY, CAMERAS, "cpu", threads=1)


def test_box_is_cut_to_the_image_and_pasted_back():
    camera = CAMERAS[0]
    far = CLIP.joints_world[0, :1] + [0, 0, 50.0]
    x0, y0, x1, y1 = person_box(far, camera, 0)
    assert 0 <= x0 < x1 <= camera.width
    assert 0 <= y0 < y1 <= camera.height
    whole = paste(np.ones((2, 3, 1), np.float32), (5, 7, 8, 9), camera)
    assert whole.sum() == 6
    assert (whole[7:9, 5:8] == 1).all()


def test_scenes_do_not_pile_up():
    before = len(bpy.data.scenes), len(bpy.data.meshes), len(bpy.data.images)
    with ClipRenderer(SPEC, CLIP, BODY, CAMERAS, "cpu", threads=1):
        assert len(bpy.data.scenes) == before[0] + 2
    assert (len(bpy.data.scenes), len(bpy.data.meshes), len(bpy.data.images)) == before


def test_read_picture_knows_linear_from_srgb(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((4, 6, 3), 188, np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_allclose(passes.read_picture(tmp_path / "grey.png"), np.full((4, 6, 3), 0.5029), atol=1e-3)
    with pytest.raises(SynthError, match="nothing"):
        passes.read_picture(tmp_path / "nothing.png")
