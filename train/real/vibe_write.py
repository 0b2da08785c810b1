"""Write records as VIBE's databases, for code that reads those."""

from collections.abc import Iterable
from pathlib import Path

import h5py
import joblib
import numpy as np

from synth.errors import SynthError
from synth.files import replacing
from train.joints import convert, joint_set, split_49
from train.real.record import Record

__all__ = ["write"]

Array = np.ndarray
HDF5 = (".h5", ".hdf5")
CROP, MARGIN = 224, 1.2


def write(path: Path, records: Iterable[Record]) -> int:
    """Write records as one of VIBE's databases, zeros where labels are missing, as VIBE has it.

    A name that ends in .h5 gives the HDF5 form of its InstaVariety (names, frame numbers, 25 keypoints in the crop of
    224 pixels around the box, features if there are any), record by record; any other name the joblib form, in which
    motions without pictures become an AMASS database ("theta"), frames without pose left out. Records with and without
    pictures, or with and without features, do not go into one file.

    Returns:
        Number of rows.

    Raises:
        SynthError: records of both kinds.
    """
    if path.suffix in HDF5:
        return _write_hdf5(path, records)
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
    known, betas = record.pose_valid, np.where(record.betas_valid[:, None], record.betas, 0.0)
    theta = np.concatenate([record.global_orient, record.body_pose.reshape(-1, 69), betas], axis=1)[known]
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
    count = len(joint_set(record.joints_set))
    joints = record.joints_3d if record.joints_3d.shape[1] == count else np.full((len(record), count, 3), np.nan)
    halves = [convert(joints, np.isfinite(joints).all(axis=2), record.joints_set, s) for s in ("openpose25", "spin24")]
    return np.concatenate([np.where(known[..., None], points, 0.0) for points, known in halves], axis=1)


def _write_hdf5(path: Path, records: Iterable[Record]) -> int:
    """The HDF5 form; what is held in memory is one record and the names of all."""
    names, lengths, count = [], [], 0
    with replacing(path) as part, h5py.File(part, "w") as file:
        for record in records:
            rows = _crop_rows(record)
            if count and {*file} != {*rows}:
                raise SynthError(f"{path}: {record.name} has other fields than the records before", "Write two files")
            for name, values in rows.items():
                if name not in file:
                    file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=True)
                    continue
                file[name].resize(count + len(values), axis=0)  # pyright: ignore[reportAttributeAccessIssue]
                file[name][count:] = values  # pyright: ignore[reportIndexIssue]
            names.append(record.name.encode())
            lengths.append(len(record))
            count += len(record)
        file["vid_name"] = np.repeat(np.array(names, dtype=np.bytes_), lengths)
    return count


def _crop_rows(record: Record) -> dict[str, Array]:
    """Keypoints (T, 25, 3): pixels of the crop around the box (of the picture, if that is a crop), and confidence."""
    points, known = convert(record.keypoints_2d, record.keypoints_valid, record.keypoints_set, "insta25")
    sure, _ = convert(record.confidence[..., None], record.keypoints_valid, record.keypoints_set, "insta25")
    if record.image_size != (CROP, CROP):
        low, high = record.bbox[:, :2], record.bbox[:, 2:]
        side = MARGIN * (high - low).max(axis=1)
        points = (points - (low + high)[:, None] / 2) / side[:, None, None] * CROP + CROP / 2
        known &= record.bbox_valid[:, None]
    joints = np.concatenate([points, sure], axis=-1)
    rows = {"frame_id": record.frame_ids.copy(), "joints2D": np.where(known[..., None], joints, 0.0)}
    if record.features.shape[1]:
        rows["features"] = record.features.astype(np.float32)
    return rows
