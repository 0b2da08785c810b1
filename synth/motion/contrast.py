"""The most contrasting pair of poses of two sequences (MVIPER, section 3.2), without holding their distance matrix."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from synth.geometry.rotations import canonical_rotvec
from synth.motion.interpolate import pose_distances

Array = np.ndarray

BLOCK = 512
"""Frames on each side of a block of the distance matrix (2 MB of doubles)."""


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
    best: tuple[int, int, float] | None = None
    for row, column, distances in _blocks(canonical_rotvec(poses_a), canonical_rotvec(poses_b), block):
        for i, j in rejected:
            rows = slice(max(i - radius - row, 0), max(i + radius + 1 - row, 0))
            columns = slice(max(j - radius - column, 0), max(j + radius + 1 - column, 0))
            distances[rows, columns] = -1.0
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


def _blocks(poses_a: Array, poses_b: Array, block: int) -> Iterator[tuple[int, int, Array]]:
    for row in range(0, len(poses_a), block):
        for column in range(0, len(poses_b), block):
            yield row, column, pose_distances(poses_a[row : row + block], poses_b[column : column + block])
