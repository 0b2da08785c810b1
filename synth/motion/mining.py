"""The most contrasting pairs of poses of a whole database, no two pairs alike; and how much of pose space is covered.

Sequences are thinned first: a pose is left out if one within `grain` of it is kept. A pair that is lost that way has
another one kept whose distance is smaller by at most twice the grain (by the triangle inequality, where no joint turns
so far that its other axis-angle vector is nearer); `mine` says how much at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from synth.geometry.rotations import canonical_rotvec
from synth.motion.contrast import contrasting_pair, unlike

Array = np.ndarray

GRAIN = 0.5
"""Distance between kept poses of a sequence [rad]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two contrasting poses."""

    sequences: tuple[int, int]
    frames: tuple[int, int]
    distance: float
    """[rad]"""


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


def mine(
    sequences: Sequence[Float[Array, "_ 23 3"]], count: int, *, apart: float = 1.0, grain: float = GRAIN
) -> list[Pair]:
    """Find the most contrasting pairs of poses among all sequences, one after the other.

    After each pair, poses within `apart` of its first pose are no longer taken first, nor those within it of its second
    pose second, so that the pairs differ. Within 2 `grain` each is the best there is.

    Args:
        sequences: Body poses, axis-angle [rad]; a lazy sequence is read once, one after the other.
        count: How many pairs at most.
        apart: See above [rad].
        grain: Of the thinning [rad]; 0 keeps every frame.

    Returns:
        Pairs from the most contrasting on; fewer if the poses are used up.
    """
    numbers, frames, poses = [], [], []
    for number, sequence in enumerate(sequences):
        kept = thinned(sequence, grain) if grain > 0 else np.arange(len(sequence))
        numbers.append(np.full(len(kept), number))
        frames.append(kept)
        poses.append(sequence[kept])
    number, frame, pose = np.concatenate(numbers), np.concatenate(frames), np.concatenate(poses)
    first = second = np.arange(len(pose))
    pairs: list[Pair] = []
    while len(pairs) < count and len(first) and len(second):
        found = contrasting_pair(pose[first], pose[second])
        if found is None or found[2] <= 0.0:
            break
        i, j = int(first[found[0]]), int(second[found[1]])
        pairs.append(
            Pair(
                sequences=(int(number[i]), int(number[j])),
                frames=(int(frame[i]), int(frame[j])),
                distance=found[2],
            )
        )
        first = first[unlike(pose[first], pose[i : i + 1], apart)]
        second = second[unlike(pose[second], pose[j : j + 1], apart)]
    return pairs


def coverage(poses: Float[Array, "N 23 3"], grain: float = 1.0) -> int:
    """How many poses no two of which are nearer than `grain` [rad] a set holds: the volume it covers, in balls."""
    return len(thinned(poses, grain))


def nearest_distance(probes: Float[Array, "P 23 3"], poses: Float[Array, "N 23 3"], block: int = 512) -> float:
    """Mean distance of some poses to the nearest of a set [rad]."""
    from synth.motion.interpolate import pose_distances

    nearest = np.full(len(probes), np.inf)
    canonical = canonical_rotvec(probes)
    for row in range(0, len(poses), block):
        nearest = np.minimum(nearest, pose_distances(canonical, canonical_rotvec(poses[row : row + block])).min(axis=1))
    return float(nearest.mean())
