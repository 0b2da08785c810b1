"""Motion capture as every reader gives it: named points and the rotations of the bones that belong to them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkeletonMotion:
    """A captured motion: K named points over T frames. Metres, right-handed, Y up."""

    convention: str
    """"asf": a point is the END of the bone of its name; "bvh": a point is the joint where its segment starts."""
    fps: float
    names: tuple[str, ...]
    points: Float[Array, "T K 3"]
    """[m]"""
    rotations: Float[Array, "T K 3 3"]
    """Rotation of each bone from its rest pose, in the world."""
    rest: Float[Array, "K 3"]
    """Points in the rest pose, relative to the root [m]."""
    source: str

    def __len__(self) -> int:
        return len(self.points)

    def index(self, name: str) -> int:
        """Column of a named point."""
        return self.names.index(name)

    def frames(self, start: int, stop: int, step: int = 1) -> "SkeletonMotion":
        """Cut out the frames [start, stop), keeping each step-th."""
        return SkeletonMotion(
            convention=self.convention,
            fps=self.fps / step,
            names=self.names,
            points=self.points[start:stop:step],
            rotations=self.rotations[start:stop:step],
            rest=self.rest,
            source=self.source,
        )


def axis_rotation(axis: str, angle: Float[Array, "*N"] | float) -> Float[Array, "*N 3 3"]:
    """Rotation matrix about a coordinate axis.

    Args:
        axis: "x", "y" or "z".
        angle: [rad]
    """
    k = "xyz".index(axis)
    i, j = (k + 1) % 3, (k + 2) % 3
    rotation = np.zeros((*np.shape(angle), 3, 3))
    rotation[..., k, k] = 1.0
    rotation[..., i, i] = rotation[..., j, j] = np.cos(angle)
    rotation[..., j, i] = np.sin(angle)
    rotation[..., i, j] = -rotation[..., j, i]
    return rotation


def euler(order: str, angles: Float[Array, "*N D"]) -> Float[Array, "*N 3 3"]:
    """Turn about fixed axes, in the order given: "xyz" is Rz Ry Rx.

    Args:
        order: Up to three of "xyz".
        angles: One for each axis [rad].
    """
    rotation = np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    for k, axis in enumerate(order):
        rotation = axis_rotation(axis, angles[..., k]) @ rotation
    return rotation
