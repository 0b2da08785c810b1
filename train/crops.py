"""Square crops around the person, and the affine map that ties crop coordinates to pixels of the full image.

Crop coordinates c in [-1, 1] and pixels p of the full image are tied by p = centre + R(-angle) c side / 2. The first
pixel's centre is (0.5, 0.5) in both pictures.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from synth.errors import SynthError

Array = np.ndarray

__all__ = ["MEAN", "STD", "Crop", "cut", "cut_map", "flow_between", "from_normalised", "normalised", "square_boxes"]

_OUTSIDE = 9.0
"""A crop coordinate far beyond every crop."""

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet's pictures, which published encoder weights expect to be taken out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Where a crop lies in the full image."""

    x: float
    """Centre [px]."""
    y: float
    side: float
    """[px]"""
    angle: float = 0.0
    """By which the crop's content is turned, from x towards y [rad]."""

    def to_crop(self, points: Float[Array, "*N 2"]) -> Float[Array, "*N 2"]:
        """Pixels of the full image to crop coordinates."""
        return (points - np.array([self.x, self.y])) @ _rotation(self.angle).T * (2.0 / self.side)

    def to_image(self, points: Float[Array, "*N 2"]) -> Float[Array, "*N 2"]:
        """Crop coordinates to pixels of the full image."""
        return points @ _rotation(-self.angle).T * (self.side / 2.0) + np.array([self.x, self.y])


def _rotation(angle: float) -> Float[Array, "2 2"]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def square_boxes(bbox: Float[Array, "T 4"], scale: float = 1.2, where: str = "clip") -> Float[Array, "T 3"]:
    """Squares around boxes: centre x, centre y, side [px].

    A frame without a box takes the one of the nearest frame that has one.

    Args:
        bbox: x0, y0, x1, y1 [px], NaN where unknown.
        scale: Side over the box's longer side.
        where: Name for the message.

    Raises:
        SynthError: no frame has a box.
    """
    known = np.flatnonzero(np.isfinite(bbox).all(axis=1))
    if not len(known):
        raise SynthError(f"{where}: the person is in no frame of the view", "Leave the clip out, or give boxes")
    nearest = known[np.abs(np.arange(len(bbox))[:, None] - known[None]).argmin(axis=1)]
    low, high = bbox[nearest, :2], bbox[nearest, 2:]
    side = np.maximum((high - low).max(axis=1) * scale, 8.0)
    return np.column_stack([(low + high) / 2, side])


def _affine(crop: Crop, size: int) -> tuple[float, ...]:
    """Pillow's coefficients: from output pixel to input pixel, both continuous."""
    turn = _rotation(-crop.angle) * (crop.side / size)
    offset = np.array([crop.x, crop.y]) - turn @ np.array([size / 2, size / 2])
    return (*turn[0].tolist(), float(offset[0]), *turn[1].tolist(), float(offset[1]))


def cut(image: UInt8[Array, "H W 3"], crop: Crop, size: int) -> UInt8[Array, "S S 3"]:
    """Cut a crop out of a picture; black where it reaches beyond.

    Large pictures are first reduced by a whole factor, so that shrinking does not alias.
    """
    picture, factor = Image.fromarray(image), max(1, int(crop.side / size / 1.5))
    if factor > 1:
        picture = picture.reduce(factor)
        crop = Crop(x=crop.x / factor, y=crop.y / factor, side=crop.side / factor, angle=crop.angle)
    return np.asarray(
        picture.transform((size, size), Image.Transform.AFFINE, _affine(crop, size), Image.Resampling.BILINEAR)
    )


def cut_map(values: UInt8[Array, "H W"], crop: Crop, size: int) -> UInt8[Array, "S S"]:
    """Cut a map of classes: the nearest pixel's class, 0 beyond the picture."""
    picture = Image.fromarray(values)
    return np.asarray(
        picture.transform((size, size), Image.Transform.AFFINE, _affine(crop, size), Image.Resampling.NEAREST)
    )


def flow_between(
    flow: Float[Array, "H W 2"], crop: Crop, following: Crop, size: int, extent: tuple[int, int] | None = None
) -> Float[Array, "2 S S"]:
    """Forward flow in crop coordinates: where a crop pixel lies in the next crop, minus where it lies in this one.

    Args:
        flow: (dx, dy) to the next frame [px], full image; NaN where it is not known, which leads out of the crop.
        crop: Of this frame.
        following: Of the next frame.
        size: Pixels of the crop's side, S.
        extent: Width and height of the full image, if the flow's grid is coarser [px].
    """
    ticks = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    here = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    pixels = crop.to_image(here)
    height, width = flow.shape[:2]
    # The nearest pixel's flow: mixing person and background would invent a motion that neither has.
    across, down = (1.0, 1.0) if extent is None else (width / extent[0], height / extent[1])
    column = np.clip(np.floor(pixels[..., 0] * across).astype(int), 0, width - 1)
    row = np.clip(np.floor(pixels[..., 1] * down).astype(int), 0, height - 1)
    there = following.to_crop(pixels + flow[row, column])
    there = np.where(np.isfinite(there), there, _OUTSIDE)
    return (there - here).transpose(2, 0, 1).astype(np.float32)


def normalised(crops: UInt8[Array, "T S S 3"]) -> Float[Array, "T 3 S S"]:
    """ImageNet's mean and deviation taken out, channels first."""
    factor, offset = 1.0 / (255.0 * STD), MEAN / STD
    return np.ascontiguousarray((crops * factor - offset).astype(np.float32).transpose(0, 3, 1, 2))


def from_normalised(images: Float[Array, "T 3 S S"]) -> UInt8[Array, "T S S 3"]:
    """Back to a picture, for drawing."""
    values = images.transpose(0, 2, 3, 1) * STD + MEAN
    return np.clip(np.rint(values * 255.0), 0, 255).astype(np.uint8)
