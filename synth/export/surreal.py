"""SURREAL's files: `<sequence>_c%04d` with .mp4, _info.mat, _depth.mat, _segm.mat and _gtflow.mat."""

from pathlib import Path

import numpy as np
import scipy.io
from jaxtyping import Float

from synth.export.labels import View, ten_betas, views_of
from synth.export.video import encode
from synth.shards.drawing import Scene, draw, scene_of
from synth.shards.manifest import ShardFolder

Array = np.ndarray

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

NOTES = """\
<clip id>_v<view>_c0001 with .mp4, _info.mat, _depth.mat (1e10 behind the person), _segm.mat (24 parts) and _gtflow.mat
(backward, t -> t-1, y up). joints3D and camLoc lie in a world in which SURREAL's own formulas for extrinsics and
intrinsics give the picture; that world is mirrored, as SURREAL's is (its matrix has determinant -1). pose begins with
the root's rotation in the (unmirrored) camera's frame, and zrot is 0. gender: 0 female, 1 male. joints2D are not
rounded (in SURREAL they are)."""
CANNOT_HOLD = (
    "a moving camera: camLoc is one point; the motion is put into the person instead",
    "a focal length: SURREAL's readers assume 600 px; info's extra field `intrinsics` has the real matrix",
    "a neutral body: written as gender 1, see `gender_name`",
    "normals, garments, visibility, cloth meshes",
    "lights: area lamps and a spherical picture are no spherical harmonics; info has no light, bg and cloth",
    "the body model's own kind: betas are of the model that export.json names",
)
_R_CAMERA_WORLD = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])
"""SURREAL's fixed rotation from its world to OpenCV's camera; determinant -1."""
_CAMERA = np.zeros((3, 1), dtype=np.float32)


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write five files for each view; returns the number of pictures."""
    count = 0
    for view in views_of(shards):
        name = out / f"{view.name}_c0001"
        frames = list(range(0, len(view), every))
        window = [view.reader.frame(view.view, t, ("rgb", "depth", "parts")) for t in frames]
        encode(
            np.stack([maps["rgb"] for maps in window]), view.reader.attributes["fps"] / every, name.with_suffix(".mp4")
        )
        depth = [np.where(maps["depth"] > 0, maps["depth"], 1e10).astype(np.float32) for maps in window]
        _save(f"{name}_info.mat", _info(view, frames))
        _save(f"{name}_depth.mat", {f"depth_{k + 1}": values for k, values in enumerate(depth)})
        _save(f"{name}_segm.mat", {f"segm_{k + 1}": maps["parts"] for k, maps in enumerate(window)})
        _save(f"{name}_gtflow.mat", {f"gtflow_{k + 1}": f for k, f in enumerate(_backward(view, frames))})
        count += len(frames)
    return count


def _save(path: str, content: dict[str, object]) -> None:
    scipy.io.savemat(path, content, do_compression=True)


def _info(view: View, frames: list[int]) -> dict[str, object]:
    count = len(frames)
    joints = view.joints_camera[frames] @ _R_CAMERA_WORLD  # transpose of the rotation, applied from the right
    return {
        "joints2D": np.nan_to_num(view.keypoints_2d[frames]).transpose(2, 1, 0).astype(np.float32),
        "joints3D": joints.transpose(2, 1, 0).astype(np.float32),
        "pose": view.pose_camera[frames].T.astype(np.float32),
        "shape": np.tile(ten_betas(view)[:, None], (1, count)).astype(np.float32),
        "gender": np.full((count, 1), 0 if view.gender == "female" else 1, dtype=np.uint8),
        "gender_name": view.gender,
        "camLoc": _CAMERA,
        "camDist": np.float32(np.median(view.joints_camera[frames, 0, 2])),
        "zrot": np.zeros((count, 1), dtype=np.float32),
        "intrinsics": view.K,
        "sequence": view.name,
        "source": str(view.entry.attributes.get("motion", "")),
        "clipNo": 1.0,
        "stride": np.uint8(0),
    }


def _backward(view: View, frames: list[int]) -> list[Float[Array, "H W 2"]]:
    """Flow to the previous picture (dx to the right, dy up) [px], drawn from the meshes; zero in the first."""
    layout, reader = view.reader.layout, view.reader
    scene: Scene = scene_of(reader, reader.clip("faces").astype(np.int64), reader.clip("face_parts"))
    flows = []
    for k, t in enumerate(frames):
        flow = np.zeros((layout.height * layout.width, 2), dtype=np.float32)
        if k:
            now, before = (scene.in_camera(view.T_camera_world, frame) for frame in (t, frames[k - 1]))
            drawn = draw(scene, now, before, view.K, layout.width, layout.height)
            flow[drawn.pixel] = drawn.flow * [1.0, -1.0]
        flows.append(flow.reshape(layout.height, layout.width, 2))
    return flows
