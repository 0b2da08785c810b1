"""Frames between two poses (MVIPER, section 3.2): linear in axis-angle as the paper has it, or along great circles.

One rotation has many axis-angle vectors: `(angle + 2 pi k) * axis`. Two poses near a half turn can be neighbours as
rotations and far apart as vectors; a naive linear path between those spins the limb once around. `nearest_vectors`
picks the pair of vectors closest to each other, so that a small rotation stays a short path.
"""

import numpy as np
from jaxtyping import Float

from synth.geometry.rotations import canonical_rotvec, slerp

Array = np.ndarray

METHODS = ("axis-angle", "slerp")
SPEED = 4.0
"""Speed of an interpolated motion [rad/s], norm over all body joints."""
EASE = 0.2
"""Share of a clip in which it gathers speed, and again in which it comes to rest."""


def nearest_vectors(
    start: Float[Array, "*N 3"], end: Float[Array, "*N 3"]
) -> tuple[Float[Array, "*N 3"], Float[Array, "*N 3"]]:
    """Choose the axis-angle vectors of two rotations that lie closest to each other.

    One of the two may come out longer than pi. Swapping the arguments swaps the results, so a path and its reverse
    are the same.

    Args:
        start: Axis-angle [rad].
        end: Axis-angle [rad].
    """
    start, end = canonical_rotvec(start), canonical_rotvec(end)
    choices = [(start, end), (start, _long_way(end)), (_long_way(start), end)]
    lengths = np.stack([np.sum((a - b) ** 2, axis=-1) for a, b in choices])
    best = np.argmin(lengths, axis=0)[..., None]
    return (
        np.choose(best, [a for a, _ in choices]),
        np.choose(best, [b for _, b in choices]),
    )


def between(
    start: Float[Array, "*J 3"], end: Float[Array, "*J 3"], shares: Float[Array, " T"], method: str = "axis-angle"
) -> Float[Array, "T *J 3"]:
    """Interpolate between two sets of rotations.

    Source: MVIPER, section 3.2.

    Args:
        start: Axis-angle [rad].
        end: Axis-angle [rad].
        shares: Positions on the path, 0 is `start`, 1 is `end`.
        method: "axis-angle" or "slerp".

    Returns:
        Axis-angle [rad]; "axis-angle" may return vectors longer than pi.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
    shares = shares.reshape(-1, *(1,) * (start.ndim - 1))
    if method == "slerp":
        return slerp(start[None], end[None], shares)
    start, end = nearest_vectors(start, end)
    return start + shares[..., None] * (end - start)


def pose_distances(poses_a: Float[Array, "M J 3"], poses_b: Float[Array, "N J 3"]) -> Float[Array, "M N"]:
    """Distance between all pairs of poses: the norm of the difference of their axis-angle vectors.

    Source: MVIPER, section 3.2. The vectors are those of `nearest_vectors`, so poses that are close as rotations are
    close here too. With `|a|, |b| <= pi`, going to the vector `b - 2 pi b/|b|` changes the squared distance by
    `4 pi (a.b/|b| - |b| + pi)`, which matters only where that is negative.

    Args:
        poses_a: Axis-angle [rad], angles at most pi.
        poses_b: Axis-angle [rad], angles at most pi.

    Returns:
        Distances [rad].
    """
    flat_a, flat_b = poses_a.reshape(len(poses_a), -1), poses_b.reshape(len(poses_b), -1)
    squared = (flat_a**2).sum(1)[:, None] + (flat_b**2).sum(1) - 2.0 * flat_a @ flat_b.T
    norm_a, norm_b = np.linalg.norm(poses_a, axis=-1), np.linalg.norm(poses_b, axis=-1)
    for joint in np.flatnonzero(norm_a.max(axis=0) + norm_b.max(axis=0) > np.pi):
        dot = poses_a[:, joint] @ poses_b[:, joint].T
        a, b = norm_a[:, joint, None], norm_b[None, :, joint]
        gain = np.minimum(dot / np.maximum(b, 1e-12) - b, dot / np.maximum(a, 1e-12) - a) + np.pi
        squared += 4.0 * np.pi * np.minimum(gain, 0.0)
    return np.sqrt(np.maximum(squared, 0.0))


def frames_for(distance: float, fps: float, least: int) -> int:
    """Number of frames of an interpolated clip: proportional to the distance of its poses, `least` at the least.

    Args:
        distance: Between the two poses [rad], see `pose_distances`.
        fps: Rate of the clip [Hz].
        least: Smallest number of frames.
    """
    return max(least, int(np.ceil(distance / SPEED * fps)) + 1)


def eased(count: int, ease: float = EASE) -> Float[Array, " T"]:
    """Positions on a path, from 0 to 1: speed grows linearly, is constant, falls linearly.

    Args:
        count: Number of positions, at least 2.
        ease: Share of the time spent on each of the two ramps, 0 (constant speed) to 0.5.
    """
    time = np.linspace(0.0, 1.0, count)
    if ease == 0.0:
        return time
    top = 1.0 / (1.0 - ease)
    ramp_up, ramp_down = top * time**2 / (2 * ease), 1.0 - top * (1.0 - time) ** 2 / (2 * ease)
    return np.select([time < ease, time > 1.0 - ease], [ramp_up, ramp_down], top * (time - ease / 2))


def _long_way(rotvec: Array) -> Array:
    """The same rotation, turned the other way round: the angle minus a full turn; no rotation has no axis and stays."""
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    return np.where(angle < 1e-9, rotvec, rotvec - 2.0 * np.pi * rotvec / np.maximum(angle, 1e-9))
