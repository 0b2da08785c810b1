"""A real data set: a list of tracks that are read one at a time, and the registry that opens it by name."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from synth.errors import SynthError
from train.real.record import Record

__all__ = ["SOURCES", "Entry", "Source", "open_source", "source_class"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a track without reading it."""

    name: str
    frames: int
    fps: float | None
    """[Hz]; None for a single picture or if unknown."""


class Source(ABC):
    """A data set on disk, in the files it is distributed in. Opening it reads no more than an index.

    `len(source)` tracks; `source[i]` reads one, `source.entries[i]` tells its length. Instances may be pickled, and
    handed to DataLoader workers: no file stays open.

    Args:
        path: The folder (or file) that the data set was unpacked to.
        split: One of `splits`; None for the first of them.
        bodies: Folder of licensed SMPL models, for the few labels that cannot be had without: see docs/real-data.md.

    Raises:
        SynthError: the folder does not hold this data set.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("train",)
    expects: ClassVar[str]
    """What `path` must hold, one line."""

    def __init__(self, path: Path, split: str | None = None, bodies: Path | None = None) -> None:
        self.path, self.bodies = Path(path).expanduser(), bodies
        self.split = self.splits[0] if split is None else split
        if self.split not in self.splits:
            raise SynthError(f"{self.name}: split {split!r} is unknown", f"It has {', '.join(self.splits)}")
        if not self.path.exists():
            raise SynthError(f"{self.path}: no such file or folder", f"{self.name} expects {self.expects}")
        self.entries = tuple(self._index())
        if not self.entries:
            raise SynthError(f"{self.path}: no {self.split} data of {self.name}", f"It expects {self.expects}")

    @abstractmethod
    def _index(self) -> Sequence[Entry]:
        """List the tracks; called once."""

    @abstractmethod
    def _read(self, index: int) -> Record:
        """Read a track.

        Raises:
            SynthError: a file is damaged; the message names file and field.
        """

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Record:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: track {index} of {len(self)}")
        return self._read(index)

    def __iter__(self) -> Iterator[Record]:
        return (self[i] for i in range(len(self)))


SOURCES: dict[str, tuple[str, str, str]] = {
    "3dpw": ("train.real.threedpw", "ThreeDPW", "3D Poses in the Wild: sequenceFiles, imageFiles"),
    "h36m": ("train.real.h36m", "H36M", "Human3.6M: CDF poses, or JSON with NeuralAnnot's SMPL"),
    "3dhp": ("train.real.mpi3d", "MPI3D", "MPI-INF-3DHP: annot.mat, annot_data.mat"),
    "emdb": ("train.real.emdb", "EMDB", "EMDB: moving camera, for evaluation"),
    "coco": ("train.real.coco", "COCO", "COCO keypoints: person_keypoints_train2017.json"),
    "eft": ("train.real.eft", "EFT", "SMPL fits to COCO, MPII, LSPet"),
    "mpii": ("train.real.mpii", "MPII", "MPII Human Pose: .mat or JSON"),
    "lsp": ("train.real.lsp", "LSP", "Leeds Sports Pose"),
    "lspet": ("train.real.lsp", "LSPET", "Leeds Sports Pose extended"),
    "penn": ("train.real.penn", "PennAction", "Penn Action: labels/*.mat"),
    "posetrack": ("train.real.posetrack", "PoseTrack", "PoseTrack 2018"),
    "insta": ("train.real.insta", "InstaVariety", "InstaVariety's tfrecords"),
    "amass": ("train.real.amass", "AMASS", "AMASS: motions without pictures"),
    "vibe": ("train.real.vibe", "VIBE", "a VIBE joblib database"),
    "spin": ("train.real.spin", "SPIN", "a SPIN npz file"),
}
"""Module, class and one line for each data set."""


def source_class(name: str) -> type[Source]:
    """The reader of a data set.

    Raises:
        SynthError: there is none of that name.
    """
    if name not in SOURCES:
        raise SynthError(f"data set {name!r} is unknown", f"Known: {', '.join(SOURCES)}")
    module, kind, _ = SOURCES[name]
    return getattr(importlib.import_module(module), kind)


def open_source(name: str, path: Path | str, split: str | None = None, bodies: Path | None = None) -> Source:
    """Open a data set.

    Args:
        name: One of `SOURCES`.
        path: The folder or file that it was unpacked to.
        split: Which part of it; None for the one to train on (or the only one).
        bodies: Folder of licensed SMPL models; None to do without.

    Raises:
        SynthError: unknown name or split, or the folder does not hold this data set.
    """
    return source_class(name)(Path(path), split, bodies)
