"""Carry a garment from the body it was made on to another one.

The garment moves with the closest points of the body, smoothly, and is then pushed clear of the new body. Surfaces are
only seen through functions, so that any way to find closest points will do.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array

__all__ = ["Nearest", "averaging", "fit", "pushed_out", "smoothed"]

Array = np.ndarray

Nearest = Callable[[Array], tuple[Array, Array]]
"""For points (N, 3) [m]: signed distance to a surface (N,) [m], negative inside, and outward unit normals (N, 3)."""


_CLEAR = 0.0003
"""Out of the body [m]."""


def averaging(edges: Int[Array, "E 2"], count: int) -> csr_array:
    """Matrix (V, V) that replaces each vertex by the mean of its neighbours."""
    both = np.concatenate([edges, edges[:, ::-1]])
    degree = np.bincount(both[:, 0], minlength=count)
    return coo_array((1.0 / degree[both[:, 0]], (both[:, 0], both[:, 1])), shape=(count, count)).tocsr()


def smoothed(values: Float[Array, "V N"], average: csr_array, rounds: int) -> Float[Array, "V N"]:
    """Values halfway to their neighbours' mean, so many times over."""
    for _ in range(rounds):
        values = 0.5 * (values + average @ values)
    return values


def fit(
    vertices: Float[Array, "V 3"],
    faces: Int[Array, "F 4"],
    edges: Int[Array, "E 2"],
    displacement: Float[Array, "V 3"],
    body: Nearest,
    clearance: Float[Array, " V"],
    smoothing: int = 20,
) -> Float[Array, "V 3"]:
    """Fit a garment to another body.

    Args:
        vertices: The garment on the body it was made on [m].
        faces: Its quads; the last index is -1 for a triangle.
        edges: Its edges.
        displacement: How far the body's surface point closest to each vertex moves [m].
        body: The new body's surface.
        clearance: Least distance that each vertex keeps from it [m].
        smoothing: Laplacian rounds on the displacement; few keep folds where body parts meet.
    """
    moved = vertices + smoothed(displacement, averaging(edges, len(vertices)), smoothing)
    return _freed(pushed_out(moved, faces, edges, body, clearance), body)


def _freed(vertices: Float[Array, "V 3"], body: Nearest, rounds: int = 10) -> Float[Array, "V 3"]:
    """Move the few vertices that are still inside just out: between thighs there is no room for the clearance."""
    stuck = np.arange(len(vertices))
    for _ in range(rounds):
        distance, normal = body(vertices[stuck])
        inside = distance < 0.0
        stuck = stuck[inside]
        if len(stuck) == 0:
            break
        vertices = vertices.copy()
        vertices[stuck] += (_CLEAR - distance[inside])[:, None] * normal[inside]
    return vertices


def pushed_out(
    vertices: Float[Array, "V 3"],
    faces: Int[Array, "F 4"],
    edges: Int[Array, "E 2"],
    body: Nearest,
    clearance: Float[Array, " V"],
    rounds: int = 30,
) -> Float[Array, "V 3"]:
    """Move a garment out to its clearance, taking neighbours along so that no spike stands out.

    The faces' middles are held clear too: a small bump of the body fits between four vertices.

    Args:
        vertices: Vertices [m].
        faces: Quads; the last index is -1 for a triangle.
        edges: Edges.
        body: What to stay clear of.
        clearance: Least distance of each vertex [m].
        rounds: At most so many.
    """
    average = averaging(edges, len(vertices))
    corners = np.where(faces < 0, faces[:, :1], faces)
    # Which vertices each probe moves: itself, or its face's corners.
    moves = np.concatenate([np.repeat(np.arange(len(vertices))[:, None], 4, axis=1), corners])
    wanted = clearance[moves].min(axis=1)
    near = np.arange(len(moves))
    for _ in range(rounds):
        distance, normal = body(vertices[moves[near]].mean(axis=1))
        lack = np.maximum(wanted[near] - distance, 0.0)
        if lack.max(initial=0.0) < 1e-4:
            break
        # Where several probes push one vertex, the strongest is written last and stays.
        order = np.argsort(lack, kind="stable")
        push = np.zeros_like(vertices)
        push[moves[near[order]]] = (lack[:, None] * normal)[order, None]
        spread = smoothed(push, average, 3)
        vertices = vertices + np.where(push.any(axis=1, keepdims=True), push, spread)
        # One round moves nothing farther than its own largest push.
        near = near[distance < wanted[near] + 4 * lack.max()]
    return vertices
