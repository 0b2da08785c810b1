"""How far a garment's edges are from the length that they were cut to."""

import numpy as np
from jaxtyping import Float, Int

from synth.types import DressedGarment

Array = np.ndarray

__all__ = ["LONG", "relieved", "sound_edges", "stretching"]

LONG = 0.2
"""An edge longer than it was fitted by this share is stretched."""
_LIMIT = 0.3
"""No fabric is drawn out further than this: what caught it (an arm on the thigh) lets go."""
_ROUNDS = 30
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


def relieved(worn: DressedGarment, vertices_world: Float[Array, "T Vg 3"]) -> Float[Array, "T Vg 3"]:
    """Draw edges that are far too long together again, those of each frame for themselves.

    Where the body touches itself, cloth between its parts is pushed from both sides and single vertices stick out or
    stay behind. Edges drawn out by more than 30 % pull their ends together until none is, or the rounds are over;
    pinned vertices stay, and frames without such edges are returned as they were.

    Source: Müller et al. 2007, Position Based Dynamics, distance constraints (Jacobi, averaged over a vertex's edges).

    Args:
        worn: The garment.
        vertices_world: Its vertices [m], finite.
    """
    edges, rest = sound_edges(worn.garment.edges, worn.rest_vertices)
    free = (worn.garment.pins < 1).astype(np.float64)
    longest = (1 + _LIMIT) * rest
    result = np.array(vertices_world)
    for t in range(len(result)):
        moved = result[t].astype(np.float64)
        for _ in range(_ROUNDS):
            between = moved[edges[:, 1]] - moved[edges[:, 0]]
            length = np.linalg.norm(between, axis=1)
            long = np.flatnonzero(length > longest + 1e-6)
            if not len(long):
                break
            _draw_together(moved, edges[long], between[long], (1 - longest[long] / length[long]), free)
            result[t] = moved
    return result


def _draw_together(
    moved: Float[Array, "V 3"],
    edges: Int[Array, "L 2"],
    between: Float[Array, "L 3"],
    excess: Float[Array, " L"],
    free: Float[Array, " V"],
) -> None:
    """Move the ends of these edges, in place, by the mean of what their edges ask for."""
    first, second = edges.T
    weight = free[first] + free[second]
    pull = between * (excess / np.maximum(weight, 1e-9))[:, None]
    asked, count = np.zeros_like(moved), np.zeros(len(moved))
    np.add.at(asked, first, free[first, None] * pull)
    np.add.at(asked, second, -free[second, None] * pull)
    np.add.at(count, edges.ravel(), 1.0)
    moved += asked / np.maximum(count, 1.0)[:, None]
