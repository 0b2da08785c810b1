"""BEDLAM's npz: one row for each picture (its training labels' names and conventions)."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from synth.export.labels import View, views_of, write_pictures
from synth.shards.manifest import ShardFolder

Array = np.ndarray

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

NOTES = """\
labels.npz; pictures under images/. A vertex of the body model posed with pose_cam, shape and trans_cam, plus
cam_ext[:3, 3], lies in the camera's frame; cam_int projects it. gtkps holds SMPL's 24 joints [px], unrounded, third
column 1 where the joint is seen. center and scale are those of the box around the first 22 joints that lie in the
picture, its larger side x 1.2 / 200; a picture with fewer than 8 of them is left out. gender is m, f or n."""
CANNOT_HOLD = (
    "label maps (depth, flow, normals, parts, garments)",
    "cloth meshes and their quality",
    "visibility by cause: only seen or not",
    "the body model's own kind: betas are of the model that export.json names, not of SMPL-X",
    "hands and face: pose has 24 joints, not SMPL-X's 55; proj_verts is not written",
)
_BOX_JOINTS = 22
_FEWEST = 8
"""BEDLAM leaves out pictures that show fewer joints."""


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write labels.npz and the pictures; returns the number of pictures."""
    columns: dict[str, list[np.ndarray]] = {}
    for view in views_of(shards):
        frames = view.seen(every)
        centre, size, enough = _joints_boxes(view, frames)
        frames, centre, size = frames[enough], centre[enough], size[enough]
        if len(frames) == 0:
            continue
        write_pictures(view, frames, out)
        pose = view.T_camera_world[frames]
        points = np.concatenate(
            [np.nan_to_num(view.keypoints_2d[frames]), (view.visibility[frames] == 0)[..., None]], axis=2
        )
        count = len(frames)
        rows = {
            "imgname": np.array([view.picture(t) for t in frames.tolist()]),
            "center": centre,
            "scale": size.max(axis=1) * 1.2 / 200,
            "pose_cam": view.pose_camera[frames],
            "pose_world": np.concatenate([view.orient_world, view.body_pose], axis=1)[frames],
            "shape": np.tile(view.betas, (count, 1)),
            "trans_cam": view.transl_camera[frames] - pose[:, :3, 3],
            "trans_world": view.transl_world[frames],
            "gtkps": points,
            "cam_int": np.tile(view.K, (count, 1, 1)),
            "cam_ext": pose,
            "gender": np.full(count, view.gender[0]),
            "motion_info": np.full(count, str(view.entry.attributes.get("motion", ""))),
            "sub": np.full(count, view.entry.clip_id),
        }
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    np.savez_compressed(out / "labels.npz", **{name: np.concatenate(parts) for name, parts in columns.items()})
    return sum(map(len, columns.get("imgname", [])))


def _joints_boxes(
    view: View, frames: Int[Array, " N"]
) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"], Bool[Array, " N"]]:
    """Centre and size [px] of the box around the joints (hands aside) in the picture; whether enough of them are."""
    points = view.keypoints_2d[frames][:, :_BOX_JOINTS]
    inside = ((points >= 0) & (points <= [view.reader.layout.width, view.reader.layout.height])).all(axis=2)
    low = np.where(inside[..., None], points, np.inf).min(axis=1)
    high = np.where(inside[..., None], points, -np.inf).max(axis=1)
    with np.errstate(invalid="ignore"):  # no joint at all
        return (low + high) / 2, high - low, inside.sum(axis=1) >= _FEWEST
