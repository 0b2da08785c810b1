"""SPIN's npz files (Kolotouros et al. 2019), read and written: single pictures with 49 keypoints and 24 3D joints."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from synth.files import replacing
from train.joints import convert, merged, split_49
from train.real.files import Fields, npz_fields
from train.real.geometry import square
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["SPIN", "write"]

Array = np.ndarray
MARGIN = 1.2
"""Ratio of the side that "scale" describes to the person's own box."""
GENDERS = {"m": "male", "f": "female", "male": "male", "female": "female", "n": "neutral", "neutral": "neutral"}


class SPIN(Source):
    """One npz file as SPIN's preprocessing writes it; picture names are relative to its folder.

    S holds joints relative to the pelvis; where "has_smpl" is 0 (or pose is missing) there is no SMPL.
    """

    name = "spin"
    expects = "an npz file with imgname, center, scale and part, pictures below its folder"

    def _index(self) -> Sequence[Entry]:
        self.fields = _loaded(self.path)
        names = self.fields["imgname"]
        return [Entry(name=f"{i:07d}/{name}", frames=1, fps=None) for i, name in enumerate(names)]

    def _read(self, index: int) -> Record:
        fields, row = self.fields, slice(index, index + 1)
        side = 200 * fields.array("scale")[row].ravel() / MARGIN
        points, confidence = merged(_points(fields, row))
        pose, betas = _smpl(fields, row)
        joints = np.empty((0, 0, 3))
        if "S" in fields:
            held = fields["S"][row].astype(np.float64)
            joints = np.where(held[..., 3:] > 0, held[..., :3], np.nan)
        name = str(fields["imgname"][index])
        Fields(fields.path, {"imgname": name}).below(Path(), "imgname")
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=(ImageRef(path=self.path.parent / name),),
            frame_ids=np.array([index]),
            gender=_gender(fields, index),
            bbox=square(fields["center"][row].astype(np.float64), side),
            keypoints_set="vocabulary",
            keypoints_2d=points,
            confidence=confidence,
            joints_set="spin24",
            joints_3d=joints,
            joints_absolute=False,
            global_orient=pose[:, :3],
            body_pose=pose[:, 3:].reshape(-1, 23, 3),
            betas=betas,
        )


def _loaded(path: Path) -> Fields:
    """The arrays, with their shapes checked, in single precision."""
    fields = npz_fields(
        path, "imgname", "center", "scale", "part", "S", "openpose", "pose", "shape", "has_smpl", "gender"
    )
    names = fields["imgname"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise fields.wrong("imgname", "a list of names", names)
    count = len(names)
    shapes = {"center": (2,), "part": (24, 3), "S": (24, 4), "openpose": (25, 3), "pose": (72,), "shape": (10,)}
    checked = {"imgname": names, "scale": fields.array("scale").reshape(-1)}
    if len(checked["scale"]) != count:
        raise fields.wrong("scale", f"{count} numbers", fields["scale"])
    for name, shape in shapes.items():
        if name in fields or name == "center":
            checked[name] = fields.singles(name, count, *shape)
    for name in ("has_smpl", "gender"):
        if name in fields:
            if fields[name].shape != (count,):
                raise fields.wrong(name, f"{count} values", fields[name])
            checked[name] = fields[name]
    return Fields(path, checked)


def _points(fields: Fields, row: slice) -> Array:
    """The 49 keypoints (1, 49, 3), zeros where the file has none."""
    detected = fields["openpose"][row] if "openpose" in fields else np.zeros((1, 25, 3))
    annotated = fields["part"][row] if "part" in fields else np.zeros((1, 24, 3))
    return np.concatenate([detected, annotated], axis=1).astype(np.float64)


def _smpl(fields: Fields, row: slice) -> tuple[Array, Array]:
    """Pose (1, 72) and shape (1, 10), NaN where there are none."""
    if "pose" not in fields or "shape" not in fields:
        return np.full((1, 72), np.nan), np.full((1, 10), np.nan)
    has = fields.array("has_smpl")[row] > 0 if "has_smpl" in fields else np.ones(1, dtype=bool)
    kept = has[:, None]
    return np.where(kept, fields["pose"][row], np.nan), np.where(kept, fields["shape"][row], np.nan)


def _gender(fields: Fields, index: int) -> str:
    if "gender" not in fields:
        return "neutral"
    return GENDERS.get(str(fields["gender"][index]).lower(), "neutral")


def write(path: Path, records: Iterable[Record]) -> int:
    """Write records as SPIN does, one row a frame; frames without a box or a picture are left out.

    Returns:
        Number of rows.
    """
    rows: list[dict[str, Array | str]] = []
    for record in records:
        rows += _rows(record, path.parent)
    columns: dict[str, Array] = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **columns)  # pyright: ignore[reportArgumentType]
    return len(rows)


def _rows(record: Record, folder: Path) -> list[dict[str, Array | str]]:
    points = split_49(record.keypoints_2d, record.confidence, record.keypoints_set)
    joints, known = convert(record.joints_3d, record.joints_valid, record.joints_set, "spin24")
    joints = _rooted(joints)
    S = np.concatenate([np.where(known[..., None], joints, 0.0), known[..., None].astype(np.float64)], axis=-1)
    has = record.pose_valid & record.betas_valid
    pose = np.concatenate([record.global_orient, record.body_pose.reshape(-1, 69)], axis=1)
    rows = []
    for t in np.flatnonzero(record.bbox_valid if record.images else []).tolist():
        x0, y0, x1, y1 = record.bbox[t]
        rows.append(
            {
                "imgname": _relative(record.images[t].path, folder),
                "center": np.array([(x0 + x1) / 2, (y0 + y1) / 2]),
                "scale": np.array(MARGIN * max(x1 - x0, y1 - y0) / 200),
                "openpose": points[t, :25],
                "part": points[t, 25:],
                "S": S[t],
                "pose": np.where(has[t], pose[t], 0.0),
                "shape": np.where(has[t], record.betas[t], 0.0),
                "has_smpl": np.array(int(has[t]), dtype=np.uint8),
                "gender": record.gender[0],
            }
        )
    return rows


def _rooted(joints: Array) -> Array:
    """Joints relative to the middle of the hips, where it is known."""
    hips = joints[:, 14] if joints.shape[1] > 14 else joints[:, :1].mean(axis=1)
    middle = (joints[:, 2] + joints[:, 3]) / 2
    root = np.where(np.isfinite(hips), hips, middle)
    return joints - np.where(np.isfinite(root), root, 0.0)[:, None]


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
