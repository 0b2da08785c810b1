"""Cloth through cloth, crumpled cloth, and cloth drawn longer than cloth can be.

Blender's solvers know nothing of a garment's own other side (unless asked, at twice the cost) and keep an outer garment
out of an inner one only as far as their sub-steps allow. The gate therefore counts what a viewer would see.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from garments.garment import Garment
from synth.types import DressedGarment

Array = np.ndarray

__all__ = ["CONTACT_LIMITS", "MEASURES", "ContactLimits", "contacts", "crumpled", "pierced", "reasons"]

_CANDIDATES = 10
"""Triangles looked at for each edge: those whose middles are closest to its own."""
_FLAT = 1e-3
"""An edge this close to a triangle's plane (sine of the angle, about) lies in it and pierces nothing."""
_SHARP = np.cos(np.radians(100.0))
"""Faces that turn by more than this between neighbours are a crease no fabric of this mesh's fineness makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLimits:
    """The worst a frame may be.

    The first three are twice the worst of 20 garments in 11 clips of a jump that were looked at and found sound (4.7,
    13.8, 8.3 %). Of the edges a fifth too long: deep squats draw 24 % of leggings', 23 % of a shirt's and 10 % of a
    dress's edges that far, and look sound; a skirt that a soft body had crumpled into a ruff had 16.7 %.
    """

    layers: float = 0.10
    """Share of a garment's edges that pass through the garment beneath it."""
    itself: float = 0.28
    """Share of a garment's edges that pass through the garment itself."""
    crumpled: float = 0.17
    """Share of the edges between two faces that are folded sharply."""
    stretched: float = 0.25
    stretched_loose: float = 0.11
    """Share of the edges that are a fifth longer than they were cut. Limbs may draw a sleeve or a leg that far; on what
    hangs free nothing draws, so a skirt that is long all over stands up as a ruff."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if not getattr(self, spec.name) > 0:
                raise ValueError(f"{spec.name}: expected a positive limit, got {getattr(self, spec.name)}")


CONTACT_LIMITS = ContactLimits()


MEASURES = ("layers", "itself", "crumpled", "stretched")
"""What is held against these limits."""


def pierced(
    vertices: Float[Array, "V 3"],
    edges: Int[Array, "E 2"],
    other: Float[Array, "W 3"],
    triangles: Int[Array, "F 3"],
    same: bool = False,
) -> Bool[Array, " E"]:
    """Which edges of one mesh pass through a triangle of another.

    Source: Möller and Trumbore 1997, Fast, Minimum Storage Ray/Triangle Intersection, for segments.

    Args:
        vertices: The mesh whose edges are asked about [m].
        edges: These edges.
        other: The other mesh's vertices [m].
        triangles: Its triangles, of about the size of the edges.
        same: Whether both are one mesh: triangles that share a vertex with an edge do not count.
    """
    start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]
    centres = other[triangles].mean(axis=1)
    reach = min(_CANDIDATES, len(triangles))
    _, near = KDTree(centres).query((start + end) / 2, k=reach)
    near = near.reshape(len(edges), reach)
    a, b, c = (other[triangles[near, k]] for k in range(3))
    along = (end - start)[:, None]
    first, second = b - a, c - a
    cross = np.cross(np.broadcast_to(along, second.shape), second)
    volume = np.einsum("eki,eki->ek", first, cross)
    size = np.linalg.norm(along, axis=2) * np.linalg.norm(first, axis=2) * np.linalg.norm(second, axis=2)
    across = np.abs(volume) > _FLAT * size
    volume = np.where(across, volume, 1.0)
    gap = start[:, None] - a
    u = np.einsum("eki,eki->ek", gap, cross) / volume
    side = np.cross(gap, first)
    v = np.einsum("eki,eki->ek", np.broadcast_to(along, side.shape), side) / volume
    t = np.einsum("eki,eki->ek", second, side) / volume
    hit = across & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
    if same:
        hit &= ~(triangles[near][:, :, :, None] == edges[:, None, None, :]).any(axis=(2, 3))
    return hit.any(axis=1)


def _hinges(faces: Int[Array, "F 4"]) -> tuple[Int[Array, "H 2"], Int[Array, "H 2"]]:
    """The edges between two faces, and these faces."""
    following = np.roll(faces, -1, axis=1)
    triangle = faces[:, 3] < 0
    following[triangle, 2] = faces[triangle, 0]
    keep = np.ones_like(faces, dtype=bool)
    keep[triangle, 3] = False
    owner = np.broadcast_to(np.arange(len(faces))[:, None], faces.shape)[keep]
    pairs = np.sort(np.stack([faces[keep], following[keep]], axis=1), axis=1)
    order = np.lexsort(pairs.T[::-1])
    pairs, owner = pairs[order], owner[order]
    twin = np.flatnonzero((pairs[1:] == pairs[:-1]).all(axis=1))
    return pairs[twin], np.stack([owner[twin], owner[twin + 1]], axis=1)


def crumpled(
    vertices: Float[Array, "T V 3"], faces: Int[Array, "F 4"], rest: Float[Array, "V 3"]
) -> Float[Array, " T"]:
    """Share of the edges between two faces across which the cloth doubles back, in each frame.

    Args:
        vertices: The garment in motion [m].
        faces: Its quads; the last index is -1 for a triangle.
        rest: The garment as it was fitted: what is folded there does not count [m].
    """
    _, between = _hinges(faces)
    far = np.where(faces[:, 3] < 0, faces[:, 0], faces[:, 3])
    # A quad's normal is that of its diagonals; of a triangle that of two sides.
    one, two = (faces[:, 0], faces[:, 2]), (faces[:, 1], far)
    moving = np.concatenate([rest[None], vertices]).astype(np.float64)
    normal = np.cross(moving[:, one[1]] - moving[:, one[0]], moving[:, two[1]] - moving[:, two[0]])
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-12)
    sharp = np.einsum("thi,thi->th", normal[:, between[:, 0]], normal[:, between[:, 1]]) < _SHARP
    return sharp[1:, ~sharp[0]].mean(axis=1)


def contacts(
    dressed: tuple[DressedGarment, ...], vertices_world: dict[str, Float[Array, "T Vg 3"]], every: int = 2
) -> dict[str, dict[str, Float[Array, " N"]]]:
    """Measure how much of each garment passes through the one beneath or itself, or is crumpled.

    Args:
        dressed: The garments, innermost first.
        vertices_world: Their vertices by name [m].
        every: Only every so many frames are looked at.

    Returns:
        By garment: "layers", "itself" and "crumpled", shares per frame looked at; 0 in frames that are not finite.
    """
    found = {}
    for position, worn in enumerate(dressed):
        garment, moving = worn.garment, vertices_world[worn.garment.name][::every].astype(np.float64)
        usable = np.isfinite(moving).all(axis=(1, 2))
        beneath = [(d.garment, vertices_world[d.garment.name][::every]) for d in dressed[:position]]
        shares = {name: np.zeros(len(moving)) for name in ("layers", "itself", "crumpled")}
        for t in np.flatnonzero(usable):
            shares["itself"][t] = pierced(moving[t], garment.edges, moving[t], garment.triangles, same=True).mean()
            for inner, positions in beneath:
                if np.isfinite(positions[t]).all():
                    through = pierced(moving[t], garment.edges, positions[t].astype(np.float64), inner.triangles)
                    shares["layers"][t] = max(shares["layers"][t], float(through.mean()))
        shares["crumpled"][usable] = crumpled(moving[usable], garment.faces, worn.rest_vertices)
        found[garment.name] = shares
    return found


def reasons(
    garment: Garment, shares: Mapping[str, Float[Array, " N"]], every: int = 1, limits: ContactLimits = CONTACT_LIMITS
) -> list[str]:
    """What speaks against a garment, the worst frame of each kind.

    Args:
        garment: The garment.
        shares: By names of `MEASURES`: what `contacts` measured on it, and "stretched" (`synth.cloth.stretch`).
        every: Frames between two that were looked at.
        limits: The worst a frame may be.
    """
    checks = (
        ("layers", limits.layers, "of its edges pass through the garment beneath"),
        ("itself", limits.itself, "of its edges pass through itself"),
        ("crumpled", limits.crumpled, "of its edges are folded sharply: it is crumpled"),
        (
            "stretched",
            limits.stretched_loose if garment.loose else limits.stretched,
            "of its edges are a fifth too long: it is drawn out of shape",
        ),
    )
    found = []
    for key, limit, text in (check for check in checks if check[0] in shares):
        worst = int(np.argmax(shares[key]))
        if shares[key][worst] > limit:
            share = 100 * shares[key][worst]
            found.append(f"{garment.name}: frame {every * worst}: {share:.1f} % {text} (limit {100 * limit:g} %)")
    return found
