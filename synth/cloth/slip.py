"""Whether a garment is still where it belongs: the part of the body under each vertex against its region map."""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from synth.body.joints import PAIRS, PARENTS

Array = np.ndarray

__all__ = ["belongs", "slipped"]

_NEAR = 0.08
"""Cloth further off than this [m] lies over nothing."""


@cache
def belongs() -> Bool[Array, "25 25"]:
    """Whether a vertex of one part (1-24) may lie over another: itself, its neighbours, its mirror image.

    Legs that press together change their cloth's nearest thigh: that is no slip. Row and column 0 (unknown) allow all.
    """
    allowed = np.eye(25, dtype=bool)
    allowed[0], allowed[:, 0] = True, True
    for joint, parent in enumerate(PARENTS.tolist()):
        if parent >= 0:
            allowed[joint + 1, parent + 1] = allowed[parent + 1, joint + 1] = True
    for left, right in PAIRS:
        allowed[left + 1, right + 1] = allowed[right + 1, left + 1] = True
    return allowed


def slipped(
    region: Integer[Array, " Vg"],
    nearest_face: Int[Array, " Vg"],
    distance: Float[Array, " Vg"],
    face_parts: Integer[Array, " F"],
) -> float:
    """Share of a garment's vertices that lie over a part of the body where they do not belong.

    Args:
        region: Part (1-24) that each vertex is made for; 0 where that is not known.
        nearest_face: The body's face closest to each vertex.
        distance: How far it is [m].
        face_parts: Part of each of the body's faces.
    """
    wrong = ~belongs()[region.astype(np.int64), face_parts[nearest_face].astype(np.int64)]
    return float((wrong & (np.abs(distance) < _NEAR)).mean())
