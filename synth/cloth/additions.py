"""What an upper garment gets once it lies on the body: a hood that lies on the back, a front that stands open."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from synth.cloth.figure import eased
from synth.cloth.pattern import Pattern
from synth.geometry.triangles import ClosestPoint

__all__ = ["hooded", "opened"]

Array = np.ndarray

_ROWS = 8
_FOLD = 4
"""Row at which the hood turns back on itself."""
_CALM = 4
"""Rounds of smoothing over the hood."""
_HOOD, _FRONT = 4, 5
"""Charts of the hood and of the front's right half."""


def _triangles(pattern: Pattern) -> Int[Array, "F 3"]:
    faces = np.array(pattern.faces)
    return np.concatenate([faces[:, :3], faces[:, [0, 2, 3]]])


def _loop(pattern: Pattern, curve: int) -> Int[Array, " N"]:
    """A hem's vertices, in the order in which the faces beneath run along it."""
    faces, on = np.array(pattern.faces), np.array(pattern.curve) == curve
    following = np.roll(faces, -1, axis=1)
    along = on[faces] & on[following]
    step = dict(zip(faces[along].tolist(), following[along].tolist(), strict=True))
    loop = [next(iter(step))]
    while (after := step[loop[-1]]) != loop[0]:
        loop.append(after)
    return np.array(loop)


def hooded(placed: Float[Array, "V 3"], pattern: Pattern, neck: int = 1) -> tuple[Float[Array, "_ 3"], Pattern]:
    """Sew a hood to the neckline: it runs down the back, turns, and comes up again to an opening around the neck.

    Args:
        placed: Vertices of the garment [m].
        pattern: Its mesh.
        neck: The neckline's number among the hems; the hood's edge takes its place.
    """
    loop = _loop(pattern, neck)
    base = placed[loop]
    centre = base.mean(axis=0)
    angle = np.arctan2(base[:, 0] - centre[0], base[:, 2] - centre[2])
    back = (1 - np.cos(angle)) / 2
    # Most of the hood lies on the back: what starts beside the neck runs backwards.
    turned = np.sign(angle) * np.interp(np.abs(angle), [0.0, np.pi / 2, np.pi], [0.0, 0.75 * np.pi, np.pi])
    ways = np.stack([np.sin(turned), 0 * turned - 0.8, np.cos(turned)], axis=1)
    length = 0.075 + 0.13 * back**1.5
    lower = _down(base, ways, length, ClosestPoint(placed, _triangles(pattern)))
    bulge = (0.014 + 0.016 * back)[:, None]
    edge = base + (0.022 + 0.03 * back)[:, None] * [0.0, 1.0, 0.0] + 0.012 * ways * [1.0, 0.0, 1.0]
    rows = [lower[k][0] for k in range(1, _FOLD + 1)]
    for k in range(1, _ROWS - _FOLD + 1):
        share = k / (_ROWS - _FOLD)
        place = (1 - share) * _FOLD
        under = min(int(place), _FOLD - 1)
        point, normal = ((1 - place + under) * lower[under][i] + (place - under) * lower[under + 1][i] for i in (0, 1))
        over = point + 2.0 * bulge * eased(np.array([1.6 * share])) * normal
        rows.append(over + max(0.0, (share - 0.4) / 0.6) * (edge - over))
    return _sewn(placed, pattern, loop, _evenly(np.stack([base, *rows]))[1:], neck)


def _evenly(rows: Float[Array, "R N 3"]) -> Float[Array, "R N 3"]:
    """Columns calmed, and points at equal distances along each."""
    rows = rows.copy()
    for _ in range(_CALM):
        rows[1:] = 0.5 * rows[1:] + 0.25 * (np.roll(rows[1:], 1, axis=1) + np.roll(rows[1:], -1, axis=1))
        for k in range(rows.shape[1]):
            along = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(rows[:, k], axis=0), axis=1)))
            wanted = np.linspace(0.0, along[-1], len(rows))
            rows[:, k] = np.stack([np.interp(wanted, along, rows[:, k, i]) for i in range(3)], axis=1)
    return rows


def _down(
    base: Float[Array, "N 3"], ways: Float[Array, "N 3"], length: Float[Array, " N"], cloth: ClosestPoint
) -> list[tuple[Float[Array, "N 3"], Float[Array, "N 3"]]]:
    """Points and normals of the hood's lower layer, row by row from the neckline, just over the cloth."""
    points, steps = base, 6
    found = [(base, cloth(base).normal)]
    for row in range(_FOLD):
        for _ in range(steps):
            near = cloth(points)
            way = ways - np.einsum("ni,ni->n", ways, near.normal)[:, None] * near.normal
            way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
            points = points + (length / (_FOLD * steps))[:, None] * way
        near = cloth(points)
        lift = 0.006 + 0.006 * (row + 1) / _FOLD
        points = points + (lift - near.distance)[:, None] * near.normal
        found.append((points, near.normal))
    return found


def _sewn(
    placed: Float[Array, "V 3"], pattern: Pattern, loop: Int[Array, " N"], rows: Float[Array, "R N 3"], neck: int
) -> tuple[Float[Array, "_ 3"], Pattern]:
    """The garment and the rows as one mesh."""
    for vertex in loop:
        pattern.curve[int(vertex)] = -1
    index = pattern.block(rows)
    pattern.lay(index[-1], neck)
    ring = np.concatenate([loop[None], index])
    pattern.sheet(np.concatenate([ring, ring[:, :1]], axis=1), chart=_HOOD)
    return np.concatenate([placed, rows.reshape(-1, 3)]), pattern


def opened(
    placed: Float[Array, "V 3"], pattern: Pattern, gap: tuple[float, float]
) -> tuple[Float[Array, "_ 3"], Pattern, Int[Array, " N"]]:
    """Cut the front open along its middle and draw its halves apart.

    Args:
        placed: Vertices of the garment [m].
        pattern: Its mesh; the front is chart 0.
        gap: Half the opening's width at the neck and at the hem [m].

    Returns:
        Vertices [m], the mesh, and which vertices the new ones at the end are copies of.
    """
    faces, cells = np.array(pattern.faces), np.array(pattern.cells)
    front = cells[:, 0, 0] == 0
    middle = np.unique(faces[front][np.abs(placed[faces[front], 0]) < 1e-3])
    right = front & (placed[faces, 0].mean(axis=1) < 0)
    copies: Any = dict(zip(middle.tolist(), range(len(placed), len(placed) + len(middle)), strict=True))
    pattern.start.extend(placed[middle])
    pattern.curve.extend(pattern.curve[i] for i in middle)
    pattern.part.extend(pattern.part[i] for i in middle)
    for k in np.flatnonzero(right).tolist():
        pattern.faces[k] = [copies.get(i, i) for i in pattern.faces[k]]
        pattern.cells[k] = [(_FRONT, row, column) for _, row, column in pattern.cells[k]]
    placed = np.concatenate([placed, placed[middle]])
    halves = np.zeros(len(placed))
    used = np.array(pattern.faces)
    halves[np.unique(used[front & ~right])] = 1.0
    halves[np.unique(used[right])] = -1.0
    return _drawn_apart(placed, pattern, halves, gap), pattern, middle


def _drawn_apart(
    placed: Float[Array, "V 3"], pattern: Pattern, halves: Float[Array, " V"], gap: tuple[float, float]
) -> Float[Array, "V 3"]:
    """Move the front's halves to their sides, the middle most, over the surface they lie on."""
    inside: Bool[Array, " V"] = halves != 0
    low, high = placed[inside, 1].min(), placed[inside, 1].max()
    wide = np.abs(placed[inside, 0]).max()
    share = (placed[:, 1] - low) / (high - low)
    move = halves * (gap[1] + share * (gap[0] - gap[1])) * np.clip(1 - np.abs(placed[:, 0]) / (0.8 * wide), 0, 1)
    surface = ClosestPoint(placed, _triangles(pattern))
    moved = placed + move[:, None] * np.array([1.0, 0.0, 0.0])
    near = surface(moved[inside])
    moved[inside] -= near.distance[:, None] * near.normal
    return moved
