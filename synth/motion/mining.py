"""The most contrasting pairs of poses of a whole database, no two pairs alike; and how much of pose space is covered.

Each sequence is thinned first: a pose is left out if another within `grain` of it is kept. A pair that is lost that way
has another one kept whose distance is smaller by at most twice the grain (by the triangle inequality, where no joint
turns so far that its other axis-angle vector is nearer).

The search is greedy and exact: the farthest pair, then the farthest of what is unlike it, and so on. A row's largest
distance only falls as poses are used up, so an old one is a bound, and few rows are ever computed again. All bounds
together are one pass over the distance matrix in blocks; nothing of its size is held.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from synth.geometry.rotations import canonical_rotvec
from synth.motion.interpolate import nearest_vectors, pose_distances

Array = np.ndarray

GRAIN = 0.5
"""Distance between kept poses of a sequence [rad]."""
COLUMNS = 4096
"""Poses of a block of the first pass."""
ROWS = 64
"""Rows that are computed anew at once."""
SLACK = 1e-3
"""What single precision may be off by in squared distances [rad^2]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two contrasting poses."""

    sequences: tuple[int, int]
    frames: tuple[int, int]
    distance: float
    """[rad]"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Poses to find pairs among."""

    numbers: Int[Array, " N"]
    """Which sequence."""
    frames: Int[Array, " N"]
    poses: Float32[Array, "N 23 3"]
    """Axis-angle, angles at most pi [rad]."""

    def __len__(self) -> int:
        return len(self.numbers)


def thinned(poses: Float[Array, "M 23 3"], grain: float = GRAIN) -> Int[Array, " K"]:
    """Frames of which no two are nearer than `grain` [rad], and none left out is farther from all of them."""
    flat = canonical_rotvec(poses).reshape(len(poses), -1)
    kept: list[int] = []
    near = np.zeros(len(flat), dtype=bool)
    while not near.all():
        at = int(np.argmin(near))
        kept.append(at)
        near |= ((flat - flat[at]) ** 2).sum(axis=1) < grain**2
    return np.array(kept, dtype=int)


def pooled(sequences: Iterable[Float[Array, "_ 23 3"]], *, grain: float = GRAIN) -> Pool:
    """Gather the poses of all sequences, thinned.

    Args:
        sequences: Body poses, axis-angle [rad]; a lazy one is read once, one after the other.
        grain: Of the thinning [rad]; 0 keeps every frame.
    """
    numbers, frames, poses = [], [], []
    for number, sequence in enumerate(sequences):
        kept = thinned(sequence, grain) if grain > 0 else np.arange(len(sequence))
        found = canonical_rotvec(sequence[kept]).astype(np.float32)
        numbers.append(np.full(len(kept), number))
        frames.append(kept)
        poses.append(found)
    return Pool(numbers=np.concatenate(numbers), frames=np.concatenate(frames), poses=np.concatenate(poses))


def mine(
    sequences: Iterable[Float[Array, "_ 23 3"]], count: int, *, apart: float = 1.0, grain: float = GRAIN
) -> list[Pair]:
    """Find the most contrasting pairs of poses among all sequences, one after the other (see `pairs_of`).

    Args:
        sequences: Body poses, axis-angle [rad]; a lazy one is read once, one after the other.
        count: How many pairs at most.
        apart: How far each pose of a pair is from those of the pairs before [rad].
        grain: Of the thinning [rad]; 0 keeps every frame.

    Returns:
        Pairs from the most contrasting on; fewer if the poses are used up.
    """
    found = pairs_of(pooled(sequences, grain=grain), apart=apart)
    return [pair for pair, _ in zip(found, range(count), strict=False)]


def pairs_of(pool: Pool, *, apart: float = 1.0, wanted: Callable[[Pair], bool] = lambda pair: True) -> Iterator[Pair]:
    """Yield the most contrasting pair, then the most contrasting of those unlike it, until the poses are used up.

    After each pair, poses within `apart` of one of its two are no longer taken. Ties go to the pose that comes first.

    Args:
        pool: From `pooled`.
        apart: See above [rad].
        wanted: Says whether a pair will do; of one that will not, poses within a quarter of `apart` are used up.
    """
    search = _Search(pool.poses)
    while (found := search.farthest()) is not None:
        i, j, distance = found
        pair = Pair(
            sequences=(int(pool.numbers[i]), int(pool.numbers[j])),
            frames=(int(pool.frames[i]), int(pool.frames[j])),
            distance=distance,
        )
        good = wanted(pair)
        if good:
            yield pair
        search.use(i, apart if good else apart / 4)
        search.use(j, apart if good else apart / 4)


class _Search:
    """Bounds of each pose's distance to the farthest free one, made exact where they are largest."""

    def __init__(self, poses: Float32[Array, "N 23 3"]) -> None:
        self.poses = poses
        self.squares = np.einsum("njc,njc->n", poses, poses)
        self.free = np.ones(len(poses), dtype=bool)
        self.bounds = _first_bounds(poses.reshape(len(poses), -1))
        self.farthest_of = np.full(len(poses), -1)

    def farthest(self) -> tuple[int, int, float] | None:
        """The farthest pair of free poses; None if there is none."""
        while True:
            top = int(np.argmax(np.where(self.free, self.bounds, -1.0)))
            if not self.free[top] or self.bounds[top] <= 0.0:
                return None
            other = int(self.farthest_of[top])
            if other >= 0 and self.free[other]:
                first, second = sorted((top, other))
                return first, second, float(self.bounds[top])
            self._renew()

    def _renew(self) -> None:
        """Compute the rows anew whose bounds are largest and out of date."""
        known = (self.farthest_of >= 0) & self.free[self.farthest_of]
        stale = np.flatnonzero(self.free & ~known)
        least = self.bounds[self.free & known].max(initial=0.0)
        stale = stale[self.bounds[stale] >= least]
        if len(stale) > ROWS:
            stale = stale[np.argpartition(-self.bounds[stale], ROWS - 1)[:ROWS]]
        free = np.flatnonzero(self.free)
        flat = self.poses.reshape(len(self.poses), -1)
        rows, squares = flat[stale], self.squares[stale, None]
        blocks = [free[column : column + COLUMNS] for column in range(0, len(free), COLUMNS)]
        top, at = np.full(len(stale), -1.0, dtype=np.float32), np.zeros(len(stale), dtype=int)
        for part in blocks:
            far = rows @ (-2.0 * flat[part].T) + squares + self.squares[part]
            here = np.argmax(far, axis=1)
            value = far[np.arange(len(rows)), here]
            at[value > top] = part[here[value > top]]
            top = np.maximum(top, value)
        # The farthest by canonical vectors gives a distance that occurs; only what may be farther is looked at exactly.
        best = self._exact(stale, at)
        for part in blocks:
            far = rows @ (-2.0 * flat[part].T) + squares + self.squares[part]
            k, column = np.nonzero(far >= (best[:, None] ** 2 - SLACK).astype(np.float32))
            for some in np.array_split(np.arange(len(k)), max(1, len(k) // COLUMNS)):
                exact = self._exact(stale[k[some]], part[column[some]])
                for row, other, distance in zip(k[some], part[column[some]], exact, strict=True):
                    if distance > best[row] or (distance == best[row] and other < at[row]):
                        best[row], at[row] = distance, other
        self.bounds[stale], self.farthest_of[stale] = best, at

    def _exact(self, i: Int[Array, " P"], j: Int[Array, " P"]) -> Float[Array, " P"]:
        start, end = nearest_vectors(self.poses[i].astype(np.float64), self.poses[j].astype(np.float64))
        return np.sqrt(((start - end) ** 2).sum(axis=(1, 2)))

    def use(self, at: int, apart: float) -> None:
        """Take a pose, and what is like it, out of the search."""
        free = np.flatnonzero(self.free)
        if not len(free):
            return
        one = self.poses[at : at + 1].astype(np.float64)
        self.free[free[pose_distances(self.poses[free].astype(np.float64), one)[:, 0] < apart]] = False
        self.free[at] = False


def _first_bounds(flat: Float32[Array, "N 69"]) -> Float[Array, " N"]:
    """Largest distance of canonical vectors in each row: `pose_distances` is never larger."""
    squares = np.einsum("nd,nd->n", flat, flat)
    bounds = np.zeros(len(flat), dtype=np.float32)
    for row in range(0, len(flat), COLUMNS):
        rows = slice(row, row + COLUMNS)
        for column in range(row, len(flat), COLUMNS):
            columns = slice(column, column + COLUMNS)
            far = flat[rows] @ (-2.0 * flat[columns].T)
            far += squares[rows, None]
            far += squares[columns]
            bounds[rows] = np.maximum(bounds[rows], far.max(axis=1))
            bounds[columns] = np.maximum(bounds[columns], far.max(axis=0))
    return np.sqrt(bounds.astype(np.float64) + SLACK)


def coverage(poses: Float[Array, "N 23 3"], grain: float = 1.0) -> int:
    """How many poses no two of which are nearer than `grain` [rad] a set holds: the volume it covers, in balls."""
    return len(thinned(poses, grain))


def nearest_distance(probes: Float[Array, "P 23 3"], poses: Float[Array, "N 23 3"], block: int = 512) -> float:
    """Mean distance of some poses to the nearest of a set [rad]."""
    nearest = np.full(len(probes), np.inf)
    canonical = canonical_rotvec(probes)
    for row in range(0, len(poses), block):
        nearest = np.minimum(nearest, pose_distances(canonical, canonical_rotvec(poses[row : row + block])).min(axis=1))
    return float(nearest.mean())


def volume(poses: Float[Array, "N 23 3"], widest: int = 10) -> float:
    """Product of the standard deviations of the `widest` directions of a set [rad^widest]."""
    spectrum = np.linalg.eigvalsh(np.cov(canonical_rotvec(poses).reshape(len(poses), -1).T))[-widest:]
    return float(np.sqrt(np.maximum(spectrum, 0.0)).prod())


def spread(sequences: Sequence[Float[Array, "_ 23 3"]]) -> float:
    """Mean distance of each sequence's poses to the nearest of the others [rad]: how little sequences repeat."""
    at = [
        nearest_distance(own, np.concatenate([*sequences[:k], *sequences[k + 1 :]])) for k, own in enumerate(sequences)
    ]
    return float(np.mean(at))
