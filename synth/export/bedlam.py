"""BEDLAM's npz: one row for each picture (its training labels' names and conventions)."""

from pathlib import Path

import numpy as np

from synth.export.labels import boxes, views_of, write_pictures
from synth.shards.manifest import ShardFolder

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

NOTES = """\
labels.npz; pictures under images/. A vertex of the body model posed with pose_cam, shape and trans_cam, plus
cam_ext[:3, 3], lies in the camera's frame; cam_int projects it. gtkps holds SMPL's 24 joints [px], unrounded, third
column 1 where the joint is seen. scale is the larger side of the person's box x 1.2 / 200."""
CANNOT_HOLD = (
    "label maps (depth, flow, normals, parts, garments)",
    "cloth meshes and their quality",
    "visibility by cause: only seen or not",
    "the body model's own kind: betas are of the model that export.json names, not of SMPL-X",
    "hands and face: pose has 24 joints, not SMPL-X's 55; proj_verts is not written",
)


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write labels.npz and the pictures; returns the number of pictures."""
    columns: dict[str, list[np.ndarray]] = {}
    for view in views_of(shards):
        frames = view.seen(every)
        if len(frames) == 0:
            continue
        write_pictures(view, frames, out)
        centre, size = boxes(view, frames)
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
            "gender": np.full(count, view.gender),
            "motion_info": np.full(count, str(view.entry.attributes.get("motion", ""))),
            "sub": np.full(count, view.entry.clip_id),
        }
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    np.savez_compressed(out / "labels.npz", **{name: np.concatenate(parts) for name, parts in columns.items()})
    return sum(map(len, columns.get("imgname", [])))
