"""How far a garment's edges are from the length that they were cut to."""

import numpy as np
from jaxtyping import Float, Int

from synth.types import DressedGarment

Array = np.ndarray

__all__ = ["LONG", "sound_edges", "stretching"]

LONG = 0.2
"""An edge longer than it was fitted by this share is stretched."""
_SLIVER = 0.3
"""Edges shorter than this share of the mean magnify noise: they are left out."""


def sound_edges(edges: Int[Array, "E 2"], rest: Float[Array, "V 3"]) -> tuple[Int[Array, "K 2"], Float[Array, " K"]]:
    """The edges that are measured, and their lengths at rest [m]."""
    lengths = np.linalg.norm(rest[edges[:, 0]] - rest[edges[:, 1]], axis=1)
    keep = lengths > _SLIVER * lengths.mean()
    return edges[keep], lengths[keep]


def stretching(worn: DressedGarment, vertices_world: Float[Array, "T Vg 3"]) -> dict[str, Float[Array, " T"]]:
    """Strain of a garment's edges in each frame.

    Args:
        worn: The garment; strain is against the shape that was fitted to the body.
        vertices_world: Its vertices [m]; a frame that is not finite gives NaN.

    Returns:
        "strain": mean of |strain|; "strain_99" and "strain_max": what 99 % and all of |strain| stay below;
        "stretch_energy": mean of half the fabric's stiffness times strain^2 [J/m2] (MVIPER's stretch term, per edge);
        "stretched": share of the edges that are a fifth too long.
    """
    edges, rest = sound_edges(worn.garment.edges, worn.rest_vertices)
    found = {name: np.full(len(vertices_world), np.nan) for name in _NAMES}
    for t, vertices in enumerate(vertices_world):
        ends = vertices[edges].astype(np.float64)
        strain = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) / rest - 1
        size = np.abs(strain)
        figures = (
            size.mean(),
            np.percentile(size, 99),
            size.max(),
            0.5 * worn.garment.fabric.stretch * np.mean(strain**2),
            np.mean(strain > LONG) if np.isfinite(strain).all() else np.nan,
        )
        for name, value in zip(_NAMES, figures, strict=True):
            found[name][t] = value
    return found


_NAMES = ("strain", "strain_99", "strain_max", "stretch_energy", "stretched")
