"""A garment tried on: bodies of every gender and many shapes, for the checks that look at its fit."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from garments.fit import Nearest
from garments.garment import Garment
from synth.body.model import load_named
from synth.cloth.dress import fitted_to

__all__ = ["tried_on"]

Array = np.ndarray


def tried_on(garment: Garment, reach: float) -> Iterator[tuple[str, Nearest, Float[Array, "Vg 3"]]]:
    """Fit a garment to the free bodies: the mean shape, and each of the first three components both ways.

    Args:
        garment: The garment.
        reach: Size of a component.

    Yields:
        Name of the body, its surface, and the garment's vertices on it [m].
    """
    shapes = [np.zeros(3), *(sign * reach * np.eye(3)[i] for i in range(3) for sign in (1, -1))]
    for gender in ("neutral", "male", "female"):
        body = load_named("free", gender)
        for shape in shapes:
            betas = np.zeros(body.shapedirs.shape[2])
            betas[:3] = shape
            yield (f"{gender} {shape.tolist()}", *fitted_to(body, betas, garment))
