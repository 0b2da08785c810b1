"""A garment tried on: bodies of every gender and many shapes, for the checks that look at its fit."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from garments.check import check_fit
from garments.fit import Nearest
from garments.garment import Garment
from synth.body.model import load_named
from synth.cloth.dress import fitted_to

__all__ = ["GENDERS", "misfits", "tried_on"]

Array = np.ndarray

GENDERS = ("neutral", "male", "female")


def tried_on(
    garment: Garment, reach: float, genders: tuple[str, ...] = GENDERS, *, grid: bool = False
) -> Iterator[tuple[str, Nearest, Float[Array, "Vg 3"]]]:
    """Fit a garment to the free bodies: three genders, and shapes made of the first three components.

    These components hold stature, weight and build. Without the grid there is the mean shape and each component both
    ways, 21 bodies; the grid has -reach, 0 and reach of each in every combination, 81 bodies.

    Args:
        garment: The garment.
        reach: Size of a component; 3 is three standard deviations.
        genders: Which of the free bodies.
        grid: Whether components are combined.

    Yields:
        Name of the body, its surface, and the garment's vertices on it [m].
    """
    shapes = list(itertools.product((0.0, reach, 0.0 - reach), repeat=3))
    if not grid:
        shapes = [shape for shape in shapes if np.count_nonzero(shape) <= 1]
    for gender in genders:
        body = load_named("free", gender)
        for shape in dict.fromkeys(shapes):
            betas = np.zeros(body.shapedirs.shape[2])
            betas[:3] = shape
            yield (f"{gender} {list(shape)}", *fitted_to(body, betas, garment))


def misfits(garment: Garment, reach: float, genders: tuple[str, ...] = GENDERS) -> list[str]:
    """Faults of a garment's fit on the grid of `tried_on`, one line a body."""
    bodies = tried_on(garment, reach, genders, grid=True)
    return [fault for name, skin, fitted in bodies for fault in check_fit(garment, name, skin, fitted)]
