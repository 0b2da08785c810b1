"""Each fault is planted with the checksums brought up to date: verify must find it in the pixels and numbers alone."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from shard_factory import make_shard

from synth.body.joints import PAIRS
from synth.body.model import find_bodies
from synth.shards import checksum, schema
from synth.shards.manifest import Manifest
from synth.shards.read import ShardReader
from synth.shards.verify import Report, summary, verify, verify_shard

FRAMES = 6


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shard(tmp_path_factory.mktemp("bare"), frames=FRAMES, views=2)


@pytest.fixture(scope="module")
def dressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shard(tmp_path_factory.mktemp("dressed"), frames=3, views=2, dressed=True, seed=1)


def plant(source: Path, folder: Path, change: Callable[[h5py.File], None], checksums: bool = True) -> Path:
    """Copy a shard, change the copy and bring its table of checksums up to date."""
    path = folder / source.name
    shutil.copy(source, path)
    with ShardReader(source) as reader:
        names = sorted(schema.expected(reader.layout))
    with h5py.File(path, "r+") as file:
        change(file)
        if checksums:
            table = [checksum.attributes_digest(file, names), *(checksum.content_digest(n, file[n]) for n in names)]
            file["checksums/sha256"][...] = np.array([text.encode() for text in table])
    return path


def names_found(path: Path) -> set[str]:
    return {fault.name for fault in verify_shard(path).faults}


def replace(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Store another array of any length under a dataset's name."""
    old = file[name]
    attributes, dtype = dict(old.attrs), old.dtype
    del file[name]
    file.create_dataset(name, data=values.astype(dtype)).attrs.update(attributes)


def set_array(file: h5py.File, name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
    file[name][...] = function(file[name][()])


def exchange(file: h5py.File, *names: str) -> None:
    for name in names:
        file.move(f"views/0/{name}", "views/0/_")
        file.move(f"views/1/{name}", f"views/0/{name}")
        file.move("views/0/_", f"views/1/{name}")


def mirrored_parts(parts: np.ndarray) -> np.ndarray:
    table = np.arange(25)
    for left, right in PAIRS:
        table[left + 1], table[right + 1] = right + 1, left + 1
    return table[parts]


def mirrored_joints(joints: np.ndarray) -> np.ndarray:
    out = joints.copy()
    for left, right in PAIRS:
        out[:, [left, right]] = joints[:, [right, left]]
    return out


def rotated(normal: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Stored normals turned from the camera's to the world's frame."""
    return np.einsum("tji,thwj->thwi", rotation, normal)


def transpose_rotation(pose: np.ndarray) -> np.ndarray:
    out = pose.copy()
    out[:, :3, :3] = pose[:, :3, :3].transpose(0, 2, 1)
    return out


def ray_length(file: h5py.File) -> None:
    depth, K = file["views/0/depth"], file["views/0/K"][()]
    y, x = np.mgrid[: depth.shape[1], : depth.shape[2]] + 0.5
    ray = np.linalg.norm(np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(K).T, axis=-1)
    depth[...] = np.rint(depth[()] * ray)


def drop_frame(*names: str) -> Callable[[h5py.File], None]:
    """Frame 2 is lost, all later ones move up, the last one stands twice."""

    def change(file: h5py.File) -> None:
        order = [*range(2), *range(3, FRAMES), FRAMES - 1]
        for name in names:
            set_array(file, name, lambda array: array[order])

    return change


def drop_picture(file: h5py.File) -> None:
    bytes_, offsets = file["views/0/rgb"][()], file["views/0/rgb_offsets"][()]
    jpegs = [bytes_[offsets[t] : offsets[t + 1]] for t in [*range(1, FRAMES), FRAMES - 1]]
    replace(file, "views/0/rgb", np.concatenate(jpegs))
    file["views/0/rgb_offsets"][...] = np.cumsum([0, *map(len, jpegs)])


def in_camera(file: h5py.File, points: np.ndarray) -> np.ndarray:
    pose = file["views/0/T_camera_world"][()]
    return np.einsum("tij,tnj->tni", pose[:, :3, :3], points) + pose[:, None, :3, 3]


def next_frame(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array[1:], array[-1:]])


def redrawn(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    """Code the pictures of view 0 again, each changed."""

    def redraw(file: h5py.File) -> None:
        bytes_, offsets = file["views/0/rgb"][()], file["views/0/rgb_offsets"][()]
        jpegs = []
        for t in range(FRAMES):
            picture = change(np.asarray(Image.open(io.BytesIO(bytes_[offsets[t] : offsets[t + 1]].tobytes()))))
            stream = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=95)
            jpegs.append(np.frombuffer(stream.getvalue(), np.uint8))
        replace(file, "views/0/rgb", np.concatenate(jpegs))
        file["views/0/rgb_offsets"][...] = np.cumsum([0, *map(len, jpegs)])

    return redraw


def says(file: h5py.File, attribute: str, **changed: object) -> None:
    file.attrs[attribute] = json.dumps(json.loads(file.attrs[attribute]) | changed)


def other_model(file: h5py.File) -> None:
    """The shard's body becomes the male one, everywhere it is named."""
    digest = checksum.file_digest(find_bodies("free")["male"])
    says(file, "body_model", gender="male", sha256=digest)
    spec = json.loads(file.attrs["spec"])
    spec["body"] |= {"gender": "male", "file": {"path": "asset:none", "sha256": digest}}
    file.attrs["spec"] = json.dumps(spec)


MAPS = ("depth", "flow", "normal", "parts", "garments")
FAULTS: dict[str, tuple[str, str, Callable[[h5py.File], None]]] = {
    "2D joints' left and right": (
        "left-right-swapped",
        "views/0/keypoints_2d",
        lambda f: set_array(f, "views/0/keypoints_2d", mirrored_joints),
    ),
    "3D joints' left and right": (
        "left-right-swapped",
        "joints_world",
        lambda f: set_array(f, "joints_world", mirrored_joints),
    ),
    "parts' left and right": (
        "left-right-swapped",
        "views/1/parts",
        lambda f: set_array(f, "views/1/parts", mirrored_parts),
    ),
    "2D joints by half a pixel": (
        "half-pixel-shift",
        "views/0/keypoints_2d",
        lambda f: set_array(f, "views/0/keypoints_2d", lambda a: a - 0.5),
    ),
    "camera and 2D joints by half a pixel": (
        "half-pixel-shift",
        "views/0/depth",
        lambda f: (
            set_array(f, "views/0/K", lambda K: K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])),
            set_array(f, "views/0/keypoints_2d", lambda a: a + 0.5),
        ),
    ),
    "R transposed": (
        "rotation-transposed",
        "views/0/keypoints_2d",
        lambda f: set_array(f, "views/0/T_camera_world", transpose_rotation),
    ),
    "a mirroring camera": (
        "mirrored-camera",
        "views/0/T_camera_world",
        lambda f: set_array(f, "views/0/T_camera_world", lambda T: T * np.array([-1.0, 1, 1, 1])[:, None]),
    ),
    "flow backwards": ("flow-sign", "views/0/flow", lambda f: set_array(f, "views/0/flow", lambda a: -a)),
    "flow with y up": (
        "flow-y-flipped",
        "views/0/flow",
        lambda f: set_array(f, "views/0/flow", lambda a: a * np.array([1, -1], a.dtype)),
    ),
    "cameras of two views": (
        "views-swapped",
        "views/0/keypoints_2d",
        lambda f: exchange(f, "T_camera_world", "smpl_camera", "joints_camera"),
    ),
    "maps of two views": ("views-swapped", "views/0/depth", lambda f: exchange(f, *MAPS)),
    "pictures of two views": ("views-swapped", "views/0/rgb", lambda f: exchange(f, "rgb", "rgb_offsets")),
    "other betas": ("wrong-betas", "vertices_world", lambda f: set_array(f, "smpl/betas", lambda b: b + 0.5)),
    "a frame of the meshes lost": (
        "frames-out-of-step",
        "vertices_world",
        drop_frame("vertices_world"),
    ),
    "a frame of the 2D joints lost": (
        "frames-out-of-step",
        "views/0/keypoints_2d",
        drop_frame("views/0/keypoints_2d"),
    ),
    "a frame of the parameters lost": (
        "frames-out-of-step",
        "vertices_world",
        drop_frame("smpl/global_orient", "smpl/body_pose", "smpl/transl"),
    ),
    "a frame of the camera lost": (
        "frames-out-of-step",
        "views/1/keypoints_2d",
        drop_frame("views/1/T_camera_world"),
    ),
    "a frame of the maps lost": (
        "frames-out-of-step",
        "views/0/depth",
        drop_frame(*(f"views/0/{name}" for name in MAPS)),
    ),
    "a picture lost": ("frames-out-of-step", "views/0/rgb", drop_picture),
    "depth along the ray": ("depth-ray-length", "views/0/depth", ray_length),
    "parts one too high": (
        "parts-off-by-one",
        "views/0/parts",
        lambda f: set_array(f, "views/0/parts", lambda p: np.where(p > 0, p + 1, 0)),
    ),
    "a NaN": (
        "not-finite",
        "joints_world",
        lambda f: set_array(f, "joints_world", lambda a: np.where(np.arange(3) == 1, np.nan, a)),
    ),
    "pelvis term left out": (
        "smpl-camera",
        "views/1/smpl_camera",
        lambda f: set_array(
            f,
            "views/1/smpl_camera/transl",
            lambda a: (
                np.einsum("tij,tj->ti", f["views/1/T_camera_world"][:, :3, :3], f["smpl/transl"][()])
                + f["views/1/T_camera_world"][:, :3, 3]
            ),
        ),
    ),
    "a dataset too many": ("schema", "views/0/extra", lambda f: f.create_dataset("views/0/extra", data=[1]) and None),
    "fewer frames in one array": (
        "schema",
        "views/0/visibility",
        lambda f: replace(f, "views/0/visibility", f["views/0/visibility"][:-1]),
    ),
    "normals with y up": (
        "normal-y-flipped",
        "views/0/normal",
        lambda f: set_array(f, "views/0/normal", lambda a: a * np.array([1, -1, 1], a.dtype)),
    ),
    "normals away from the camera": (
        "normal-sign",
        "views/1/normal",
        lambda f: set_array(f, "views/1/normal", lambda a: -a),
    ),
    "normals in the world's frame": (
        "normal-in-world",
        "views/0/normal",
        lambda f: set_array(f, "views/0/normal", lambda a: np.rint(rotated(a, f["views/0/T_camera_world"][:, :3, :3]))),
    ),
    "normals of another length": (
        "normal",
        "views/0/normal",
        lambda f: set_array(f, "views/0/normal", lambda a: a // 2),
    ),
    "visibility's left and right": (
        "left-right-swapped",
        "views/0/visibility",
        lambda f: set_array(f, "views/0/visibility", mirrored_joints),
    ),
    "everything is visible": (
        "visibility",
        "views/1/visibility",
        lambda f: set_array(f, "views/1/visibility", np.zeros_like),
    ),
    "visibility of one frame lost": (
        "frames-out-of-step",
        "views/0/visibility",
        lambda f: set_array(f, "views/0/visibility", lambda a: np.concatenate([a[1:], a[-1:]])),
    ),
    "boxes with x and y exchanged": (
        "bbox",
        "views/0/bbox",
        lambda f: set_array(f, "views/0/bbox", lambda a: a[:, [1, 0, 3, 2]]),
    ),
    "a box without its last row of pixels": (
        "bbox",
        "views/1/bbox",
        lambda f: set_array(f, "views/1/bbox", lambda a: a - np.array([0, 0, 0, 1])),
    ),
    "another person's betas in the spec": (
        "other-betas",
        "spec",
        lambda f: f.attrs.update({"spec": f.attrs["spec"].replace('"betas":[', '"betas":[0.25,', 1)}),
    ),
    "another clip's name": ("clip-id", "clip_id", lambda f: f.attrs.update({"clip_id": "0" * 16})),
    "another gender": ("wrong-gender", "body_model", lambda f: says(f, "body_model", gender="male")),
    "another gender's model": ("wrong-gender", "vertices_world", other_model),
    "depth a hundredth too large": (
        "depth-scale",
        "views/0/depth",
        lambda f: set_array(f, "views/0/depth", lambda a: np.rint(a * 1.01)),
    ),
    "flow of the next frame": (
        "frames-out-of-step",
        "views/0/flow",
        lambda f: set_array(f, "views/0/flow", next_frame),
    ),
    "normals of two views": ("views-swapped", "views/0/normal", lambda f: exchange(f, "normal")),
    "two parts exchanged": (
        "parts",
        "views/0/parts",
        lambda f: set_array(f, "views/0/parts", lambda p: np.select([p == 5, p == 8], [8, 5], p)),
    ),
    "vertices in a camera's frame": (
        "frame-of-camera",
        "vertices_world",
        lambda f: set_array(f, "vertices_world", lambda a: in_camera(f, a)),
    ),
    "vertices in millimetres": ("units", "vertices_world", lambda f: set_array(f, "vertices_world", lambda a: a * 1e3)),
    "vertices with Y up": (
        "axes",
        "vertices_world",
        lambda f: set_array(f, "vertices_world", lambda a: a[..., [0, 2, 1]] * np.array([1, 1, -1], a.dtype)),
    ),
    "keypoints in a camera's frame": (
        "frame-of-camera",
        "keypoints_world/h36m17",
        lambda f: set_array(f, "keypoints_world/h36m17", lambda a: in_camera(f, a)),
    ),
    "keypoints' left and right": (
        "left-right-swapped",
        "keypoints_world/coco17",
        lambda f: set_array(
            f, "keypoints_world/coco17", lambda a: a[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
        ),
    ),
    "a camera's joints in the world": (
        "frame-of-world",
        "views/0/joints_camera",
        lambda f: set_array(f, "views/0/joints_camera", lambda _: f["joints_world"][()]),
    ),
    "joints about the root": (
        "origin",
        "joints_world",
        lambda f: set_array(f, "joints_world", lambda a: a - a[:, :1]),
    ),
    "the camera's pose inverted": (
        "camera-inverted",
        "views/0/keypoints_2d",
        lambda f: set_array(f, "views/0/T_camera_world", np.linalg.inv),
    ),
    "a camera that looks along -z": (
        "camera-axes",
        "views/0/keypoints_2d",
        lambda f: set_array(f, "views/0/T_camera_world", lambda T: np.diag([1.0, -1, -1, 1]) @ T),
    ),
    "2D joints' x and y": (
        "x-y-swapped",
        "views/0/keypoints_2d",
        lambda f: set_array(f, "views/0/keypoints_2d", lambda a: a[..., ::-1]),
    ),
    "boxes of two views": ("views-swapped", "views/0/bbox", lambda f: exchange(f, "bbox")),
    "visibility of two views": ("views-swapped", "views/0/visibility", lambda f: exchange(f, "visibility")),
    "mirrored pictures": ("mirrored-picture", "views/0/rgb", redrawn(lambda picture: picture[:, ::-1])),
    "pictures upside down": ("picture-upside-down", "views/0/rgb", redrawn(lambda picture: picture[::-1])),
    "pictures one pixel to the right": ("picture-shifted", "views/0/rgb", redrawn(lambda p: np.roll(p, 1, axis=1))),
    "black pictures": ("plain-picture", "views/0/rgb", redrawn(np.zeros_like)),
    "source frames backwards": (
        "source-frames",
        "source_frames",
        lambda f: set_array(f, "source_frames", lambda a: a[::-1]),
    ),
    "another scale for other readers": (
        "scale",
        "views/0/depth",
        lambda f: f["views/0/depth"].attrs.update({"scale": 0.01}),
    ),
    "a config that is no JSON": ("attributes", "config", lambda f: f.attrs.update({"config": "{"})),
    "flow valid in the last frame": (
        "flow-valid",
        "views/0/flow_valid",
        lambda f: set_array(f, "views/0/flow_valid", np.ones_like),
    ),
}


def test_a_clean_shard_has_no_fault_and_the_stated_accuracy(bare: Path, dressed: Path) -> None:
    for path in (bare, dressed):
        report = verify_shard(path)
        assert report.faults == ()
        assert report.measures["reprojection_px"] < 1e-9
        assert report.measures["flow_px"] < 0.01
        assert report.measures["depth_mm"] < 0.3
        assert report.measures["part_iou"] > 0.999
        assert report.measures["silhouette_iou"] > 0.999
        assert report.measures["normal_deg"] < 0.5
        assert report.measures["visibility_share"] == 0
    assert "penetration" in verify_shard(dressed).measures


@pytest.mark.parametrize("case", FAULTS)
def test_a_planted_fault_is_named(case: str, bare: Path, tmp_path: Path) -> None:
    name, where, change = FAULTS[case]
    path = plant(bare, tmp_path, lambda file: (change(file), None)[1], checksums=name != "schema")
    faults = verify_shard(path).faults
    assert (name, where) in {(fault.name, fault.field) for fault in faults}, faults
    assert "checksum" not in {fault.name for fault in faults}


def test_a_changed_byte_is_a_wrong_checksum(bare: Path, tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["views/1/normal"][2, 100, 100, 0] ^= 1

    path = plant(bare, tmp_path, change, checksums=False)
    assert names_found(path) == {"checksum"}
    path = plant(bare, tmp_path, lambda file: file.attrs.update({"fps": 25.0}), checksums=False)
    assert names_found(path) == {"checksum", "spec"}


def test_cloth_that_goes_into_the_body_is_named(dressed: Path, tmp_path: Path) -> None:
    path = plant(dressed, tmp_path, lambda f: set_array(f, "quality/shorts/penetration", lambda a: a + 0.02))
    assert "penetration" in names_found(path)

    def sink(file: h5py.File) -> None:  # the meshes themselves, while the stored measure says all is well
        centre = file["garments/shorts/vertices_world"][()].mean(axis=1, keepdims=True)
        narrow = np.array([0.8, 0.8, 1.0], np.float32)
        set_array(file, "garments/shorts/vertices_world", lambda a: centre + (a - centre) * narrow)

    assert "penetration" in names_found(plant(dressed, tmp_path, sink))


CLOTH_FAULTS: dict[str, tuple[str, str, Callable[[h5py.File], None]]] = {
    "no flow on cloth": (
        "flow",
        "views/0/flow",
        lambda f: set_array(f, "views/0/flow", lambda a: np.where(f["views/0/garments"][()][..., None] > 0, 0, a)),
    ),
    "parts beneath cloth, left and right": (
        "parts",
        "views/0/parts",
        lambda f: set_array(
            f, "views/0/parts", lambda p: np.where(f["views/0/garments"][()] > 0, mirrored_parts(p), p)
        ),
    ),
    "a garment's parts, left and right": (
        "left-right-swapped",
        "garments/shorts/face_parts",
        lambda f: set_array(f, "garments/shorts/face_parts", mirrored_parts),
    ),
    "a garment a frame behind": (
        "frames-out-of-step",
        "garments/shorts/vertices_world",
        lambda f: set_array(f, "garments/shorts/vertices_world", lambda a: a[[0, 0, 2]]),
    ),
    "strain beyond the gate": (
        "quality-gate",
        "quality/shorts/strain",
        lambda f: set_array(f, "quality/shorts/strain", lambda a: a + 1),
    ),
    "tries of another clip": (
        "attributes",
        "cloth",
        lambda f: f.attrs.update({"cloth": '{"solvers":{"coat":"cloth"},"tries":1}'}),
    ),
}


@pytest.mark.parametrize("case", CLOTH_FAULTS)
def test_a_fault_of_the_cloth_is_named(case: str, dressed: Path, tmp_path: Path) -> None:
    name, where, change = CLOTH_FAULTS[case]
    faults = verify_shard(plant(dressed, tmp_path, lambda file: (change(file), None)[1])).faults
    assert (name, where) in {(fault.name, fault.field) for fault in faults}, faults


def test_hidden_by_cloth_is_not_hidden_by_the_body(dressed: Path, tmp_path: Path) -> None:
    path = plant(
        dressed, tmp_path, lambda f: set_array(f, "views/0/visibility", lambda v: np.array([0, 1, 3, 2], v.dtype)[v])
    )
    assert names_found(path) == {"visibility"}


def folder_with(*paths: Path, to: Path) -> Path:
    for path in paths:
        shutil.copy(path, to / path.name)
        Manifest(to).record(to / path.name)
    return to


def test_the_report_of_a_folder_holds_the_worst_of_each_measure(bare: Path, dressed: Path, tmp_path: Path) -> None:
    report = verify(folder_with(bare, dressed, to=tmp_path))
    found = summary(report)
    assert list(found) == [
        "ok",
        "shards",
        "reprojection_px",
        "flow_px",
        "depth_mm",
        "part_iou",
        "silhouette_iou",
        "penetration",
        "faults",
    ]
    assert found["ok"] is True
    assert found["shards"] == 2
    assert found["depth_mm"] == max(shard.measures["depth_mm"] for shard in report.shards)
    assert found["part_iou"] == min(shard.measures["part_iou"] for shard in report.shards)
    json.dumps(found, allow_nan=False)


def test_a_file_beside_the_manifest_or_lost_or_exchanged_is_a_fault(bare: Path, dressed: Path, tmp_path: Path) -> None:
    def names(report: Report) -> list[tuple[str, str]]:
        return [(fault.name, fault.file) for fault in report.all_faults]

    folder = folder_with(bare, to=tmp_path)
    shutil.copy(dressed, folder / dressed.name)
    assert names(verify(folder)) == [("manifest", dressed.name)]
    Manifest(folder).record(folder / dressed.name)
    (folder / bare.name).unlink()
    assert names(verify(folder)) == [("manifest", bare.name)]


def test_a_truncated_shard_is_a_fault_and_no_crash(bare: Path, tmp_path: Path) -> None:
    folder = folder_with(bare, to=tmp_path)
    content = bare.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        (folder / bare.name).write_bytes(content[:size])
        names = {fault.name for fault in verify(folder).all_faults}
        assert "manifest" in names
        assert "unreadable" in names
