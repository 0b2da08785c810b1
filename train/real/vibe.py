"""VIBE's joblib databases (Kocabas et al. 2020), read and written: videos cut into one row a frame."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from synth.errors import SynthError
from synth.files import replacing
from train.joints import joint_set, merged, split_49
from train.real import pickled
from train.real.files import Fields
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["VIBE", "write"]

Array = np.ndarray
WIDTHS_2D = {14: "lsp14", 25: "insta25", 49: "spin49"}
"""Joint set of "joints2D" by its number of points. VIBE's own PennAction database has 14 in LSP's order too, whatever
its training code takes them for."""
WIDTHS_3D = {14: "lsp14", 17: "mpi3d17", 24: "smpl24", 49: "spin49"}


class VIBE(Source):
    """One database (a .pt file written by joblib). Rows of one "vid_name" that follow each other are one track.

    3D joints are metric but only known up to a translation; "bbox" is centre and size. AMASS databases ("theta": pose
    and shape) are motions without pictures, root in the world.
    """

    name = "vibe"
    expects = "a joblib file such as 3dpw_train_db.pt"

    def _index(self) -> Sequence[Entry]:
        self.fields = _loaded(self.path)
        names = self.fields["vid_name"]
        cuts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
        self.spans = list(pairwise(cuts)) if len(names) else []
        return [Entry(name=f"{a:07d}/{names[a]}", frames=b - a, fps=None) for a, b in self.spans]

    def _read(self, index: int) -> Record:
        rows = slice(*self.spans[index])
        fields, frames = self.fields, self.entries[index].frames
        points, confidence = _points_2d(fields, rows)
        joints_set, joints = _points_3d(fields, rows)
        pose, betas = _smpl(fields, rows)
        boxes = np.empty((0, 4))
        if "bbox" in fields:
            held = fields["bbox"][rows].astype(np.float64)
            boxes = np.concatenate([held[:, :2] - held[:, 2:] / 2, held[:, :2] + held[:, 2:] / 2], axis=1)
        images: tuple[ImageRef, ...] = ()
        if "img_name" in fields:
            names = [str(name) for name in fields["img_name"][rows]]
            images = tuple(ImageRef(path=self.path.parent / name) for name in names)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=images,
            frame_ids=np.arange(frames) if "frame_id" not in fields else _numbers(fields["frame_id"][rows]),
            subject=str(fields["vid_name"][rows.start]),
            bbox=boxes,
            keypoints_set="vocabulary" if len(points) else "smpl24",
            keypoints_2d=points,
            confidence=confidence,
            joints_set=joints_set,
            joints_3d=joints,
            joints_absolute=False,
            smpl_frame="world" if "theta" in fields else "camera",
            global_orient=pose[:, :3],
            body_pose=pose[:, 3:].reshape(-1, 23, 3),
            betas=betas,
            features=fields["features"][rows].astype(np.float64) if "features" in fields else np.empty((0, 0)),
        )


def _numbers(values: Array) -> Array:
    return values.astype(np.int64)


def _names(fields: Fields, name: str) -> Array:
    """A column of text."""
    values = fields[name]
    array = np.asarray(values)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.ndim != 1 or array.dtype.kind != "U":
        raise fields.wrong(name, "a list of names", values)
    return array


def _loaded(path: Path) -> Fields:
    """The columns with their shapes checked, numbers in single precision."""
    fields = Fields(path, pickled.load(path))
    checked: dict[str, Any] = {"vid_name": _names(fields, "vid_name")}
    count = len(checked["vid_name"])
    shapes: dict[str, tuple[int | None, ...]] = {
        "joints2D": (None, 3), "joints3D": (None, 3), "pose": (72,), "shape": (10,), "theta": (82,), "bbox": (4,),
        "features": (None,), "valid": (), "frame_id": (),
    }  # fmt: skip
    for name, shape in shapes.items():
        if name in fields:
            array = fields.array(name, count, *shape)
            checked[name] = fields.integers(name, count) if name == "frame_id" else array.astype(np.float32)
    if "img_name" in fields:
        checked["img_name"] = _names(fields, "img_name")
        if len(checked["img_name"]) != count:
            raise fields.wrong("img_name", f"{count} names", fields["img_name"])
        for name in np.unique(checked["img_name"]).tolist():
            if ".." in name.split("/"):
                raise fields.wrong("img_name", "a path without '..'", name)
    for name, known in (("joints2D", WIDTHS_2D), ("joints3D", WIDTHS_3D)):
        if name in checked and checked[name].shape[1] not in known:
            raise fields.wrong(name, f"one of {', '.join(map(str, known))} points", checked[name])
    return Fields(path, checked)


def _points_2d(fields: Fields, rows: slice) -> tuple[Array, Array]:
    """Keypoints (T, P, 2) in the vocabulary, NaN where unknown, and their confidence."""
    from train.joints import convert

    if "joints2D" not in fields:
        return np.empty((0, 0, 2)), np.empty((0, 0))
    held = fields["joints2D"][rows].astype(np.float64)
    held = np.where((held[..., 2:] > 0) & _valid(fields, rows)[:, None, None], held, 0.0)
    if held.shape[1] == 49:
        return merged(held)
    known = np.isfinite(held).all(axis=-1) & (held[..., 2] > 0)
    points, known = convert(held, known, WIDTHS_2D[held.shape[1]], "vocabulary")
    return points[..., :2], np.where(known, np.nan_to_num(points[..., 2]).clip(0, 1), 0.0)


def _points_3d(fields: Fields, rows: slice) -> tuple[str, Array]:
    """Joint set and joints (T, J, 3) [m]; a point that is all zero was filled in by VIBE and is not known."""
    if "joints3D" not in fields:
        return "smpl24", np.empty((0, 0, 3))
    held = fields["joints3D"][rows].astype(np.float64)
    known = (held != 0).any(axis=-1) & _valid(fields, rows)[:, None]
    if held.shape[1] == 49:
        points, sure = merged_3d(held, known)
        return "vocabulary", np.where(sure[..., None], points, np.nan)
    return WIDTHS_3D[held.shape[1]], np.where(known[..., None], held, np.nan)


def merged_3d(points: Array, known: Array) -> tuple[Array, Array]:
    """SPIN's 49 points in 3D, carried into the vocabulary as `merged` does with keypoints."""
    from train.joints import convert

    detected, seen = convert(points[:, :25], known[:, :25], "openpose25", "vocabulary")
    annotated, given = convert(points[:, 25:], known[:, 25:], "spin24", "vocabulary")
    return np.where(given[..., None], annotated, detected), given | seen


def _valid(fields: Fields, rows: slice) -> Array:
    count = rows.stop - rows.start
    return fields["valid"][rows] > 0 if "valid" in fields else np.ones(count, dtype=bool)


def _smpl(fields: Fields, rows: slice) -> tuple[Array, Array]:
    """Pose (T, 72) and shape (T, 10), NaN where there are none; VIBE fills what it lacks with zeros."""
    frames = rows.stop - rows.start
    if "theta" in fields:
        theta = fields["theta"][rows].astype(np.float64)
        return theta[:, :72], theta[:, 72:]
    if "pose" not in fields or "shape" not in fields:
        return np.full((frames, 72), np.nan), np.full((frames, 10), np.nan)
    pose, betas = fields["pose"][rows].astype(np.float64), fields["shape"][rows].astype(np.float64)
    given = (np.abs(pose).sum(axis=1) + np.abs(betas).sum(axis=1) > 0) & _valid(fields, rows)
    return np.where(given[:, None], pose, np.nan), np.where(given[:, None], betas, np.nan)


def write(path: Path, records: Iterable[Record]) -> int:
    """Write records as one of VIBE's databases, zeros where labels are missing, as VIBE has it.

    Motions without pictures become an AMASS database ("theta"); frames without pose are left out of it. Records with
    and without pictures, or with and without features, do not go into one file.

    Returns:
        Number of rows.

    Raises:
        SynthError: records of both kinds.
    """
    columns: dict[str, list[Array]] = {}
    for record in records:
        rows = _motion_rows(record, path) if record.smpl_frame == "world" else _rows(record, path)
        if columns and columns.keys() != rows.keys():
            raise SynthError(f"{path}: {record.name} has other fields than the records before", "Write two files")
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    content = {name: np.concatenate(values) for name, values in columns.items()}
    with replacing(path) as part:
        joblib.dump(content, part)
    return len(content["vid_name"]) if content else 0


def _motion_rows(record: Record, path: Path) -> dict[str, Array]:
    known = record.pose_valid & record.betas_valid
    theta = np.concatenate([record.global_orient, record.body_pose.reshape(-1, 69), record.betas], axis=1)[known]
    return {"vid_name": np.array([record.name] * int(known.sum())), "theta": theta.astype(np.float32)}


def _rows(record: Record, path: Path) -> dict[str, Array]:
    known = record.pose_valid & record.betas_valid
    pose = np.concatenate([record.global_orient, record.body_pose.reshape(-1, 69)], axis=1)
    joints = np.zeros((len(record), 49, 3))
    joints[:, :] = split_49_3d(record)
    x0, y0, x1, y1 = np.where(record.bbox_valid[:, None], record.bbox, 0.0).T
    rows = {
        "vid_name": np.array([record.name] * len(record)),
        "frame_id": record.frame_ids.copy(),
        "joints2D": split_49(record.keypoints_2d, record.confidence, record.keypoints_set),
        "joints3D": joints,
        "pose": np.where(known[:, None], pose, 0.0),
        "shape": np.where(known[:, None], record.betas, 0.0),
        "bbox": np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], axis=1),
        "valid": (record.bbox_valid & (known | record.keypoints_valid.any(axis=1))).astype(np.float64),
    }
    if record.images:
        folder = path.parent
        names = [ref.path.relative_to(folder) if ref.path.is_relative_to(folder) else ref.path for ref in record.images]
        rows["img_name"] = np.array([name.as_posix() for name in names])
    if record.features.shape[1]:
        rows["features"] = record.features.astype(np.float32)
    return rows


def split_49_3d(record: Record) -> Array:
    """3D joints (T, 49, 3) [m] in SPIN's order, zero where unknown."""
    from train.joints import convert

    count = len(joint_set(record.joints_set))
    joints = record.joints_3d if record.joints_3d.shape[1] == count else np.full((len(record), count, 3), np.nan)
    halves = [convert(joints, np.isfinite(joints).all(axis=2), record.joints_set, s) for s in ("openpose25", "spin24")]
    return np.concatenate([np.where(known[..., None], points, 0.0) for points, known in halves], axis=1)
