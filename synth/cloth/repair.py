"""Pushes cloth out of the body, and outer cloth out of inner cloth, without a seam in space or time.

Before that, edges that were drawn out further than any fabric are drawn together again (`synth.cloth.stretch`).
Every vertex moves along the normal of what it has to leave, by an amount that is zero on clear cloth, grows steadily
with the depth, and is spread over neighbouring vertices and frames: so nothing pops, and clear frames stay as they are.
A limb that has left its sleeve cannot be brought back; the gate (`synth.cloth.quality`) rejects that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from synth.cloth.quality import beside, covered_at_rest, garment_surface, on_border
from synth.cloth.stretch import relieved
from synth.geometry.triangles import ClosestPoint, vertex_normals
from synth.types import DressedGarment

Array = np.ndarray

__all__ = ["CLEARANCE", "repair"]

CLEARANCE = 0.003
"""Distance from the body or the inner garment that vertices are pushed out to [m]."""
_SKIN = 0.0015
"""How deep under the cloth's faces the vertices of what it covers must lie [m]."""
_GIVE_UP = (0.012, 0.025)
"""Between these depths [m] the push fades away: what is deeper belongs to another limb."""
_NEAR = 0.006
"""The second pass looks only at what the first found within this of trouble [m]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Obstacle:
    """Something worn cloth must stay outside of."""

    vertices: Float[Array, "T V 3"]
    triangles: Int[Array, "F 3"]
    border: Bool[Array, " V"]
    covered: Int[Array, " C"]
    """Its vertices under the garment at rest: they must not show through."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mesh:
    """The garment's own triangles and open borders."""

    triangles: Int[Array, "F 3"]
    border: Bool[Array, " Vg"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Suspects:
    """What may be in trouble in one frame: the first pass looks at all, the second at what was found near."""

    cloth: Int[Array, " N"]
    covered: Int[Array, " M"]


def repair(
    dressed: tuple[DressedGarment, ...],
    vertices_world: Mapping[str, Float[Array, "T Vg 3"]],
    body_vertices_world: Float[Array, "T V 3"],
    faces: Int[Array, "F 3"],
    rest_body_world: Float[Array, "V 3"],
) -> dict[str, Float[Array, "T Vg 3"]]:
    """Push every garment out of the body and out of the garments beneath it.

    Args:
        dressed: The garments, innermost first; the first frame of their skinned motion shows what they cover.
        vertices_world: Simulated vertices by garment [m]; frames that are not finite stay as they are.
        body_vertices_world: The body in the same frames [m].
        faces: The body's triangles.
        rest_body_world: The body in the first frame of the garments' skinned motion [m].

    Returns:
        Repaired vertices by garment [m], float32.
    """
    repaired: dict[str, Array] = {}
    for position, worn in enumerate(dressed):
        current = np.array(vertices_world[worn.garment.name], dtype=np.float32)
        usable = np.isfinite(current).all(axis=(1, 2))
        beneath = [(body_vertices_world, rest_body_world, faces)]
        for inner in dressed[:position]:
            beneath.append((repaired[inner.garment.name], inner.skinned_world[0], inner.garment.triangles))
            usable &= np.isfinite(repaired[inner.garment.name]).all(axis=(1, 2))
        frames = np.flatnonzero(usable)
        current[frames] = relieved(worn, current[frames])
        for moving, rest, triangles in beneath:
            obstacle = _Obstacle(
                vertices=moving[frames],
                triangles=triangles,
                border=on_border(triangles, len(rest)),
                covered=covered_at_rest(worn, rest.astype(np.float64), triangles),
            )
            current[frames] = _cleared(worn, current[frames], obstacle)
        repaired[worn.garment.name] = current
    return repaired


def _cleared(worn: DressedGarment, vertices: Float[Array, "T Vg 3"], obstacle: _Obstacle) -> Float[Array, "T Vg 3"]:
    """Push one garment out of one obstacle, in all frames."""
    cloth = _Mesh(triangles=worn.garment.triangles, border=on_border(worn.garment.triangles, vertices.shape[1]))
    neighbours = _averaging(worn.garment.edges, vertices.shape[1])
    frames = len(vertices)
    suspects = [_Suspects(cloth=np.arange(vertices.shape[1]), covered=obstacle.covered)] * frames
    for spread_over_time in (True, False):
        depth, direction = np.zeros(vertices.shape[:2]), np.zeros_like(vertices)
        for t in range(frames):
            depth[t], direction[t], suspects[t] = _push(vertices[t].astype(np.float64), cloth, obstacle, t, suspects[t])
        for _ in range(2):
            depth = np.maximum(depth, (neighbours @ depth.T).T)
        if spread_over_time:  # once: what the first pass leaves is small, and spreading it too would swell the cloth
            depth = np.maximum(depth, _over_time(depth))
        vertices = vertices + (depth[..., None] * direction).astype(np.float32)
    return vertices


def _push(
    vertices: Float[Array, "Vg 3"], cloth: _Mesh, obstacle: _Obstacle, t: int, suspects: _Suspects
) -> tuple[Float[Array, " Vg"], Float[Array, "Vg 3"], _Suspects]:
    """How far [m] and in which direction each vertex has to move in one frame, and what to look at again."""
    body = obstacle.vertices[t].astype(np.float64)
    depth, direction = np.zeros(len(vertices)), np.zeros_like(vertices)
    looked, watched = suspects.cloth, suspects.covered
    hits = ClosestPoint(body, obstacle.triangles, candidates=8)(vertices[looked])
    inside = _wanted(CLEARANCE - hits.distance)
    depth[looked] = np.where(beside(hits, obstacle.triangles, obstacle.border), 0.0, inside)
    direction[looked] = hits.normal
    if len(watched):
        found = garment_surface(vertices, cloth.triangles)(body[watched])
        normals = vertex_normals(body, obstacle.triangles)[watched]
        facing = np.clip((np.einsum("ni,ni->n", normals, found.normal) - 0.2) / 0.3, 0, 1)
        shows = np.where(beside(found, cloth.triangles, cloth.border), 0.0, _wanted(found.distance + _SKIN)) * facing
        share = found.barycentric / found.barycentric.max(axis=1, keepdims=True)
        np.maximum.at(depth, cloth.triangles[found.face], shows[:, None] * share)
        watched = watched[found.distance > -_NEAR]
    # Vertices that only a smoothed push moves are near a pushed one; those without a normal here stay where they are.
    return depth, direction, _Suspects(cloth=looked[hits.distance < CLEARANCE + _NEAR], covered=watched)


def _wanted(depth: Float[Array, " N"]) -> Float[Array, " N"]:
    """The depth to make good: nothing for clear points, less and less for those too deep to belong here."""
    low, high = _GIVE_UP
    return np.clip(depth, 0, None) * np.clip((high - depth) / (high - low), 0, 1)


def _over_time(depth: Float[Array, "T Vg"]) -> Float[Array, "T Vg"]:
    """Mean over a frame and its neighbours, weights 1 2 1."""
    padded = np.concatenate([depth[:1], depth, depth[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def _averaging(edges: Int[Array, "E 2"], count: int) -> csr_matrix:
    """Matrix that takes the mean of each vertex and its neighbours."""
    rows = np.concatenate([edges[:, 0], edges[:, 1], np.arange(count)])
    columns = np.concatenate([edges[:, 1], edges[:, 0], np.arange(count)])
    weights = 1.0 / np.bincount(rows, minlength=count)
    return csr_matrix((weights[rows], (rows, columns)), shape=(count, count))
