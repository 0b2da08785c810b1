"""A shirt worn in the trousers or skirt: below their waistband it lies on the skin, which holds it like a belt."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from garments import fit
from garments.garment import Garment

__all__ = ["is_tucked", "tucked_in"]

Array = np.ndarray

_LIES = 0.005
"""Distance of the tucked part from the skin [m]."""
_BLEND = (0.06, 0.0)
"""Over the waistband's edge: from this height on the shirt is free, from that on it is held [m]."""
_HELD = (0.03, 0.06, 0.10)
"""It is held from the first to the second of these depths below the waistband's edge, and less and less down to the
third [m]."""
_REACH = 0.18
"""A shirt reaches at most so far below the waistband's edge; a longer one is folded up there [m]."""


def is_tucked(position: int, outfit: tuple[Garment, ...]) -> bool:
    """Whether the garment at this position is worn in another: something for above beneath something for below."""
    return outfit[position].covers == "upper" and any(g.covers == "lower" for g in outfit[position + 1 :])


def tucked_in(
    garment: Garment, vertices: Float[Array, "Vg 3"], waist: float, skin: fit.Nearest
) -> tuple[Garment, Float[Array, "Vg 3"]]:
    """Tuck a shirt in.

    Args:
        garment: The shirt.
        vertices: It, hanging free around the body in the A-pose [m].
        waist: Height of the waistband's upper edge [m].
        skin: The body's surface.

    Returns:
        The shirt with its tucked part pinned, and its vertices with that part on the skin [m].
    """
    below = waist - vertices[:, 1]
    share = np.clip((below + _BLEND[0]) / (_BLEND[0] - _BLEND[1]), 0.0, 1.0)
    share = share * share * (3 - 2 * share)
    placed = vertices.copy()
    if below.max() > _REACH:
        placed[:, 1] = np.where(below > 0, waist - below * _REACH / below.max(), vertices[:, 1])
    average = fit.averaging(garment.edges, len(vertices))
    for _ in range(3):
        distance, normal = skin(placed)
        move = -(share * np.maximum(distance - _LIES, 0.0))[:, None] * normal
        placed = placed + fit.smoothed(move, average, 4)
    clearance = np.full(len(vertices), 0.8 * _LIES)
    placed = fit.pushed_out(placed, garment.faces, garment.edges, skin, clearance)
    # The edge itself slides, and the hem hangs free: held on the skin, it would go into the body's own folds with it.
    below = waist - placed[:, 1]
    held = np.clip(below / _HELD[0], 0.0, 1.0) * np.clip((_HELD[2] - below) / (_HELD[2] - _HELD[1]), 0.0, 1.0)
    return (
        replace(garment, pins=np.maximum(garment.pins, held), goals=np.maximum(garment.goals, held)),
        placed,
    )
