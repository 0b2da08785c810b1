"""Meshes of quads for what is closed at one end: a cap over the head, a sock over the foot."""

import numpy as np
from jaxtyping import Float

from synth.cloth.pattern import Pattern

__all__ = ["cap_pattern", "sock_pattern"]

Array = np.ndarray


def cap_pattern(across: int, centre: Float[Array, " 3"], radius: float, reach: float) -> Pattern:
    """A square sheet drawn over a ball, its border the one hem (0). Chart 0.

    Args:
        across: Edges along each side of the square.
        centre: Middle of the ball [m].
        radius: Of the ball [m].
        reach: Angle from the top down to the border [rad].
    """
    line = np.linspace(-1.0, 1.0, across + 1)
    a, b = np.meshgrid(line, line, indexing="ij")
    # Rings of the square become rings of the disk.
    ring = np.maximum(np.abs(a), np.abs(b))
    angle = np.arctan2(a, b)
    polar = ring * reach
    sphere = np.stack([np.sin(polar) * np.cos(angle), np.cos(polar), np.sin(polar) * np.sin(angle)], axis=-1)
    pattern = Pattern()
    index = pattern.block(centre + radius * sphere)
    pattern.sheet(index, chart=0)
    border = np.concatenate([index[0], index[-1], index[:, 0], index[:, -1]])
    pattern.lay(np.unique(border), 0)
    return pattern


def sock_pattern(rings: Float[Array, "R N 3"], mirrored: bool) -> Pattern:
    """A tube, open at its first ring (the hem, 0) and closed flat at its last one. Chart 0.

    Args:
        rings: First guess of each ring, the last one included; N is even [m].
        mirrored: Whether the rings run clockwise seen from the open end.
    """
    pattern, around = Pattern(), rings.shape[1]
    half = around // 2
    index = pattern.block(rings)
    pattern.lay(index[0], 0)
    last, rows = rings[-1], len(rings) - 1
    middle = pattern.block((0.5 * (last[1:half] + last[:half:-1]))[None])[0]
    end = index[-1]
    # The last ring's halves meet in a seam; at each end three of their vertices and one of the seam make a quad.
    for grid, row, column in (
        (np.concatenate([index, index[:, :1]], axis=1), 0, 0),
        (np.stack([end[1:half], middle]), rows, 1),
        (np.stack([middle, end[:half:-1]]), rows + 1, 1),
        (np.array([[end[1], middle[0]], [end[0], end[-1]]]), rows, 0),
        (np.array([[end[half + 1], middle[-1]], [end[half], end[half - 1]]]), rows, half),
    ):
        pattern.sheet(grid[:, ::-1] if mirrored else grid, chart=0, row=row, column=column)
    return pattern
