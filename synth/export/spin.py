"""SPIN's npz: one row for each picture, as its preprocessed data sets have them."""

from pathlib import Path

import numpy as np

from synth.body.joints import KEYPOINT_SETS
from synth.export.labels import SPIN_JOINTS, boxes, named_points, ten_betas, views_of, write_pictures
from synth.shards.manifest import ShardFolder

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

NOTES = """\
labels.npz; pictures under images/. pose is SMPL's 72 axis-angles with the root in the camera's frame; S holds SPIN's 24
joints in the camera's frame relative to the pelvis [m], part the same in the picture [px], openpose OpenPose's 25; the
last column of each is a confidence. MPII's thorax (15) has no regressor here: its confidence is 0."""
CANNOT_HOLD = (
    "the translation and the camera: SPIN estimates a weak-perspective one",
    "label maps, cloth, motion over time",
    "visibility by cause; a confidence of 1 says inside the picture",
    "the body model's own kind: betas are of the model that export.json names",
)


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write labels.npz and the pictures; returns the number of pictures."""
    columns: dict[str, list[np.ndarray]] = {}
    openpose = tuple(("openpose25", name) for name in KEYPOINT_SETS["openpose25"].names)
    for view in views_of(shards):
        frames = view.seen(every)
        if len(frames) == 0:
            continue
        write_pictures(view, frames, out)
        centre, size = boxes(view, frames)
        count, layout = len(frames), view.reader.layout
        points, pixels, exists = (x[frames] if x.ndim > 1 else x for x in named_points(view, SPIN_JOINTS))
        _, body, body_exists = (x[frames] if x.ndim > 1 else x for x in named_points(view, openpose))
        rows = {
            "imgname": np.array([view.picture(t) for t in frames.tolist()]),
            "center": centre,
            "scale": size.max(axis=1) * 1.2 / 200,
            "part": _confident(pixels, _inside(pixels, exists, layout.width, layout.height)),
            "S": _confident(points - points[:, 14:15], np.broadcast_to(exists, (count, 24))),
            "openpose": _confident(body, _inside(body, body_exists, layout.width, layout.height)),
            "pose": view.pose_camera[frames],
            "shape": np.tile(ten_betas(view), (count, 1)),
            "has_smpl": np.ones(count),
            "gender": np.full(count, view.gender[0]),
        }
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    np.savez_compressed(out / "labels.npz", **{name: np.concatenate(parts) for name, parts in columns.items()})
    return sum(map(len, columns.get("imgname", [])))


def _inside(pixels: np.ndarray, exists: np.ndarray, width: int, height: int) -> np.ndarray:
    return exists & (pixels >= 0).all(axis=2) & (pixels < [width, height]).all(axis=2)


def _confident(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Append the confidence; what is not known is zero."""
    return np.concatenate([np.where(known[..., None], points, 0.0), known[..., None]], axis=2)
