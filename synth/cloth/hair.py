"""Hair as caps of quads over the head: a hairline, how thick the hair lies, and clumps. It follows the head rigidly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synth.cloth.caps import cap_pattern
from synth.cloth.figure import Figure, eased
from synth.cloth.pattern import Pattern
from synth.cloth.relax import relaxed
from synth.cloth.shell import Field, closed, hung, united
from synth.geometry.triangles import vertex_normals

__all__ = ["HEAD_PART", "HairStyle", "hair", "strand_uv"]

Array = np.ndarray

HEAD_PART = 16
_DEPTHS = (0.0, 0.25, 0.42, 0.52, 0.62, 0.72, 0.80, 0.88)
"""Where a hairline's heights are given: from the back of the head (0) to the tip of the nose (1)."""
_EDGE = 0.003
"""How far the hair stands off along its line [m]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HairStyle:
    """Measures of a head of hair. Heights are shares of the head's, from the chin (0) to the top (1)."""

    line: tuple[float, float, float, float, float, float, float, float]
    """Heights of the hairline at `_DEPTHS`."""
    thick: float
    """Over the skull [m]."""
    top: float = 0.0
    """How much more on the top of the head [m]."""
    fall: float | None = None
    """How far the hair draws in per metre that it hangs down; None for hair that keeps to the skull."""
    bun: float = 0.0
    """Radius of a bun at the back of the head [m]; 0 for none."""
    parting: float = 0.0
    """Depth of a parting [m]."""
    clump: float = 0.003
    """Size of the clumps' ups and downs [m]."""
    curls: float = 0.0
    """Size of round ups and downs [m]."""
    ragged: float = 0.006
    """How far the ends of the clumps differ along the line [m]."""
    across: int = 38
    """Edges across the cap."""


def hair(figure: Figure, style: HairStyle) -> tuple[Array, Pattern]:
    """Lay hair over the head.

    Args:
        figure: The body.
        style: The measures.

    Returns:
        Vertices [m] and the pattern.
    """
    skull = figure.vertices[np.unique(figure.faces[figure.face_parts == HEAD_PART])]
    low, high = skull.min(axis=0), skull.max(axis=0)
    shell = _shell(figure, style, low, high)
    read = shell.sampler()
    height, depth = high[1] - low[1], high[2] - low[2]
    middle = np.array([0.0, low[1] + 0.62 * height, low[2] + 0.45 * depth])

    def line(points: Array) -> tuple[Array, Array]:
        place = (points[:, 2] - low[2]) / depth
        wanted = low[1] + height * np.interp(place, _DEPTHS, style.line)
        steep = (low[1] + height * np.interp(place + 1e-3, _DEPTHS, style.line) - wanted) / (1e-3 * depth)
        slope = np.stack([0 * steep, np.ones_like(steep), -steep], axis=1)
        length = np.linalg.norm(slope, axis=1)
        return (points[:, 1] - wanted) / length, slope / length[:, None]

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        value, slope = read(points)
        inwards = eased(np.maximum(line(points)[0], 0.0) / max(0.035, 1.6 * style.thick))
        thick = _EDGE + (style.thick - _EDGE) * inwards
        rise = eased((points[:, 1] - middle[1]) / (high[1] - middle[1])) * np.exp(-((points[:, 0] / 0.06) ** 2))
        thick = thick + style.top * rise * inwards
        cut = np.exp(-(((points[:, 0] - 0.022) / 0.007) ** 2)) * (points[:, 2] > middle[2] - 0.05)
        return value - thick + style.parting * cut * inwards * (points[:, 1] > middle[1] + 0.03), slope

    pattern = cap_pattern(style.across, middle, 0.17, 1.75)
    placed = relaxed(pattern, surface, [line], rounds=500)
    return _clumped(placed, pattern, style, middle), pattern


def _shell(figure: Figure, style: HairStyle, low: Array, high: Array) -> Field:
    """What the hair lies on: the skull, its hollows closed; what falls from it; a bun."""
    room = np.array([0.11, 0.12, 0.12])
    lowest = low + (high - low) * [0, min(style.line) - 0.1, 0]
    lowest = np.minimum(low, lowest)
    head = figure.field(lowest - room, high + room)
    x, y, z = head.axes()
    # Neither shoulders nor jaw carry hair.
    solid = head.with_values(np.maximum(head.values, low[1] - 0.03 - y))
    skull = closed(solid, 0.03)
    if style.fall is not None:
        behind = low[2] + 0.60 * (high[2] - low[2])
        crown = skull.with_values(
            np.maximum(np.maximum(skull.values, z - behind), low[1] + 0.5 * (high[1] - low[1]) - y)
        )
        skull = united(skull, hung(crown, style.fall), 0.02)
    if style.bun:
        centre = np.array([0.0, low[1] + 0.80 * (high[1] - low[1]), low[2] - 0.35 * style.bun])
        ball = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) - style.bun
        skull = united(skull, skull.with_values(ball), 0.02)
    return skull.smoothed(0.005)


def _clumped(placed: Array, pattern: Pattern, style: HairStyle, middle: Array) -> Float[Array, "V 3"]:
    """Clumps of strands that run down from the crown, and ends of unlike length."""
    faces = np.array(pattern.faces)
    normal = vertex_normals(placed, np.concatenate([faces[:, :3], faces[:, [0, 2, 3]]]))
    rng = np.random.default_rng(7)
    gap = placed - middle
    crown = np.array([0.02, 0.0, -0.03])
    azimuth = np.arctan2(gap[:, 0] - crown[0], gap[:, 2] - crown[2])
    down = np.arccos(np.clip(gap[:, 1] / np.linalg.norm(gap, axis=1), -1, 1))
    waves = np.zeros(len(placed))
    for count in (9, 14, 21, 29):
        waves += np.cos(count * azimuth + rng.uniform(0, 6.3) + 2.5 * np.sin(2.0 * down + rng.uniform(0, 6.3)))
    lumps = np.zeros(len(placed))
    for direction in rng.normal(size=(12, 3)) * 90.0:
        lumps += np.cos(placed @ direction + rng.uniform(0, 6.3))
    away = eased(down / 0.5)
    border = np.array(pattern.curve) == 0
    move = (style.clump * 0.5 * waves * away + style.curls * 0.4 * lumps)[:, None] * normal
    move[border] *= 0.25
    inner = np.linalg.norm(move, axis=1) > 0.6 * style.thick
    move[inner] *= (0.6 * style.thick / np.linalg.norm(move[inner], axis=1))[:, None]
    ends = style.ragged * np.cos(23 * azimuth + 3 * np.cos(5 * azimuth))
    move[border, 1] += np.maximum(ends[border], -0.6 * style.ragged)
    return placed + move


def strand_uv(placed: Float[Array, "V 3"], faces: Array, middle: Float[Array, " 3"]) -> Float[Array, "F 4 2"]:
    """Texture coordinates whose first runs around the head and whose second runs down along the strands [m]."""
    gap = placed - middle
    azimuth = np.arctan2(gap[:, 0], -gap[:, 2] + 0.03)
    down = np.arccos(np.clip(gap[:, 1] / np.linalg.norm(gap, axis=1), -1, 1))
    around = azimuth[faces]
    around = around + 2 * np.pi * (around - around[:, :1] < -np.pi) - 2 * np.pi * (around - around[:, :1] > np.pi)
    return 0.1 * np.stack([around, -down[faces]], axis=-1)
