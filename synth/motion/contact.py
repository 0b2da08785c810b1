"""Feet and the floor: which points of the skin a foot stands on, and when a captured foot rests."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synth.motion.correspondence import column
from synth.motion.skeleton import SkeletonMotion
from synth.types import BodyModel

Array = np.ndarray

FOOT_PARTS = ((7, 10), (8, 11))
"""SMPL joints of the left and the right foot."""
SOLE_HEIGHT = 0.012
"""Skin of the foot this close to its lowest point at rest belongs to the sole [m]."""
SOLE_POINTS = 8
NEAR = 0.04
"""A resting ankle or toe is this close to the height it has on the floor [m]."""
SLOW = 0.35
"""And slower than this [m/s]."""
FLOATING = 0.08
"""A body whose feet are both higher than this is off the floor [m]."""
FLIGHT = 0.6
"""Longest jump [s]; who is off the floor for longer hangs, climbs or stands on something that is not there."""
MARGIN = 0.4
"""Left out on both sides of such a time [s]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Soles:
    """Points of one sole, to be skinned."""

    points: Float[Array, "P 3"]
    shapedirs: Float[Array, "P 3 B"]
    weights: Float[Array, "P 24"]


def soles(body: BodyModel) -> tuple[Soles, Soles]:
    """Choose points spread over the left and the right sole."""
    owner = np.argmax(body.lbs_weights, axis=1)
    found = []
    for parts in FOOT_PARTS:
        foot = np.flatnonzero(np.isin(owner, parts))
        height = body.v_template[foot, 1]
        chosen = _spread(body.v_template, foot[height < height.min() + SOLE_HEIGHT], SOLE_POINTS)
        found.append(
            Soles(points=body.v_template[chosen], shapedirs=body.shapedirs[chosen], weights=body.lbs_weights[chosen])
        )
    return found[0], found[1]


def contacts(motion: SkeletonMotion) -> Float[Array, "T 2"]:
    """When each captured foot rests on the floor: its ankle or toe is low and slow.

    "Low" is relative to the 5th percentile of that point's height over the sequence.

    Returns:
        1 or 0 for the left and right foot.
    """
    names = ("{s}tibia", "{s}foot") if motion.convention == "asf" else ("{s}Foot", "{s}ToeBase")
    sides = ("left_", "right_")
    feet = [motion.points[:, [column(motion, side, name) for name in names]] for side in sides]
    return np.stack([resting_points(foot, motion.fps) for foot in feet], axis=1)


def resting_points(points: Float[Array, "T P 3"], fps: float) -> Float[Array, " T"]:
    """When one of a foot's points is low and slow, 1 or 0; a point that was not seen (NaN) says nothing.

    Args:
        points: World Y up [m].
        fps: [Hz]
    """
    seen = points[:, ~np.isnan(points[..., 1]).all(axis=0)]
    if not seen.size:
        return np.zeros(len(points))
    low = seen[..., 1] < np.nanpercentile(seen[..., 1], 5.0, axis=0) + NEAR
    if len(seen) > 1:
        low &= np.linalg.norm(np.gradient(seen, 1.0 / fps, axis=0), axis=-1) < SLOW
    return low.any(axis=1).astype(np.float64)


def grounded(lowest: Float[Array, "T 2"], fps: float, least: float = 1.0) -> list[tuple[int, int]]:
    """Stretches in which the floor explains the motion: walking, standing, jumping; not climbing or hanging.

    Args:
        lowest: Height of the lowest point of each foot [m].
        fps: [Hz]
        least: Shortest stretch [s].

    Returns:
        Stretches [first, last + 1).
    """
    off = lowest.min(axis=1) > FLOATING
    usable = np.ones(len(off), dtype=bool)
    margin = round(MARGIN * fps)
    for first, last in _runs(off):
        if last - first > FLIGHT * fps:
            usable[max(first - margin, 0) : last + margin] = False
    return [(first, last) for first, last in _runs(usable) if last - first >= least * fps]


def _runs(flags: Array) -> list[tuple[int, int]]:
    """Stretches [first, last + 1) of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _spread(vertices: Array, candidates: Array, count: int) -> Array:
    """Farthest-point sampling, starting from the heel."""
    chosen = [candidates[np.argmin(vertices[candidates, 2])]]
    distance = np.full(len(candidates), np.inf)
    for _ in range(min(count, len(candidates)) - 1):
        distance = np.minimum(distance, np.linalg.norm(vertices[candidates] - vertices[chosen[-1]], axis=1))
        chosen.append(candidates[np.argmax(distance)])
    return np.array(chosen)
