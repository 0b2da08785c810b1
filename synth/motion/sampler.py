"""MVIPER's sampler (section 3.2): clips cut from recordings, and clips between contrasting poses of two of them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from synth.body.lbs import posed
from synth.errors import SynthError
from synth.motion import catalog, recordings
from synth.motion.checks import BALANCE, OVERLAP, fault
from synth.motion.clips import free_body, realise
from synth.motion.contrast import contrasting_pair, unlike
from synth.motion.ground import imbalance
from synth.motion.interpolate import METHODS, frames_for
from synth.motion.mining import Pair, pairs_of, pooled
from synth.motion.variation import Variations
from synth.rng import generator
from synth.spec import MotionSpec
from synth.types import BodyModel, Motion

Array = np.ndarray
log = logging.getLogger(__name__)

__all__ = ["OVERLAP", "fault", "plan_motions", "realise"]

SEARCH_HZ = 10.0
"""Rate at which sequences are searched for contrasting poses [Hz]."""
APART = 1.0
"""Distance that a pose must keep from those used before in its sequence [rad]; halved while nothing is left."""
MANY = 20_000
"""Poses of a database beyond which they are thinned twice as much before they are mined."""
TRIES = 40
"""Pairs tried for a clip before other sequences are."""
PAIRS = ("drawn", "mined")
"""Where interpolated clips come from: two sequences drawn at random, or the most contrasting pairs of all sequences."""


def plan_motions(
    sequences: list[catalog.Sequence],
    *,
    seed: int,
    clips: int,
    interpolated_share: float,
    frames: int,
    fps: float,
    method: str = "axis-angle",
    body: BodyModel | None = None,
    variations: Variations | None = None,
    pairs: str = "drawn",
) -> list[MotionSpec]:
    """Decide on the motion of each clip; originals and interpolated ones alternate as evenly as the share allows.

    Args:
        sequences: Where to take motion from.
        seed: Everything random follows from it; clip k stays the same if more clips are asked for.
        clips: How many.
        interpolated_share: Share of the clips between contrasting poses, 0-1.
        frames: Frames of an original, least frames of an interpolated clip.
        fps: Rate of the clips [Hz].
        method: "axis-angle" or "slerp".
        body: Body to check interpolated clips with; the free neutral body by default.
        variations: How clips may be changed; not at all by default.
        pairs: One of `PAIRS`. "mined" goes from the most contrasting pair of the whole database downwards, no two
            alike; the seed decides which frames are looked at.

    Raises:
        SynthError: no sequence is long enough, or no pair of poses passes the checks.
        ValueError: an argument is out of range.
    """
    if pairs not in PAIRS:
        raise ValueError(f"pairs: expected one of {PAIRS}, got {pairs!r}")
    if clips < 1 or frames < 2 or not 0.0 <= interpolated_share <= 1.0 or method not in METHODS or not fps > 0:
        raise ValueError(
            f"clips, frames, interpolated_share, method, fps: {(clips, frames, interpolated_share, method, fps)}"
        )
    if not sequences:
        raise SynthError("no sequences to take motion from", "Name some with --sequences")
    variations = variations or Variations()
    windows = _Windows(sequences, seed, frames, fps, variations)
    joined = (Mined if pairs == "mined" else _Pairs)(sequences, seed, frames, fps, method, body)
    counts = np.floor(np.arange(clips + 1) * interpolated_share + 1e-9)
    interpolated = np.diff(counts) > 0
    specs = [joined.next() if made else windows.next() for made in interpolated]
    if variations.none:
        return specs
    return [
        replace(spec, variation=variations.sample(_variation_rng(seed, number), still=True)) if made else spec
        for number, (spec, made) in enumerate(zip(specs, interpolated, strict=True))
    ]


def _variation_rng(seed: int, number: int) -> np.random.Generator:
    return generator(seed, "motion", "variation", number)


@dataclass(slots=True)
class _Windows:
    """Hands out stretches of recorded motion: in turn from every sequence, moving ones first, apart from each other."""

    sequences: list[catalog.Sequence]
    seed: int
    frames: int
    fps: float
    variations: Variations = field(default_factory=Variations)
    given: int = 0
    taken: dict[str, list[float]] = field(default_factory=dict)
    long_enough: list[tuple[catalog.Sequence, Array]] = field(default_factory=list)

    def next(self) -> MotionSpec:
        """The next original clip."""
        if not self.long_enough:
            self._look()
        rng = generator(self.seed, "motion", "original", self.given)
        sequence, starts = self.long_enough[self.given % len(self.long_enough)]
        variation = self.variations.sample(generator(self.seed, "motion", "original variation", self.given))
        self.given += 1
        span = (self.frames - 1) * sequence.fps / self.fps * (variation.speed if variation else 1.0)
        scores = np.log(_activity(sequence, starts, span) + 0.05) + rng.gumbel(size=len(starts))
        for before in self.taken.get(sequence.name, []):
            scores -= 6.0 * np.clip(1.0 - np.abs(starts - before) / span, 0.0, 1.0)
        start = int(starts[np.argmax(scores)])
        self.taken.setdefault(sequence.name, []).append(start)
        return MotionSpec(
            kind="original",
            sources=(sequence.ref,),
            names=(sequence.name,),
            frames=(start, start + int(np.ceil(span - 1e-6)) + 1),
            count=self.frames,
            fps=self.fps,
            variation=variation,
        )

    def _look(self) -> None:
        order = generator(self.seed, "motion", "order").permutation(len(self.sequences))
        for sequence in (self.sequences[i] for i in order):
            span = int(np.ceil((self.frames - 1) * sequence.fps / self.fps * self.variations.speed[1] - 1e-6))
            step = max(1, round(sequence.fps / SEARCH_HZ))
            starts = [np.arange(first, last - span, step) for first, last in sequence.usable]
            if starts and len(found := np.concatenate(starts)):
                self.long_enough.append((sequence, found))
        if not self.long_enough:
            raise SynthError(
                f"sequences: none has {self.frames} usable frames at {self.fps:g} Hz", "Ask for fewer frames"
            )


def _activity(sequence: catalog.Sequence, starts: Int[Array, " S"], span: float) -> Float[Array, " S"]:
    """Mean speed of the body's joints in each window [rad/s], norm over joints."""
    step = max(1, round(sequence.fps / SEARCH_HZ))
    poses = _search_poses(sequence.path, step)
    speed = np.linalg.norm(np.diff(poses, axis=0).reshape(len(poses) - 1, -1), axis=1) * sequence.fps / step
    total = np.concatenate([[0.0], np.cumsum(speed)])
    last = len(total) - 1
    from_, to = np.minimum(starts // step, last), np.minimum((starts + int(span)) // step, last)
    return (total[to] - total[from_]) / np.maximum(to - from_, 1)


@lru_cache(maxsize=64)
def _search_poses(path: Path, step: int) -> Float[Array, "K 23 3"]:
    poses = recordings.read(path).motion.body_pose[::step].copy()
    poses.flags.writeable = False
    return poses


@dataclass(slots=True)
class _Pairs:
    """Hands out pairs of contrasting poses: of two sequences drawn at random, unlike those handed out before."""

    sequences: list[catalog.Sequence]
    seed: int
    frames: int
    fps: float
    method: str
    body: BodyModel | None
    given: int = 0
    used: dict[str, list[Array]] = field(default_factory=dict)

    def next(self) -> MotionSpec:
        """The next interpolated clip."""
        self.body = self.body or free_body("neutral")
        rng = generator(self.seed, "motion", "interpolated", self.given)
        self.given += 1
        for _ in range(5):
            if len(self.sequences) == 1:
                pair = (self.sequences[0], self.sequences[0])
            else:
                first, second = rng.choice(len(self.sequences), size=2, replace=False)
                pair = (self.sequences[first], self.sequences[second])
            spec = self._best(*pair)
            if spec is not None:
                return spec
        raise SynthError(
            f"sequences: no pair of poses among {len(self.sequences)} sequences can be joined without the body running "
            "through itself",
            "Name more sequences, or set --interpolated-share 0",
        )

    def _best(self, first: catalog.Sequence, second: catalog.Sequence) -> MotionSpec | None:
        """Most contrasting pair of poses that passes the checks."""
        poses = [_steady_poses(s, self.body or free_body("neutral")) for s in (first, second)]
        apart = APART
        while apart > APART / 16:
            rows = [self._free_rows(s, found, apart) for s, (_, found) in zip((first, second), poses, strict=True)]
            if all(len(r) for r in rows):
                spec = self._search(first, second, poses, rows)
                if spec is not None:
                    return spec
            apart /= 2
        return None

    def _free_rows(self, sequence: catalog.Sequence, poses: Array, apart: float) -> Int[Array, " K"]:
        used = self.used.get(sequence.name)
        return unlike(poses, np.stack(used), apart) if used else np.arange(len(poses))

    def _search(
        self, first: catalog.Sequence, second: catalog.Sequence, poses: list[tuple[Array, Array]], rows: list[Array]
    ) -> MotionSpec | None:
        (frames_a, poses_a), (frames_b, poses_b) = poses
        rejected: list[tuple[int, int]] = []
        for _ in range(TRIES):
            found = contrasting_pair(poses_a[rows[0]], poses_b[rows[1]], rejected=rejected, radius=2)
            if found is None:
                return None
            i, j = rows[0][found[0]], rows[1][found[1]]
            spec = MotionSpec(
                kind="interpolated",
                sources=(first.ref, second.ref),
                names=(first.name, second.name),
                frames=(int(frames_a[i]), int(frames_b[j])),
                count=frames_for(found[2], self.fps, self.frames),
                fps=self.fps,
                method=self.method,
            )
            if reason := fault(spec, _one(first, spec.frames[0]), _one(second, spec.frames[1]), self.body):
                log.debug("%s %s: %s", spec.names, spec.frames, reason)
                rejected.append(found[:2])
                continue
            self.used.setdefault(first.name, []).append(poses_a[i])
            self.used.setdefault(second.name, []).append(poses_b[j])
            return spec
        return None


@dataclass(slots=True)
class Mined:
    """Hands out the most contrasting pairs of poses of all sequences that pass the checks, no two alike."""

    sequences: list[catalog.Sequence]
    seed: int
    frames: int
    fps: float
    method: str
    body: BodyModel | None
    apart: float = APART
    found: Iterator[MotionSpec] | None = None
    given: set[MotionSpec] = field(default_factory=set)

    def next(self) -> MotionSpec:
        """The next interpolated clip."""
        while self.apart > APART / 16:
            self.found = self.found or self._pairs()
            spec = next(self.found, None)
            if spec is not None:
                return spec
            self.apart, self.found = self.apart / 2, None
        raise SynthError(
            f"sequences: no more pairs of poses among {len(self.sequences)} sequences pass the checks",
            "Name more sequences, or make fewer clips between poses",
        )

    def _pairs(self) -> Iterator[MotionSpec]:
        body = self.body = self.body or free_body("neutral")
        frames: list[Array] = []
        specs: dict[Pair, MotionSpec] = {}
        searched = sum((last - first) / s.fps for s in self.sequences for first, last in s.usable) * SEARCH_HZ
        grain = self.apart / (1 if searched > MANY else 2)

        def wanted(pair: Pair) -> bool:
            first, second = (self.sequences[k] for k in pair.sequences)
            at = [int(frames[k][f]) for k, f in zip(pair.sequences, pair.frames, strict=True)]
            spec = specs[pair] = MotionSpec(
                kind="interpolated",
                sources=(first.ref, second.ref),
                names=(first.name, second.name),
                frames=(at[0], at[1]),
                count=frames_for(pair.distance, self.fps, self.frames),
                fps=self.fps,
                method=self.method,
            )
            if spec in self.given:
                return False
            reason = fault(spec, _one(first, at[0]), _one(second, at[1]), body)
            if reason:
                log.debug("%s %s: %s", spec.names, spec.frames, reason)
            return not reason

        for pair in pairs_of(pooled(self._poses(frames), grain=grain), apart=self.apart, wanted=wanted):
            self.given.add(specs[pair])
            yield specs[pair]

    def _poses(self, frames: list[Array]) -> Iterator[Array]:
        """Poses of the usable frames at `SEARCH_HZ`, from a first frame that the seed decides; notes their numbers."""
        for k, sequence in enumerate(self.sequences):
            step = max(1, round(sequence.fps / SEARCH_HZ))
            begin = int(generator(self.seed, "motion", "mined", k).integers(step))
            numbers = [np.arange(first + begin, last, step) for first, last in sequence.usable]
            frames.append(np.concatenate([np.zeros(0, dtype=int), *numbers]))
            yield recordings.read(sequence.path).motion.body_pose[frames[-1]]


@lru_cache(maxsize=64)
def _steady_poses(sequence: catalog.Sequence, body: BodyModel) -> tuple[Int[Array, " K"], Float[Array, "K 23 3"]]:
    """Frame numbers and body poses that are searched: usable, and a person could hold them."""
    step = max(1, round(sequence.fps / SEARCH_HZ))
    poses = _search_poses(sequence.path, step)
    numbers = np.arange(len(poses)) * step
    usable = [(numbers >= first) & (numbers < last) for first, last in sequence.usable]
    kept = np.flatnonzero(np.any(usable, axis=0)) if usable else np.zeros(0, dtype=int)
    motion = recordings.read(sequence.path).motion
    betas, steady = np.zeros(body.shapedirs.shape[2]), []
    for at in np.array_split(kept, max(1, len(kept) // 64)):
        turn = motion.global_orient[numbers[at]]
        vertices, _ = posed(body, betas, turn, poses[at], np.zeros((len(at), 3)))
        steady.append(at[imbalance(vertices) <= BALANCE] if len(at) else at)
    kept = np.concatenate(steady)
    return numbers[kept], poses[kept]


def _one(sequence: catalog.Sequence, frame: int) -> Motion:
    return recordings.read(sequence.path, name=sequence.name, start=frame, stop=frame + 1).motion
