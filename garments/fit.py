"""Carry a garment from the body it was made on to another one.

The garment moves with the closest points of the body, smoothly, and is then pushed clear of the new body. Surfaces are
only seen through functions, so that any way to find closest points will do.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix

__all__ = ["Nearest", "averaging", "fit", "pushed_out", "smoothed"]

Array = np.ndarray

Nearest = Callable[[Array], tuple[Array, Array]]
"""For points (N, 3) [m]: signed distance to a surface (N,) [m], negative inside, and outward unit normals (N, 3)."""


def averaging(edges: Int[Array, "E 2"], count: int) -> csr_matrix:
    """Matrix (V, V) that replaces each vertex by the mean of its neighbours."""
    both = np.concatenate([edges, edges[:, ::-1]])
    degree = np.bincount(both[:, 0], minlength=count)
    return coo_matrix((1.0 / degree[both[:, 0]], (both[:, 0], both[:, 1])), shape=(count, count)).tocsr()


def smoothed(values: Float[Array, "V N"], average: csr_matrix, rounds: int) -> Float[Array, "V N"]:
    """Values halfway to their neighbours' mean, so many times over."""
    for _ in range(rounds):
        values = 0.5 * (values + average @ values)
    return values


def fit(
    vertices: Float[Array, "V 3"],
    edges: Int[Array, "E 2"],
    displacement: Float[Array, "V 3"],
    body: Nearest,
    clearance: Float[Array, " V"],
    smoothing: int = 20,
) -> Float[Array, "V 3"]:
    """Fit a garment to another body.

    Args:
        vertices: The garment on the body it was made on [m].
        edges: Its edges.
        displacement: How far the body's surface point closest to each vertex moves [m].
        body: The new body's surface.
        clearance: Least distance that each vertex keeps from it [m].
        smoothing: Laplacian rounds on the displacement; few keep folds where body parts meet.
    """
    average = averaging(edges, len(vertices))
    moved = vertices + smoothed(displacement, average, smoothing)
    return pushed_out(moved, average, body, clearance)


def pushed_out(
    vertices: Float[Array, "V 3"], average: csr_matrix, body: Nearest, clearance: Float[Array, " V"], rounds: int = 30
) -> Float[Array, "V 3"]:
    """Move vertices out to their clearance, taking their neighbours along so that no spike stands out.

    Args:
        vertices: Vertices [m].
        average: From `averaging`.
        body: What to stay clear of.
        clearance: Least distance of each vertex [m].
        rounds: At most so many.
    """
    for _ in range(rounds):
        distance, normal = body(vertices)
        lack = np.maximum(clearance - distance, 0.0)
        if lack.max() < 1e-4:
            break
        push = lack[:, None] * normal
        spread = smoothed(push, average, 3)
        vertices = vertices + np.where((lack > 0)[:, None], push, spread)
    return vertices
