"""Augmentation, drawn once for a window so that its frames stay consistent: placement, mirror, colour, occluders."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from synth.body.joints import PAIRS

Array = np.ndarray

__all__ = ["MIRRORED_JOINTS", "MIRRORED_PARTS", "PLAIN", "Augmentation", "Change", "Occluder", "draw_change", "paint"]

MIRRORED_JOINTS = np.arange(24)
for _left, _right in PAIRS:
    MIRRORED_JOINTS[[_left, _right]] = _right, _left
MIRRORED_JOINTS.flags.writeable = False
"""Order of joints after a mirror."""
MIRRORED_PARTS = np.concatenate([[0], MIRRORED_JOINTS + 1, np.arange(25, 256)]).astype(np.uint8)
MIRRORED_PARTS.flags.writeable = False
"""Part in the mirror, by part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How strongly to change a window. All zeros: not at all."""

    scale: float = 0.25
    """The crop's side is changed by up to this share."""
    shift: float = 0.05
    """Its centre, by up to this share of its side."""
    rotation: float = 0.52
    """Largest turn of the crop [rad]; 3 windows in 5 are not turned."""
    flip: bool = True
    """Mirror every other window."""
    colour: float = 0.2
    """Each channel is multiplied by a factor within 1 ± this."""
    occluders: float = 0.3
    """Share of windows with a foreign shape in front."""


PLAIN = Augmentation(scale=0.0, shift=0.0, rotation=0.0, flip=False, colour=0.0, occluders=0.0)
"""No augmentation."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occluder:
    """A rectangle or an ellipse of noise, in crop coordinates, that drifts over the window."""

    ellipse: bool
    centre: Float[Array, " 2"]
    velocity: Float[Array, " 2"]
    """Per frame."""
    half: Float[Array, " 2"]
    """Half width and half height."""
    texture: UInt8[Array, "8 8 3"]

    def covers(self, points: Float[Array, "*N 2"], frame: int) -> Bool[Array, "*N"]:
        """Which crop coordinates lie behind it."""
        offset = (points - self.centre - frame * self.velocity) / self.half
        return (offset**2).sum(-1) < 1 if self.ellipse else (np.abs(offset) < 1).all(-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """What was drawn for one window."""

    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    flip: bool = False
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    occluder: Occluder | None = None


def draw_change(how: Augmentation, rng: np.random.Generator) -> Change:
    """Draw a change. Every draw is made whatever the settings, so that one setting does not shift another's draws."""
    scale, shift = rng.uniform(-1, 1), rng.uniform(-1, 1, 2)
    turn, angle = rng.random() < 0.4, np.clip(rng.normal(0, 0.5), -1, 1)
    flip, colour = rng.random() < 0.5, rng.uniform(-1, 1, 3)
    occluded, occluder = rng.random() < how.occluders, draw_occluder(rng)
    return Change(
        scale=float(1 + how.scale * scale),
        shift=(float(how.shift * shift[0]), float(how.shift * shift[1])),
        rotation=float(how.rotation * angle) if turn else 0.0,
        flip=bool(how.flip and flip),
        colour=tuple((1 + how.colour * colour).tolist()),
        occluder=occluder if occluded else None,
    )


def draw_occluder(rng: np.random.Generator) -> Occluder:
    """A shape of 10 to 40 % of the crop's side somewhere in its middle part."""
    return Occluder(
        ellipse=bool(rng.random() < 0.5),
        centre=rng.uniform(-0.7, 0.7, 2),
        velocity=rng.normal(0, 0.01, 2),
        half=rng.uniform(0.1, 0.4, 2),
        texture=rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
    )


def paint(crops: UInt8[Array, "T S S 3"], change: Change) -> UInt8[Array, "T S S 3"]:
    """Change the colours and put the occluder in front."""
    if change.colour != (1.0, 1.0, 1.0):
        crops = np.clip(crops * np.array(change.colour, np.float32), 0, 255).astype(np.uint8)
    if change.occluder is None:
        return crops
    crops = crops.copy()
    size = crops.shape[1]
    ticks = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    tile = change.occluder.texture.repeat(-(-size // 8), axis=0).repeat(-(-size // 8), axis=1)[:size, :size]
    for t, crop in enumerate(crops):
        hidden = change.occluder.covers(grid, t)
        crop[hidden] = tile[hidden]
    return crops
