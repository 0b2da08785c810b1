"""VIBE's joblib database: one row for each frame of each video."""

from pathlib import Path

import joblib
import numpy as np

from synth.body.joints import KEYPOINT_SETS
from synth.export.labels import SPIN_JOINTS, boxes, named_points, ten_betas, views_of, write_pictures
from synth.shards.manifest import ShardFolder

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

NOTES = """\
db.pt, read with joblib.load; pictures under images/. Joints are the 49 of VIBE's "spin" set: OpenPose's 25, then SPIN's
24 (MPII's thorax is missing: confidence 0). joints3D is in the camera's frame relative to the pelvis [m], bbox is
centre x, centre y, width, height [px] of a square 1.2 times the person's box; pose has the root's rotation in the
camera's frame. VIBE's Dataset3D reads it as its `h36m` does: 49 joints with SMPL's parameters."""
CANNOT_HOLD = (
    "features: they come from a network (SPIN's), not from the data; VIBE's own script computes them from the pictures",
    "the translation and the camera",
    "label maps and cloth",
    "visibility by cause; a confidence of 1 says inside the picture",
    "the body model's own kind: betas are of the model that export.json names",
)
_JOINTS = (*(("openpose25", name) for name in KEYPOINT_SETS["openpose25"].names), *SPIN_JOINTS)


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write db.pt and the pictures; returns the number of pictures."""
    columns: dict[str, list[np.ndarray]] = {}
    for view in views_of(shards):
        frames = np.arange(0, len(view), every)
        valid = np.isfinite(view.bbox[frames]).all(axis=1)
        write_pictures(view, frames, out)
        centre, size = boxes(view, frames)
        side = size.max(axis=1) * 1.2
        count, layout = len(frames), view.reader.layout
        points, pixels, exists = (x[frames] if x.ndim > 1 else x for x in named_points(view, _JOINTS))
        inside = exists & (pixels >= 0).all(axis=2) & (pixels < [layout.width, layout.height]).all(axis=2)
        rows = {
            "vid_name": np.full(count, view.name),
            "frame_id": frames,
            "img_name": np.array([view.picture(t) for t in frames.tolist()]),
            "joints2D": np.concatenate([pixels, inside[..., None]], axis=2),
            "joints3D": np.where(exists[:, None], points - points[:, 25 + 14 : 25 + 15], 0.0),
            "pose": view.pose_camera[frames],
            "shape": np.tile(ten_betas(view), (count, 1)),
            "bbox": np.nan_to_num(np.column_stack([centre, side, side])),
            "valid": valid.astype(np.float64),
        }
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    joblib.dump({name: np.concatenate(parts) for name, parts in columns.items()}, out / "db.pt")
    return sum(map(len, columns.get("img_name", [])))
