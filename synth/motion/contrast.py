"""The most contrasting pair of poses of two sequences (MVIPER, section 3.2), without holding their distance matrix.

Small sequences are compared block by block. In long ones most pairs are ruled out first: neighbouring frames are alike,
so a stretch of them lies within a small ball, and no pose is farther from any of them than from the ball's centre plus
its radius. Where that stays below a distance that is known to occur, the stretch need not be looked at. The result is
exact, and memory does not grow with the product of the lengths.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

from synth.geometry.rotations import canonical_rotvec
from synth.motion.interpolate import nearest_vectors, pose_distances

Array = np.ndarray

BLOCK = 512
"""Frames on each side of a block of the distance matrix (2 MB of doubles)."""
SMALL = 4_000_000
"""Pairs up to which block by block is as fast."""
BALL = 16
"""Poses of a ball."""
GROUP = 64
"""Balls whose bounds are held at once."""
SEEDS = 32
"""Poses from which a distance that occurs is searched for."""
SLACK = 1e-3
"""Added to squared bounds, which are computed in single precision [rad^2]."""


def contrasting_pair(
    poses_a: Float[Array, "M 23 3"],
    poses_b: Float[Array, "N 23 3"],
    *,
    rejected: Sequence[tuple[int, int]] = (),
    radius: int = 0,
    block: int = BLOCK,
) -> tuple[int, int, float] | None:
    """Find the pair of poses with the largest distance.

    Source: MVIPER, section 3.2: the maximum of the matrix of distances between all frames of two sequences. The
    matrix is computed block by block; ties go to the first pair in row order of the blocks.

    Args:
        poses_a: Body poses, axis-angle [rad].
        poses_b: Body poses, axis-angle [rad].
        rejected: Pairs that may not be taken, nor any pair within `radius` rows and columns of one.
        radius: See `rejected`.
        block: Rows and columns of a block.

    Returns:
        Row, column and distance [rad]; None if every pair is ruled out.
    """
    if len(poses_a) * len(poses_b) > SMALL:
        return _farthest(poses_a, poses_b, rejected, radius)
    best: tuple[int, int, float] | None = None
    for row, column, distances in _blocks(canonical_rotvec(poses_a), canonical_rotvec(poses_b), block):
        _rule_out(distances, row, column, rejected, radius)
        i, j = divmod(int(np.argmax(distances)), distances.shape[1])
        if distances[i, j] >= 0 and (best is None or distances[i, j] > best[2]):
            best = row + i, column + j, float(distances[i, j])
    return best


def unlike(
    poses: Float[Array, "M 23 3"], used: Float[Array, "U 23 3"], apart: float, block: int = BLOCK
) -> Int[Array, " K"]:
    """Rows of the poses at least `apart` [rad] from every pose used before."""
    free = np.ones(len(poses), dtype=bool)
    for row, _, distances in _blocks(canonical_rotvec(poses), canonical_rotvec(used), block):
        free[row : row + len(distances)] &= (distances >= apart).all(axis=1)
    return np.flatnonzero(free)


def _farthest(
    poses_a: Array, poses_b: Array, rejected: Sequence[tuple[int, int]], radius: int
) -> tuple[int, int, float] | None:
    """The maximum, stretches that cannot hold it being left out; ties go to the first pair.

    `pose_distances` never exceeds the distance of the canonical vectors, for which the triangle inequality holds.
    """
    flat_a, flat_b = _flat(poses_a), _flat(poses_b)
    squares_a, squares_b = (flat_a**2).sum(1), (flat_b**2).sum(1)
    starts = np.arange(0, len(flat_b), BALL)
    counts = np.diff(np.append(starts, len(flat_b)))
    centres = np.add.reduceat(flat_b, starts) / counts[:, None].astype(np.float32)
    away = flat_b - np.repeat(centres, counts, axis=0)
    radii = np.sqrt(np.maximum.reduceat(np.einsum("nd,nd->n", away, away), starts)) + np.float32(1e-5)
    del away
    best: tuple[float, int, int] = (-1.0, 0, 0)

    def look(i: Array, j: Array) -> None:
        nonlocal best
        allowed = np.ones(len(i), dtype=bool)
        for row, column in rejected:
            allowed &= (np.abs(i - row) > radius) | (np.abs(j - column) > radius)
        if not allowed.any():
            return
        i, j = i[allowed], j[allowed]
        start, end = nearest_vectors(poses_a[i], poses_b[j])
        distances = np.sqrt(((start - end) ** 2).sum(axis=(1, 2)))
        top = np.flatnonzero(distances == distances.max())
        first = top[np.lexsort((j[top], i[top]))[0]]
        best = min(best, (float(distances[first]), int(i[first]), int(j[first])), key=lambda p: (-p[0], p[1], p[2]))

    look(*_far_apart(flat_a, flat_b))
    for group in range(0, len(starts), GROUP):
        balls = slice(group, group + GROUP)
        bounds = flat_a @ (-2.0 * centres[balls].T)
        bounds += squares_a[:, None]
        bounds += (centres[balls] ** 2).sum(1) + np.float32(SLACK)
        least = np.maximum(best[0] - radii[balls], 0.0) ** 2
        within = bounds >= least
        for k in np.flatnonzero(within.any(axis=0)):
            rows, start = np.flatnonzero(within[:, k]), int(starts[group + k])
            stop = start + int(counts[group + k])
            squared = flat_a[rows] @ (-2.0 * flat_b[start:stop].T)
            squared += squares_a[rows, None] + squares_b[start:stop] + np.float32(SLACK)
            i, j = np.nonzero(squared >= best[0] ** 2)
            for at in range(0, len(i), 4 * BLOCK):
                look(rows[i[at : at + 4 * BLOCK]], start + j[at : at + 4 * BLOCK])
    return (best[1], best[2], best[0]) if best[0] >= 0 else None


def _flat(poses: Float[Array, "M 23 3"]) -> Float32[Array, "M 69"]:
    """Canonical vectors in a row, in single precision."""
    flat = np.empty((len(poses), poses[0].size), dtype=np.float32)
    for row in range(0, len(poses), 8 * BLOCK):
        flat[row : row + 8 * BLOCK] = canonical_rotvec(poses[row : row + 8 * BLOCK]).reshape(-1, flat.shape[1])
    return flat


def _far_apart(flat_a: Float32[Array, "M D"], flat_b: Float32[Array, "N D"]) -> tuple[Array, Array]:
    """Pairs that are far apart: from some poses to the farthest of the other sequence, and back, until it repeats."""
    squares_a, squares_b = (flat_a**2).sum(1), (flat_b**2).sum(1)
    i = np.unique(np.linspace(0, len(flat_a) - 1, SEEDS).astype(int))
    j = i
    for _ in range(4):
        j = np.unique(np.argmax(squares_b - 2.0 * flat_a[i] @ flat_b.T, axis=1))
        i = np.unique(np.argmax(squares_a - 2.0 * flat_b[j] @ flat_a.T, axis=1))
    return np.repeat(i, len(j)), np.tile(j, len(i))


def _rule_out(distances: Array, row: int, column: int, rejected: Sequence[tuple[int, int]], radius: int) -> None:
    """Set the distances of rejected pairs, and of those around them, to -1."""
    for i, j in rejected:
        rows = slice(max(i - radius - row, 0), max(i + radius + 1 - row, 0))
        columns = slice(max(j - radius - column, 0), max(j + radius + 1 - column, 0))
        distances[rows, columns] = -1.0


def _blocks(poses_a: Array, poses_b: Array, block: int) -> Iterator[tuple[int, int, Array]]:
    for row in range(0, len(poses_a), block):
        for column in range(0, len(poses_b), block):
            yield row, column, pose_distances(poses_a[row : row + block], poses_b[column : column + block])
