"""Windows of motion at one rate for discriminators and priors, streamed from disk in bounded memory."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError
from synth.motion import amass
from synth.motion.resample import frame_count, sampled_at
from synth.rng import generator
from train.real.amass import AMASS, smpl_shape
from train.real.files import readable

Array = np.ndarray

__all__ = ["MotionStream", "MotionWindow", "MotionWindows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MotionWindow:
    """T frames of a motion."""

    name: str
    start: int
    """First frame, counted at the windows' rate."""
    poses: Float[Array, "T 24 3"]
    """Root in the world (Z up), then joints 1-23 relative to their parents, axis-angle [rad]."""
    betas: Float[Array, " 10"]
    """SMPL's; NaN if the recording is of SMPL-X."""
    transl: Float[Array, "T 3"]
    """[m]"""


class MotionWindows:
    """Windows out of a folder of AMASS motions, resampled by slerp: 120 Hz to 25 is as exact as to 30.

    The index keeps a file's name, length and rate; a motion is read when a window of it is wanted. `windows[i]` reads
    the one file; `MotionStream` (and `stream`, one round of it) mixes the windows of many in bounded memory.

    Args:
        path: Folder (or file) of motions.
        length: Frames in a window, T.
        fps: Rate of the windows [Hz].
        stride: Frames from one window's start to the next one's; `length` if None.

    Raises:
        SynthError: no motion is long enough.
        ValueError: a number is not positive.
    """

    def __init__(self, path: Path | str, length: int = 16, fps: float = 30.0, stride: int | None = None) -> None:
        self.length, self.fps, self.stride = length, float(fps), length if stride is None else stride
        if min(self.length, self.stride) < 1 or not self.fps > 0:
            raise ValueError(f"length, stride, fps: expected positive numbers, got {length}, {stride}, {fps}")
        self.source = AMASS(Path(path))
        counts = [self._count(entry.frames, entry.fps or self.fps) for entry in self.source.entries]
        self.ends = np.cumsum(counts)
        if not self.ends[-1]:
            raise SynthError(f"{path}: no motion has {length} frames at {fps:g} Hz", "Use a smaller length")

    def _count(self, frames: int, fps: float) -> int:
        return max(0, (frame_count(frames, fps, self.fps) - self.length) // self.stride + 1)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def windows_of(self, file: int) -> int:
        """Number of windows of one motion."""
        return int(self.ends[file] - (self.ends[file - 1] if file else 0))

    @property
    def hours(self) -> float:
        """Length of all motions together [h]."""
        return sum(entry.frames / (entry.fps or self.fps) for entry in self.source.entries) / 3600

    def __getitem__(self, index: int) -> MotionWindow:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        file = bisect_right(self.ends, index)  # pyright: ignore[reportArgumentType]
        first = int(self.ends[file - 1]) if file else 0
        return self._windows(self._recording(file), [index - first])[0]

    def _recording(self, file: int) -> amass.Recording:
        path = self.source.files[file]
        with readable(path, "npz"):
            return amass.read(path, name=self.source.entries[file].name)

    def _windows(self, recording: amass.Recording, numbers: list[int]) -> list[MotionWindow]:
        """Some windows of one motion."""
        betas = smpl_shape(recording)
        step = recording.motion.fps / self.fps
        starts = np.array(numbers) * self.stride
        positions = ((starts[:, None] + np.arange(self.length)) * step).clip(0, len(recording.motion) - 1)
        # all at once: interpolating has a cost of its own for each call
        motion = sampled_at(recording.motion, positions.ravel(), self.fps)
        poses = motion.full_pose.reshape(len(starts), self.length, 24, 3)
        transl = motion.transl.reshape(len(starts), self.length, 3)
        return [
            MotionWindow(
                name=recording.motion.source, start=int(start), poses=pose.copy(), betas=betas, transl=move.copy()
            )
            for start, pose, move in zip(starts, poses, transl, strict=True)
        ]

    def stream(
        self, seed: int = 0, epoch: int = 0, buffer: int = 4096, part: int = 0, parts: int = 1
    ) -> Iterator[MotionWindow]:
        """Every window once, in an order that follows from seed and epoch: one round of `MotionStream`.

        Args:
            seed: Of the order.
            epoch: Another one, another order.
            buffer: Windows mixed at a time.
            part: Number of this reader, of `parts` that share the files.
            parts: How many there are.
        """
        order = MotionStream(self, seed, buffer=buffer, part=part, parts=parts)
        for place in range(epoch * order.round, (epoch + 1) * order.round):
            yield order[place]

    def taken(self, file: int, numbers: list[int]) -> list[MotionWindow]:
        """Some windows of one motion, by their numbers in it; the file is read once."""
        return self._windows(self._recording(file), numbers)


class MotionStream:
    """Windows in random order without end; `stream[n]` is the n-th, a function of n and the seed.

    Each round has every window once. Motions come in random order, a long one in pieces; as many as make up `buffer`
    windows are mixed, so that neighbours are not of one motion. In memory are the windows of one such block (one and a
    half times `buffer` at most) and of one motion. Going on from any n takes reading one block, so that a resumed run
    sees what it would have seen.

    Args:
        windows: What to stream.
        seed: Of the order.
        buffer: Windows mixed at a time.
        part: Number of this reader, of `parts` that share the files.
        parts: How many there are.

    Raises:
        SynthError: a part has no windows.
    """

    def __init__(
        self, windows: MotionWindows, seed: int = 0, *, buffer: int = 4096, part: int = 0, parts: int = 1
    ) -> None:
        self.windows, self.seed, self.buffer, self.part, self.parts = windows, seed, buffer, part, parts
        piece = max(1, buffer // 2)
        counts = np.diff(windows.ends, prepend=0)
        files = np.flatnonzero(counts)[part::parts]
        pieces = -(-counts[files] // piece)
        self.files = np.repeat(files, pieces)
        self.firsts = np.concatenate([np.arange(0, counts[file], piece) for file in files] or [np.empty(0)]).astype(int)
        self.sizes = np.minimum(piece, counts[self.files] - self.firsts)
        self.round = int(self.sizes.sum())
        """Windows in a round."""
        if not self.round:
            raise SynthError(f"{windows.source.path}: too few motions for {parts} processes", "Use fewer")
        self._block = lru_cache(maxsize=1)(self._read)
        self._layout = lru_cache(maxsize=1)(self._lay_out)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_block", "_layout")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._block, self._layout = lru_cache(maxsize=1)(self._read), lru_cache(maxsize=1)(self._lay_out)

    def __getitem__(self, place: int) -> MotionWindow:
        if place < 0:
            raise IndexError(f"window {place}")
        turn, within = divmod(place, self.round)
        starts = self._layout(turn)[1]
        block = int(np.searchsorted(starts, within, side="right")) - 1
        return self._block(turn, block)[within - int(starts[block])]

    def _lay_out(self, turn: int) -> tuple[Array, Array]:
        """Pieces in the order of a round, and the place at which each block of them begins."""
        order = generator(self.seed, "motions", turn, self.part).permutation(len(self.files))
        before = np.cumsum(self.sizes[order]) - self.sizes[order]
        _, heads = np.unique(before // max(1, self.buffer), return_index=True)
        return order, before[heads]

    def _read(self, turn: int, block: int) -> list[MotionWindow]:
        """The mixed windows of a block."""
        order, starts = self._layout(turn)
        ends = np.cumsum(self.sizes[order])
        stop = starts[block + 1] if block + 1 < len(starts) else self.round
        found: list[MotionWindow] = []
        for piece in order[(ends > starts[block]) & (ends <= stop)].tolist():
            file, first = int(self.files[piece]), int(self.firsts[piece])
            numbers = generator(self.seed, "motion", turn, file).permutation(self.windows.windows_of(file))
            found += self.windows.taken(file, numbers[first : first + int(self.sizes[piece])].tolist())
        mixed = generator(self.seed, "motion block", turn, self.part, block).permutation(len(found))
        return [found[i] for i in mixed.tolist()]
