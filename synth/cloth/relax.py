"""Spread a pattern's vertices evenly over the shell, hems on their curves, and lay its pieces flat."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

from synth.cloth.pattern import FREE, Pattern

__all__ = ["Curve", "Surface", "flattened", "relaxed"]

Array = np.ndarray

Surface = Callable[[Array, Array], tuple[Array, Array]]
"""Value [m] and gradient at points (N, 3) of the pieces (N,); the cloth lies where the value is 0."""

Curve = Callable[[Array], tuple[Array, Array]]
"""Value [m] and gradient at points (N, 3); a hem lies where the value is 0."""


def _links(pattern: Pattern) -> Int[Array, "E 3"]:
    """Which vertex (first) is drawn to which (second), along a row (0) or a column (1) of the fabric.

    Along a hem a vertex is drawn only to others on the same hem.
    """
    faces, curve, cells = np.array(pattern.faces), np.array(pattern.curve), np.array(pattern.cells)
    links = []
    for i in range(4):
        j = (i + 1) % 4
        upright = (cells[:, i, 1] != cells[:, j, 1]).astype(np.int64)
        links += [
            np.stack(pair, axis=1)
            for pair in ((faces[:, i], faces[:, j], upright), (faces[:, j], faces[:, i], upright))
        ]
    unique = np.unique(np.concatenate(links), axis=0)
    first, second = unique[:, 0], unique[:, 1]
    return unique[(curve[first] == FREE) | (curve[first] == curve[second])]


def _drawn(points: Float[Array, "V 3"], links: Int[Array, "E 3"]) -> Float[Array, "V 3"]:
    """Move each vertex towards its neighbours, the farther ones counting more: lengths even out.

    Rows and columns count the same, each weighed by squared lengths within itself: a tight row must not press its
    vertices against a neckline. With these weights a third of the way is the longest step that does not oscillate.
    """
    gap = points[links[:, 1]] - points[links[:, 0]]
    weight = np.einsum("ni,ni->n", gap, gap)
    line = 2 * links[:, 0] + links[:, 2]
    weight /= np.maximum(np.bincount(line, weight, 2 * len(points)), 1e-15)[line]
    pull = np.stack([np.bincount(links[:, 0], weight * gap[:, i], len(points)) for i in range(3)], axis=1)
    lines = np.bincount(np.unique(line) // 2, minlength=len(points))
    return points + 0.3 * pull / np.maximum(lines, 1)[:, None]


def _onto(
    points: Float[Array, "N 3"],
    part: Int[Array, " N"],
    groups: Mapping[int, Array],
    surface: Surface,
    curves: Sequence[Curve],
) -> Float[Array, "N 3"]:
    """Move points to the surface, and hem vertices to where their curve meets it (one Newton step)."""
    value, slope = surface(points, part)
    move = -value[:, None] * slope / np.maximum(np.einsum("ni,ni->n", slope, slope), 1e-2)[:, None]
    for number, members in groups.items():
        other, across = curves[number](points[members])
        rows = np.stack([slope[members], across], axis=1)
        gram = rows @ rows.transpose(0, 2, 1) + 1e-6 * np.eye(2)
        solved = np.linalg.solve(gram, np.stack([value[members], other], axis=1)[..., None])
        move[members] = -(rows.transpose(0, 2, 1) @ solved)[..., 0]
    length = np.linalg.norm(move, axis=1, keepdims=True)
    return points + move * np.minimum(1.0, 0.03 / np.maximum(length, 1e-9))


def _freed(points: Float[Array, "V 3"], links: Int[Array, "E 3"]) -> Float[Array, "V 3"]:
    """Bring vertices that are caught in a crease (under an arm) back to the middle of their neighbours."""
    length = np.linalg.norm(points[links[:, 1]] - points[links[:, 0]], axis=1)
    count = np.maximum(np.bincount(links[:, 0], minlength=len(points)), 1)
    caught = np.bincount(links[:, 0], length, len(points)) / count > 2.5 * length.mean()
    middle = np.stack([np.bincount(links[:, 0], points[links[:, 1], i], len(points)) for i in range(3)], axis=1)
    return np.where(caught[:, None], middle / count[:, None], points)


def relaxed(pattern: Pattern, surface: Surface, curves: Sequence[Curve], rounds: int = 1500) -> Float[Array, "V 3"]:
    """Vertices of the pattern on the surface, spread as evenly as its topology allows [m].

    Each round moves every vertex towards its neighbours and back onto the surface.

    Args:
        pattern: The mesh and its first guess.
        surface: Where the cloth lies.
        curves: The hems, by number.
        rounds: How often.
    """
    links = _links(pattern)
    points, part, curve = np.array(pattern.start), np.array(pattern.part), np.array(pattern.curve)
    groups = {int(number): np.flatnonzero(curve == number) for number in np.unique(curve) if number != FREE}
    for _ in range(5):
        points = _onto(points, part, groups, surface, curves)
    for k in range(rounds):
        points = _onto(_drawn(points, links), part, groups, surface, curves)
        if k % 200 == 199 and k < 0.9 * rounds:
            points = _freed(points, links)
    for _ in range(5):
        points = _onto(points, part, groups, surface, curves)
    return points


def flattened(vertices: Float[Array, "V 3"], pattern: Pattern, rounds: int = 60) -> Float[Array, "F 4 2"]:
    """Lay each chart flat with as little stretch as possible: texture coordinates [m], v upwards.

    Source: Liu et al. 2008, A Local/Global Approach to Mesh Parameterization (ARAP), with equal weights.
    """
    faces, cells = np.array(pattern.faces), np.array(pattern.cells)
    keys, corner = np.unique(cells.reshape(-1, 3), axis=0, return_inverse=True)
    corner = corner.reshape(len(faces), 4)
    owner = np.empty(len(keys), dtype=np.int64)
    owner[corner.ravel()] = faces.ravel()
    edge = float(np.linalg.norm(vertices[faces[:, 1]] - vertices[faces[:, 0]], axis=1).mean())
    flat = np.stack([-keys[:, 2] * edge, keys[:, 1] * edge], axis=1)
    for chart in np.unique(keys[:, 0]):
        members = np.flatnonzero(keys[:, 0] == chart)
        local = np.full(len(keys), -1)
        local[members] = np.arange(len(members))
        quads = local[corner[keys[corner[:, 0], 0] == chart]]
        laid = _as_rigid_as_possible(vertices[owner[members]], quads, flat[members], rounds)
        flat[members] = laid - laid.min(axis=0) + [1.5 * chart, 0.0]
    return flat[corner]


def _as_rigid_as_possible(
    points: Float[Array, "N 3"], quads: Int[Array, "F 4"], flat: Float[Array, "N 2"], rounds: int
) -> Float[Array, "N 2"]:
    """Flatten one chart, starting from its cells."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], quads[:, [0, 1, 3]], quads[:, [1, 2, 3]]])
    a, b, c = (points[triangles[:, i]] for i in range(3))
    along = (b - a) / np.linalg.norm(b - a, axis=1, keepdims=True)
    up = np.cross(np.cross(b - a, c - a), along)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    dot = lambda u, v: np.einsum("ni,ni->n", u, v)  # noqa: E731
    zero = np.zeros(len(a))
    shape = np.stack(
        [
            np.stack([zero, zero], 1),
            np.stack([dot(b - a, along), zero], 1),
            np.stack([dot(c - a, along), dot(c - a, up)], 1),
        ],
        axis=1,
    )
    start, end = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    wanted = (np.roll(shape, -1, axis=1) - shape).reshape(-1, 2)
    rows = np.arange(len(start))
    ones = np.ones(len(start))
    difference = coo_matrix(
        (np.concatenate([ones, -ones]), (np.tile(rows, 2), np.concatenate([end, start]))),
        shape=(len(rows), len(points)),
    ).tocsr()
    normal = (difference.T @ difference).tolil()
    normal[0, 0] += 1.0
    solver = splu(normal.tocsc())
    for _ in range(rounds):
        now = (difference @ flat).reshape(-1, 3, 2)
        goal = wanted.reshape(-1, 3, 2)
        cosine = (now * goal).sum(axis=(1, 2))
        sine = (now[..., 1] * goal[..., 0] - now[..., 0] * goal[..., 1]).sum(axis=1)
        angle = np.arctan2(sine, cosine)[:, None]
        turned = np.stack(
            [
                np.cos(angle) * goal[..., 0] - np.sin(angle) * goal[..., 1],
                np.sin(angle) * goal[..., 0] + np.cos(angle) * goal[..., 1],
            ],
            axis=-1,
        )
        right = difference.T @ turned.reshape(-1, 2)
        right[0] += flat[0]
        flat = solver.solve(np.ascontiguousarray(right))
    return flat
