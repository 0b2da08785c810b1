"""Leeds Sports Pose (Johnson and Everingham 2010) and its extended training set (2011): single pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from train.real.files import Fields
from train.real.geometry import FROM_MATLAB, box_around
from train.real.matlab import mat_fields
from train.real.record import OCCLUDED, ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["LSP", "LSPET"]

Array = np.ndarray


class _Leeds(Source):
    """What both sets share: joints.mat with LSP's 14 joints."""

    def _index(self) -> Sequence[Entry]:
        self.points, self.confidence = self._joints()
        self.numbers = self._chosen(len(self.points))
        return [Entry(name=f"im{number + 1:05d}", frames=1, fps=None) for number in self.numbers]

    def _joints(self) -> tuple[Array, Array]:
        """Pixels (N, 14, 2) and confidence (N, 14)."""
        raise NotImplementedError

    def _chosen(self, pictures: int) -> range:
        """Numbers, from 0, of the pictures of the split."""
        return range(pictures)

    def _picture(self, number: int) -> Path:
        raise NotImplementedError

    def _read(self, index: int) -> Record:
        number = self.numbers[index]
        points = np.where(self.confidence[number, :, None] > 0, self.points[number], np.nan)[None]
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=(ImageRef(path=self._picture(number)),),
            frame_ids=np.array([number]),
            split=self.split,
            bbox=box_around(points),
            keypoints_set="lsp14",
            keypoints_2d=points,
            confidence=self.confidence[number][None],
        )


class LSP(_Leeds):
    """LSP, also in its original size. The flag is 1 for joints that are HIDDEN; they are annotated all the same."""

    name = "lsp"
    splits = ("train", "test")
    expects = "a folder with joints.mat and images/im0001.jpg"
    TRAINING: ClassVar[int] = 1000

    def _joints(self) -> tuple[Array, Array]:
        joints = mat_fields(self.path / "joints.mat", "joints").array("joints", 3, 14, None).transpose(2, 1, 0)
        return joints[..., :2] + FROM_MATLAB, np.where(joints[..., 2] == 0, 1.0, OCCLUDED)

    def _chosen(self, pictures: int) -> range:
        half = min(self.TRAINING, pictures)
        return range(half) if self.split == "train" else range(half, pictures)

    def _picture(self, number: int) -> Path:
        return self.path / "images" / f"im{number + 1:04d}.jpg"


class LSPET(_Leeds):
    """LSP extended. The flag is 1 for joints that are SEEN; the others were not annotated.

    Its later edition in high resolution has fewer pictures, as PNG beside joints.mat, in the order of their names.
    """

    name = "lspet"
    expects = "a folder with joints.mat and images/im00001.jpg"

    def _joints(self) -> tuple[Array, Array]:
        joints = mat_fields(self.path / "joints.mat", "joints").array("joints", 14, 3, None).transpose(2, 0, 1)
        seen, unset = joints[..., 2] == 1, (joints[..., :2] <= 0).all(axis=-1)
        if seen.any() and unset[seen].mean() > 0.5:
            said = "flags of 1 for joints that are annotated"
            raise Fields(self.path / "joints.mat", {}).wrong("joints", said, "flags of 1 where nothing is")
        self.large = sorted(self.path.glob("im*.png"))
        return joints[..., :2] + FROM_MATLAB, (joints[..., 2] == 1).astype(np.float64)

    def _chosen(self, pictures: int) -> range:
        return range(min(pictures, len(self.large)) if self.large else pictures)

    def _picture(self, number: int) -> Path:
        return self.large[number] if self.large else self.path / "images" / f"im{number + 1:05d}.jpg"
