"""VIBE's databases (Kocabas et al. 2020), read: videos cut into one row a frame. `vibe_write` writes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.joints import convert, merged, mirror
from train.real.files import Fields
from train.real.geometry import square
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source
from train.real.vibe_columns import WIDTHS_2D, WIDTHS_3D, InFile, opened
from train.real.vibe_write import write

__all__ = ["VIBE", "write"]

Array = np.ndarray
CROP, MARGIN = 224, 1.2
"""Side of the crops that the HDF5 form counts pixels in, and its ratio to the person's box."""
_ANCESTORS = 4


class VIBE(Source):
    """One database (.pt by joblib, or .h5). Rows of one "vid_name" that follow each other are one track.

    3D joints are metric but only known up to a translation; "bbox" is centre and size. AMASS databases ("theta": pose
    and shape) are motions without pictures, root in the world. The HDF5 form (InstaVariety) is read a track at a time;
    its keypoints lie in the crop that the features are of, so the box is the crop's.
    """

    name = "vibe"
    expects = "a joblib file such as 3dpw_train_db.pt, or insta_train_db.h5"

    def _index(self) -> Sequence[Entry]:
        self.columns = opened(self.path)
        self.crops = isinstance(self.columns, InFile)
        self.spans = self.columns.spans()
        self.folder, self.exchanged = self.path.parent, False
        if self.spans:
            first = self.columns.rows(0, 1)
            self.exchanged = _exchanged(first, self.spans)
            if "img_name" in first:
                self.folder = _folder(self.path.parent, str(first["img_name"][0]))
        return [Entry(name=f"{a:07d}/{name}", frames=b - a, fps=None) for a, b, name in self.spans]

    def _read(self, index: int) -> Record:
        start, stop, video = self.spans[index]
        fields, frames = self.columns.rows(start, stop), stop - start
        points, confidence = _points_2d(fields, frames, self.exchanged)
        joints_set, joints = _points_3d(fields, frames)
        pose, betas = _smpl(fields, frames)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=tuple(ImageRef(path=self.folder / str(name)) for name in fields.content.get("img_name", ())),
            image_size=(CROP, CROP) if self.crops else None,
            frame_ids=fields.content.get("frame_id", np.arange(frames)),
            subject=video,
            bbox=self._boxes(fields, frames),
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
            features=fields["features"].astype(np.float64) if "features" in fields else np.empty((0, 0)),
        )

    def _boxes(self, fields: Fields, frames: int) -> Array:
        if "bbox" in fields:
            held = fields["bbox"].astype(np.float64)
            return np.concatenate([held[:, :2] - held[:, 2:] / 2, held[:, :2] + held[:, 2:] / 2], axis=1)
        if self.crops:
            return square(np.full((frames, 2), CROP / 2), np.full(frames, CROP / MARGIN))
        return np.empty((0, 4))


def _exchanged(first: Fields, spans: list[tuple[int, int, str]]) -> bool:
    """Whether left and right of "joints2D" are exchanged: in what VIBE made of Penn Action.

    It took the order of the data set's README, which has them the wrong way round (`train.real.penn`). The database
    is known by its 14 points and by videos that are named after Penn Action's label files.
    """
    if "joints2D" not in first or first["joints2D"].shape[1] != 14:
        return False
    return all(name.endswith(".mat") for _, _, name in spans)


def _folder(folder: Path, name: str) -> Path:
    """Where names of pictures start from: the database's folder, or one above it (VIBE notes "data/3dpw/...")."""
    found = [base for base in (folder, *folder.parents[:_ANCESTORS]) if (base / name).exists()]
    return found[0] if found else folder


def _points_2d(fields: Fields, frames: int, exchanged: bool) -> tuple[Array, Array]:
    """Keypoints (T, P, 2) in the vocabulary, NaN where unknown, and their confidence."""
    if "joints2D" not in fields:
        return np.empty((0, 0, 2)), np.empty((0, 0))
    held = fields["joints2D"].astype(np.float64)
    if exchanged:
        held = held[:, mirror("lsp14")]
    held = np.where((held[..., 2:] > 0) & _valid(fields, frames)[:, None, None], held, 0.0)
    if held.shape[1] == 49:
        return merged(held)
    known = np.isfinite(held).all(axis=-1) & (held[..., 2] > 0)
    points, known = convert(held, known, WIDTHS_2D[held.shape[1]], "vocabulary")
    return points[..., :2], np.where(known, np.nan_to_num(points[..., 2]).clip(0, 1), 0.0)


def _points_3d(fields: Fields, frames: int) -> tuple[str, Array]:
    """Joint set and joints (T, J, 3) [m]; a point that is all zero was filled in by VIBE and is not known."""
    if "joints3D" not in fields:
        return "smpl24", np.empty((0, 0, 3))
    held = fields["joints3D"].astype(np.float64)
    known = (held != 0).any(axis=-1) & _valid(fields, frames)[:, None]
    if held.shape[1] == 49:
        points, sure = merged_3d(held, known)
        return "vocabulary", np.where(sure[..., None], points, np.nan)
    return WIDTHS_3D[held.shape[1]], np.where(known[..., None], held, np.nan)


def merged_3d(points: Array, known: Array) -> tuple[Array, Array]:
    """SPIN's 49 points in 3D, carried into the vocabulary as `merged` does with keypoints."""
    detected, seen = convert(points[:, :25], known[:, :25], "openpose25", "vocabulary")
    annotated, given = convert(points[:, 25:], known[:, 25:], "spin24", "vocabulary")
    return np.where(given[..., None], annotated, detected), given | seen


def _valid(fields: Fields, frames: int) -> Array:
    return fields["valid"] > 0 if "valid" in fields else np.ones(frames, dtype=bool)


def _smpl(fields: Fields, frames: int) -> tuple[Array, Array]:
    """Pose (T, 72) and shape (T, 10), NaN where there are none; VIBE fills what it lacks with zeros."""
    if "theta" in fields:
        theta = fields["theta"].astype(np.float64)
        return theta[:, :72], np.where((theta[:, 72:] != 0).any(axis=1, keepdims=True), theta[:, 72:], np.nan)
    if "pose" not in fields or "shape" not in fields:
        return np.full((frames, 72), np.nan), np.full((frames, 10), np.nan)
    pose, betas = fields["pose"].astype(np.float64), fields["shape"].astype(np.float64)
    given = (np.abs(pose).sum(axis=1) + np.abs(betas).sum(axis=1) > 0) & _valid(fields, frames)
    return np.where(given[:, None], pose, np.nan), np.where(given[:, None], betas, np.nan)
