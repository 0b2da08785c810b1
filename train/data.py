"""Windows of consecutive frames out of a folder of shards, for PyTorch: at random or as a stream."""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from synth.errors import SynthError
from synth.rng import generator
from synth.shards.manifest import Entry, open_dataset
from synth.shards.split import open_split

__all__ = ["FIELDS", "Place", "WindowStream", "Windows", "collate"]

log = logging.getLogger(__name__)

FIELDS = (
    "rgb",
    "keypoints_2d",
    "visibility",
    "joints_camera",
    "bbox",
    "K",
    "smpl/body_pose",
    "smpl/betas",
    "smpl_camera/global_orient",
    "smpl_camera/transl",
)
"""What a mesh-recovery network is trained on; any other field of the shard may be asked for."""


class Place(NamedTuple):
    """Where a window lies."""

    shard: int
    view: int
    start: int


class Windows(Dataset[dict[str, Any]]):
    """Every window of `length` frames of every view, for random access.

    Files are opened in the process that reads from them, so it may be handed to DataLoader workers, forked or spawned.

    Args:
        folder: The folder of shards.
        length: Frames in a window, T.
        stride: Frames from one window's start to the next one's.
        fields: What to read (see `synth.shards.read.ShardReader`).
        part: "train", "val" or "test" of the folder's split (`synth split`); "" for all clips.

    Raises:
        SynthError: no manifest, no split although a part is asked for, an empty part, or no clip has `length` frames.
        ValueError: length or stride is not positive.
    """

    def __init__(
        self,
        folder: Path | str,
        length: int = 16,
        stride: int = 1,
        fields: Sequence[str] = FIELDS,
        part: str = "",
    ) -> None:
        if length < 1 or stride < 1:
            raise ValueError(f"length, stride: expected positive numbers, got {length}, {stride}")
        self.length, self.stride, self.fields = length, stride, tuple(fields)
        self.shards = open_split(Path(folder), part) if part else open_dataset(folder)
        if not self.shards.entries:
            where = f"the {part} part of its split" if part else "its manifest"
            raise SynthError(f"{folder}: {where} holds no clip", "Render some, or split it with other shares")
        counts = [entry.views * self.per_view(entry) for entry in self.shards.entries]
        if not sum(counts):
            longest = max((entry.frames for entry in self.shards.entries), default=0)
            raise SynthError(
                f"{folder}: no clip has {length} frames (the longest has {longest})", "Use a smaller --frames"
            )
        if short := counts.count(0):
            log.warning("%s: %d of %d clips are shorter than %d frames", folder, short, len(counts), length)
        self.ends = list(accumulate(counts))

    def per_view(self, entry: Entry) -> int:
        """Number of windows in one view of a clip."""
        return max(0, (entry.frames - self.length) // self.stride + 1)

    def __len__(self) -> int:
        return self.ends[-1]

    def place(self, index: int) -> Place:
        """Where window `index` lies.

        Raises:
            IndexError: there is no such window.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        shard = bisect_right(self.ends, index)
        view, step = divmod(index - (self.ends[shard - 1] if shard else 0), self.per_view(self.shards.entries[shard]))
        return Place(shard, view, step * self.stride)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.read(self.place(index))

    def read(self, place: Place) -> dict[str, Any]:
        """Read one window.

        Returns:
            A tensor for each field, with the axis of time first: rgb uint8 (T, 3, H, W), maps float32, numbers float32,
            masks and classes uint8; and "clip_id", "view", "start".
        """
        window = self.shards[place.shard].window(place.view, place.start, self.length, self.fields)
        sample: dict[str, Any] = {name: _tensor(name, array) for name, array in window.items()}
        clip_id = self.shards.entries[place.shard].clip_id
        return sample | {"clip_id": clip_id, "view": place.view, "start": place.start}


def _tensor(name: str, array: np.ndarray) -> torch.Tensor:
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.permute(0, 3, 1, 2) if name == "rgb" else tensor


class WindowStream(IterableDataset[dict[str, Any]]):
    """The windows as a stream, clip by clip: each file is opened once an epoch, which slow storage likes.

    Clips come in random order, and windows leave in random order out of a buffer; both follow from the seed and the
    epoch. The workers of a DataLoader, and the processes of a distributed run, share the clips among them.

    Args:
        windows: What to stream.
        seed: Of the order.
        buffer: Places of windows to choose the next one from.
        process: Number of this process in a distributed run.
        processes: How many there are.
    """

    def __init__(
        self, windows: Windows, seed: int = 0, buffer: int = 1024, process: int = 0, processes: int = 1
    ) -> None:
        self.windows, self.seed, self.buffer = windows, seed, buffer
        self.process, self.processes, self.epoch = process, processes, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another one, another order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        of, number = (1, 0) if worker is None else (worker.num_workers, worker.id)
        part, parts = self.process * of + number, self.processes * of
        order = generator(self.seed, "stream", self.epoch).permutation(len(self.windows.shards))
        rng = generator(self.seed, "buffer", self.epoch, part)
        waiting: list[Place] = []
        for shard in order[part::parts].tolist():
            waiting += self._places(shard)
            while len(waiting) > self.buffer:
                yield self.windows.read(_draw(waiting, rng))
        while waiting:
            yield self.windows.read(_draw(waiting, rng))

    def _places(self, shard: int) -> list[Place]:
        entry, stride = self.windows.shards.entries[shard], self.windows.stride
        steps = range(self.windows.per_view(entry))
        return [Place(shard, view, step * stride) for view in range(entry.views) for step in steps]


def _draw(waiting: list[Place], rng: np.random.Generator) -> Place:
    """Take a random place out, in constant time."""
    chosen = int(rng.integers(len(waiting)))
    waiting[chosen], waiting[-1] = waiting[-1], waiting[chosen]
    return waiting.pop()


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack windows into a batch: tensors get a first axis B, names become lists.

    Raises:
        SynthError: the windows differ in shape, as those of other picture sizes or body models do.
    """
    first = samples[0]
    for sample in samples:
        for name, value in sample.items():
            if isinstance(value, torch.Tensor) and value.shape != first[name].shape:
                clips, shapes = f"{first['clip_id']} and {sample['clip_id']}", (*first[name].shape,)
                raise SynthError(
                    f"clips {clips}: {name} has shapes {shapes} and {(*value.shape,)}",
                    "Put shards of one picture size and body model into one folder, or ask for fewer fields",
                )
    return default_collate(samples)
