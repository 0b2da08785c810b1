"""Find what is wrong with a garment's mesh before a solver does."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from garments.fit import Nearest
from garments.garment import Garment

__all__ = ["check", "check_fit", "check_mesh"]

Array = np.ndarray

SHORTEST, LONGEST = 0.4, 2.3
"""Edges as multiples of the mean edge: beyond these the soft-body solver is unstable."""
TINY = 0.05
"""Least area of a face, as a share of the median; a fifth of that for hair and shoes, and for a triangle of a quad."""
STRETCH = 0.25
"""Most that a texture is stretched or squeezed."""
DEEPEST = 0.001
"""How far inside a body a vertex may start [m]."""


def check(garment: Garment, bodies: Iterable[tuple[str, Nearest, Float[Array, "Vg 3"]]] = ()) -> list[str]:
    """Say what is wrong with a garment, one line a fault; nothing if it is sound.

    Args:
        garment: The garment.
        bodies: Bodies it was fitted to: name, surface, and the garment's vertices there [m].
    """
    faults = check_mesh(garment)
    for name, surface, vertices in bodies:
        faults += check_fit(garment, name, surface, vertices)
    return faults


def check_mesh(garment: Garment) -> list[str]:
    """Faults of the mesh itself."""
    faults = []
    edges, uses, turned = _edges(garment)
    if (uses > 2).any():
        faults.append(f"{int((uses > 2).sum())} edges have more than two faces, first {edges[uses > 2][0].tolist()}")
    if turned:
        faults.append(f"{turned} edges have neighbours that face opposite ways")
    if not (uses == 1).any():
        faults.append("closed: nobody can get in")
    if len(unused := np.setdiff1d(np.arange(len(garment.vertices)), garment.faces)):
        faults.append(f"{len(unused)} vertices belong to no face, first {unused[0]}")
    faults += _shape_faults(garment, edges)
    for field in ("vertices", "uv", "pins", "goals"):
        if not np.isfinite(getattr(garment, field)).all():
            faults.append(f"{field}: not all finite")
    for field in ("pins", "goals"):
        values = getattr(garment, field)
        if values.min() < 0 or values.max() > 1:
            faults.append(f"{field}: outside 0-1")
    if garment.covers == "lower" and garment.pins.max() < 1:
        faults.append("pins: nothing holds it up at the waist")
    return faults


def check_fit(garment: Garment, name: str, surface: Nearest, vertices: Float[Array, "Vg 3"]) -> list[str]:
    """Faults of the garment on one body."""
    depth = -surface(vertices)[0]
    if depth.max() <= DEEPEST:
        return []
    worst = int(np.argmax(depth))
    count = int((depth > DEEPEST).sum())
    return [f"{name}: {count} vertices inside the body, vertex {worst} by {1000 * depth[worst]:.1f} mm"]


def _edges(garment: Garment) -> tuple[Array, Array, int]:
    """Each edge once, how many faces it has, and how many are run through twice the same way."""
    faces = garment.faces
    triangle = faces[:, 3] < 0
    following = np.roll(faces, -1, axis=1)
    following[triangle, 2] = faces[triangle, 0]
    keep = np.ones_like(faces, dtype=bool)
    keep[triangle, 3] = False
    directed = np.stack([faces[keep], following[keep]], axis=1)
    unique, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    return unique, uses, len(directed) - len(np.unique(directed, axis=0))


def _shape_faults(garment: Garment, edges: Array) -> list[str]:
    """Slivers, flat faces, wrong side out, stretched textures."""
    faults = []
    lengths = np.linalg.norm(garment.vertices[edges[:, 0]] - garment.vertices[edges[:, 1]], axis=1)
    share = lengths / lengths.mean()
    cloth = garment.covers not in ("head", "feet")  # hair and shoes meet no solver and carry no weave
    if not cloth:
        share = np.ones(1)
    if share.min() < SHORTEST or share.max() > LONGEST:
        faults.append(f"edges of {share.min():.2f} to {share.max():.2f} times the mean, allowed {SHORTEST}-{LONGEST}")
    a, b, c = (garment.vertices[garment.triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    half = 0.5 * np.linalg.norm(normal, axis=1)
    area = half[: len(garment.faces)].copy()
    area[garment.faces[:, 3] >= 0] += half[len(garment.faces) :]
    least = TINY if cloth else 0.2 * TINY
    tiny = area < least * np.median(area)
    if tiny.any() or half.min() < 0.2 * least * np.median(half):
        faults.append(f"{max(int(tiny.sum()), 1)} faces have next to no area")
    # Flow of the horizontal field (x, 0, z) out of the surface: twice the room within, whatever the tubes' shape.
    outwards = np.einsum("ni,ni->", normal[:, [0, 2]], ((a + b + c) / 3)[:, [0, 2]])
    if outwards < 0:
        faults.append("faces look inwards")
    faults += _texture_faults(garment) if cloth else []
    return faults


def _texture_faults(garment: Garment) -> list[str]:
    """Texture coordinates that do not lie flat at the scale of the fabric."""
    first = np.stack([garment.faces[:, 0], garment.faces[:, 1]], axis=1)
    second = np.stack([garment.faces[:, 1], garment.faces[:, 2]], axis=1)
    ratio = []
    for i, pair in enumerate((first, second)):
        cloth = np.linalg.norm(garment.vertices[pair[:, 0]] - garment.vertices[pair[:, 1]], axis=1)
        ratio.append(np.linalg.norm(garment.uv[:, i] - garment.uv[:, i + 1], axis=1) / np.maximum(cloth, 1e-9))
    low, high = np.percentile(ratio, [1, 99])
    if low < 1 - STRETCH or high > 1 + STRETCH:
        return [f"uv: {low:.2f} to {high:.2f} metres of texture a metre of cloth"]
    return []
