"""The surface that cloth lies on: distance fields around a body, closed over its hollows and let hang.

A garment's shape is the level set of such a field. Fields are sampled on a grid of a few millimetres, in SMPL's frame
(Y up), and combined like solids: lower is further inside.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import KDTree

from synth.geometry.triangles import ClosestPoint

__all__ = ["Field", "closed", "distance_field", "hung", "united"]

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """A signed distance [m] sampled on a grid, negative inside."""

    origin: Float[Array, " 3"]
    """Place of the first sample [m]."""
    step: float
    """Distance of two samples [m]."""
    values: Float[Array, "X Y Z"]

    def with_values(self, values: Float[Array, "X Y Z"]) -> "Field":
        """Other values on the same grid."""
        return Field(origin=self.origin, step=self.step, values=values)

    def axes(self) -> tuple[Float[Array, "X 1 1"], Float[Array, "1 Y 1"], Float[Array, "1 1 Z"]]:
        """Coordinates of the samples along each axis [m]."""
        x, y, z = (self.origin[i] + self.step * np.arange(n) for i, n in enumerate(self.values.shape))
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def smoothed(self, width: float) -> "Field":
        """Blurred by a Gaussian of this width [m]."""
        return self.with_values(gaussian_filter(self.values, width / self.step, mode="nearest"))

    def sampler(self) -> "Sampler":
        """For reading values and slopes between the samples."""
        return Sampler(self)


class Sampler:
    """Reads a field and its gradient anywhere, by linear interpolation."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self._volumes = [field.values, *np.gradient(field.values, field.step)]

    def __call__(self, points: Float[Array, "N 3"]) -> tuple[Float[Array, " N"], Float[Array, "N 3"]]:
        """Value [m] and gradient at each point [m]."""
        place = ((points - self.field.origin) / self.field.step).T
        read = [map_coordinates(volume, place, order=1, mode="nearest") for volume in self._volumes]
        return read[0], np.stack(read[1:], axis=1)


def distance_field(
    vertices: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
    low: Float[Array, " 3"],
    high: Float[Array, " 3"],
    step: float,
) -> Field:
    """Signed distance to a body's surface in the box from `low` to `high` [m]."""
    counts = np.ceil((high - low) / step).astype(int) + 1
    grid = np.stack(np.meshgrid(*(low[i] + step * np.arange(counts[i]) for i in range(3)), indexing="ij"), axis=-1)
    surface = ClosestPoint(vertices, faces)
    flat = grid.reshape(-1, 3)
    parts = [surface(flat[i : i + 100_000]).distance for i in range(0, len(flat), 100_000)]
    return Field(origin=low, step=step, values=np.concatenate(parts).reshape(tuple(counts)))


def closed(field: Field, radius: float) -> Field:
    """Fill every hollow that a ball of this radius [m] cannot reach into: grow by it, then shrink again."""
    crossings = _level_points(field, radius)
    inside = np.flatnonzero(field.values.ravel() < radius)
    axes = np.unravel_index(inside, field.values.shape)
    points = field.origin + field.step * np.stack(axes, axis=1)
    values = field.values.copy()
    values.ravel()[inside] = np.minimum(values.ravel()[inside], radius - KDTree(crossings).query(points)[0])
    return field.with_values(values)


def _level_points(field: Field, level: float) -> Float[Array, "N 3"]:
    """Where the grid's lines cross a level [m]."""
    found = []
    for axis in range(3):
        near = np.moveaxis(field.values, axis, 0)[:-1] - level
        far = np.moveaxis(field.values, axis, 0)[1:] - level
        where = np.argwhere((near < 0) != (far < 0))
        a, b = near[tuple(where.T)], far[tuple(where.T)]
        place = where.astype(np.float64)
        place[:, 0] += a / (a - b)
        order = [0, 1, 2]
        order.remove(axis)
        index = np.empty_like(place)
        index[:, axis] = place[:, 0]
        index[:, order] = place[:, 1:]
        found.append(field.origin + field.step * index)
    return np.concatenate(found)


def hung(field: Field, taper: float) -> Field:
    """Let the solid hang down from its widest places, as cloth falls from chest or seat.

    Args:
        field: What the cloth hangs from.
        taper: How far it draws in per metre of fall; negative for a flare.
    """
    values = field.values.copy()
    for row in range(values.shape[1] - 2, -1, -1):
        values[:, row] = np.minimum(values[:, row], values[:, row + 1] + taper * field.step)
    return field.with_values(values)


def united(first: Field, second: Field, fillet: float) -> Field:
    """Both solids, the crease between them rounded over this width [m]."""
    gap = np.maximum(fillet - np.abs(first.values - second.values), 0.0)
    return first.with_values(np.minimum(first.values, second.values) - gap * gap / (4 * fillet))
