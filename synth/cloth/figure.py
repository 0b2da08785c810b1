"""The body that garments are made on, a garment's measures, and the lines and mixtures that all patterns use."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from synth.body.joints import JOINT_NAMES
from synth.cloth.relax import Curve
from synth.cloth.shell import Field, Sampler, distance_field

__all__ = ["STEP", "Cut", "Figure", "count", "eased", "level", "mixed", "plane"]

Array = np.ndarray

STEP = 0.008
"""Of the distance fields [m]."""
_ARM_PARTS = [
    1 + i for i, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in ("shoulder", "elbow", "wrist", "hand")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Measures of one garment."""

    edge: float = 0.0235
    """Wanted length of the mesh's edges [m]."""
    ease: float = 0.018
    """Distance from the body where the garment lies on it [m]."""
    taper: float = 0.06
    """How far it draws in per metre of fall; negative flares."""
    sleeve: float = 0.75
    """Length of the sleeve: none at 0, to the elbow at 1, to the wrist at 2."""
    hem: float = 0.0
    """Height of the hem: 0 at the hip joint, 1 at the knee, 2 at the ankle."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figure:
    """The body that garments are made on."""

    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 3"]
    face_parts: UInt8[Array, " F"]
    joints: Float[Array, "24 3"]

    def joint(self, name: str) -> Float[Array, " 3"]:
        """Place of a joint [m]."""
        return self.joints[JOINT_NAMES.index(name)]

    def field(self, low: Sequence[float] | Array, high: Sequence[float] | Array, arms: bool = True) -> Field:
        """Distance to the body; without arms the shoulders are open, so it holds only below them."""
        faces = self.faces if arms else self.faces[~np.isin(self.face_parts, _ARM_PARTS)]
        return distance_field(self.vertices, faces, np.array(low), np.array(high), STEP)

    def level(self, hem: float) -> float:
        """Height that a cut's `hem` means [m]."""
        marks = [self.joint(name)[1] for name in ("left_hip", "left_knee", "left_ankle")]
        return float(np.interp(hem, [0.0, 1.0, 2.0], marks))


def eased(x: Array) -> Array:
    """From 0 to 1 without a kink."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def plane(normal: Array, offset: float) -> Curve:
    """A flat hem."""
    return lambda points: (points @ normal - offset, np.broadcast_to(normal, points.shape))


def level(height: float) -> Curve:
    """A horizontal hem."""
    return plane(np.array([0.0, 1.0, 0.0]), height)


def count(length: float, edge: float, least: int = 2, multiple: int = 1) -> int:
    """Edges along a line."""
    return max(least, multiple * round(length / edge / multiple))


def mixed(first: Sampler, second: Sampler, points: Array, share: Array) -> tuple[Array, Array]:
    """From one surface (share 0) to another (share 1)."""
    (a, da), (b, db) = first(points), second(points)
    return a + share * (b - a), da + share[:, None] * (db - da)
