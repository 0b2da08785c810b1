"""Shoes: a sock of quads over the foot, closed over the toes, and a sole. They follow the feet without simulation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synth.cloth.caps import sock_pattern
from synth.cloth.figure import STEP, Figure, eased, plane
from synth.cloth.pattern import Pattern
from synth.cloth.relax import relaxed
from synth.cloth.shell import Field, closed, united

__all__ = ["ShoeStyle", "shoe_uv", "shoes"]

Array = np.ndarray

_WELT = 0.010
"""How far the sole reaches up around the foot [m]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShoeStyle:
    """Measures of a pair of shoes [m]."""

    opening: float
    """Height of the opening over the ankle's joint, at the shin."""
    slope: float = 0.0
    """How much lower the opening lies a metre further to the front."""
    thick: float = 0.006
    """Of the upper."""
    sole: float = 0.022
    """Of the sole, below the foot."""
    welt: float = 0.004
    """How far the sole stands out from the upper."""
    around: int = 28
    rows: int = 26


def shoes(figure: Figure, style: ShoeStyle) -> tuple[Array, Pattern]:
    """Make a pair: the left shoe and its mirror image.

    Args:
        figure: The body.
        style: The measures.

    Returns:
        Vertices [m] and the pattern.
    """
    ankle, toe = figure.joint("left_ankle"), figure.joint("left_foot")
    field, ground = _solid(figure, style)
    read = field.smoothed(0.6 * STEP).sampler()
    normal = np.array([0.0, 1.0, style.slope])
    normal /= np.linalg.norm(normal)
    hem = plane(normal, float(normal @ (ankle + np.array([0.0, style.opening, 0.0]))))
    rings = _rings(style, ankle, toe, ground)

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        value, slope = read(points)
        above = eased((points[:, 1] - ankle[1] - style.opening + 0.05) / 0.05)
        return value + (0.5 * style.thick - 0.002) * above, slope

    left = sock_pattern(rings, mirrored=True)
    placed = relaxed(left, surface, [hem], rounds=700)
    return np.concatenate([placed, placed * [-1.0, 1.0, 1.0]]), _pair(left)


def _solid(figure: Figure, style: ShoeStyle) -> tuple[Field, float]:
    """The left foot in its shoe, sole included, and the height of the ground it was on barefoot."""
    ankle = figure.joint("left_ankle")
    foot = figure.vertices[(figure.vertices[:, 1] < ankle[1]) & (figure.vertices[:, 0] > 0)]
    low, high, ground = foot.min(axis=0), foot.max(axis=0), float(foot[:, 1].min())
    top = ankle[1] + style.opening + 0.07
    bare = figure.field(low - [0.04, 0.06, 0.05], np.array([high[0] + 0.04, top, high[2] + 0.06]))
    _, y, _ = bare.axes()
    upper = closed(bare, 0.03)
    upper = upper.with_values(upper.values - style.thick)
    print_ = np.where(y < ground + 0.045, bare.values, np.inf).min(axis=1, keepdims=True)
    side = np.maximum(print_ - style.thick - style.welt, y - ground - _WELT)
    sole = np.maximum(side, ground - style.sole - y)
    return united(upper, upper.with_values(np.broadcast_to(sole, upper.values.shape).copy()), 0.004), ground


def _rings(style: ShoeStyle, ankle: Array, toe: Array, ground: float) -> Float[Array, "R N 3"]:
    """First guess: rings from the opening down the ankle and forward to the toes."""
    share = np.linspace(0.0, 1.0, style.rows + 1)
    top = ankle + np.array([0.0, style.opening, 0.0])
    tip = np.array([toe[0], ground + 0.02, toe[2] + 0.07])
    bend = np.array([ankle[0], ground + 0.04, ankle[2] + 0.02])
    s = share[:, None]
    middle = (1 - s) ** 2 * top + 2 * s * (1 - s) * bend + s**2 * tip
    first = -np.arctan(style.slope)
    tilt = first + (0.5 * np.pi - first) * eased(share * 1.2)
    angle = 2 * np.pi * np.arange(style.around) / style.around
    # In each ring 0 lies outside (+X), a quarter on is the front of the shin or the top of the foot.
    up = np.stack([0 * tilt, np.sin(tilt), np.cos(tilt)], axis=1)
    wide = 0.055 * np.cos(angle)[None, :, None] * np.array([1.0, 0.0, 0.0])
    high = 0.05 * np.sin(angle)[None, :, None] * up[:, None]
    return middle[:, None] + wide + high


def _pair(left: Pattern) -> Pattern:
    """The left shoe's mesh and, turned, that of the right one."""
    count = len(left.start)
    return Pattern(
        start=[*left.start, *(point * [-1.0, 1.0, 1.0] for point in left.start)],
        curve=left.curve * 2,
        part=left.part * 2,
        faces=[*left.faces, *([count + i for i in face[::-1]] for face in left.faces)],
        cells=[*left.cells, *(cell[::-1] for cell in left.cells)],
    )


def shoe_uv(placed: Float[Array, "V 3"], faces: Array, style: ShoeStyle) -> Float[Array, "F 4 2"]:
    """Texture coordinates [m]: along the foot, and the height over the welt plus a half: the sole lies below 0.5."""
    welt = placed[:, 1].min() + style.sole + _WELT
    return np.stack([placed[:, 2] + np.abs(placed[:, 0]), placed[:, 1] - welt + 0.5], axis=1)[faces]
