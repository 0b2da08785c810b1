"""Windows of motion at one rate for discriminators and priors, streamed from disk in bounded memory."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError
from synth.motion import amass
from synth.motion.resample import frame_count, sampled_at
from synth.rng import generator
from train.real.amass import AMASS
from train.real.files import readable

Array = np.ndarray

__all__ = ["MotionWindow", "MotionWindows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MotionWindow:
    """T frames of a motion."""

    name: str
    start: int
    """First frame, counted at the windows' rate."""
    poses: Float[Array, "T 24 3"]
    """Root in the world (Z up), then joints 1-23 relative to their parents, axis-angle [rad]."""
    betas: Float[Array, " 10"]
    transl: Float[Array, "T 3"]
    """[m]"""


class MotionWindows:
    """Windows out of a folder of AMASS motions, resampled by slerp: 120 Hz to 25 is as exact as to 30.

    The index keeps a file's name, length and rate; a motion is read when a window of it is wanted. `stream` reads each
    file once and holds `buffer` windows at most; `windows[i]` reads the one file.

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
        betas = np.zeros(10)
        betas[: min(10, len(recording.betas))] = recording.betas[:10]
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
        """Every window once, in an order that follows from seed and epoch.

        Files come in random order; windows leave in random order out of a buffer, so that neighbours are not of one
        motion. Of a long motion's windows no more than half the buffer are held at once.

        Args:
            seed: Of the order.
            epoch: Another one, another order.
            buffer: Windows held at most.
            part: Number of this reader, of `parts` that share the files.
            parts: How many there are.
        """
        rng = generator(seed, "motions", epoch, part)
        files = generator(seed, "motion files", epoch).permutation(len(self.source.entries))[part::parts]
        waiting: list[MotionWindow] = []
        for file in files.tolist():
            count = self.windows_of(file)
            chunk = max(1, buffer // 2)
            if not count:
                continue
            numbers, recording = rng.permutation(count), self._recording(file)
            for begin in range(0, count, chunk):
                waiting += self._windows(recording, numbers[begin : begin + chunk].tolist())
                while len(waiting) > max(1, buffer - chunk):
                    yield _draw(waiting, rng)
        while waiting:
            yield _draw(waiting, rng)


def _draw(waiting: list[MotionWindow], rng: np.random.Generator) -> MotionWindow:
    """Take a random one out, in constant time."""
    chosen = int(rng.integers(len(waiting)))
    waiting[chosen], waiting[-1] = waiting[-1], waiting[chosen]
    return waiting.pop()
