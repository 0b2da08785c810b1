"""A spherical picture as light that is cheap to sample: a few suns for what is bright, a smooth sky for the rest.

A path tracer that aims at the pixels of a spherical picture picks most of them in vain, those behind the surface or in
its shadow; that noise outweighs all other. A few suns are aimed at well, and a smooth sky differs little from direction
to direction. What a diffuse surface receives stays the same: it depends on the sky's spherical harmonics up to degree 2
(Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps", 2001); suns cast the shadows.
Frames and turning are those of `synth.scene.backgrounds.sphere`. NumPy only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre

from synth.scene.backgrounds import LUMINANCE, fitted

Array = np.ndarray

WIDTH = 128
"""Pixels around to which the picture is shrunk first. A sun three degrees wide blurs shadows by a centimetre at arm's
length, one pixel of the default picture."""
BRIGHT = 1.5
"""So many times the mean radiance is left to the sky; what exceeds it goes into suns."""
REACH = 0.3
"""A sun takes in what is bright within this angle of the brightest spot [rad]."""
SUNS = 12
"""At most; with more, each sample chooses among more."""
FAINT = 0.02
"""No sun is made once the rest of the excess is less than this share of all light."""
SKY_WIDTH = 64
"""Pixels around of the smooth sky."""
DEGREE = 2
"""Of the sky's spherical harmonics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sun:
    """A disc of even radiance, infinitely far away."""

    direction: Float[Array, " 3"]
    """Unit vector towards it, before the picture is turned."""
    irradiance: Float[Array, " 3"]
    """On a surface that faces it, linear RGB; radiance times solid angle."""
    radius: float
    """Angle between its centre and its edge [rad]."""


def split(picture: Float[Array, "h w 3"]) -> tuple[list[Sun], Float[Array, "a b 3"]]:
    """Split a spherical picture into suns and a smooth sky with the same light in sum.

    Args:
        picture: Equirectangular radiance, linear RGB, not negative.

    Returns:
        The suns, brightest spot first, and the sky, equirectangular, SKY_WIDTH pixels around.
    """
    small = fitted(picture, picture.shape[1] / WIDTH).astype(np.float64)
    towards, solid_angle = sphere_grid(*small.shape[:2])
    luminance = small @ LUMINANCE
    total = float((luminance * solid_angle).sum())
    limit = BRIGHT * total / float(solid_angle.sum())
    excess = small * (1.0 - np.minimum(1.0, limit / np.maximum(luminance, 1e-12)))[..., None]
    suns, left = [], excess @ LUMINANCE
    while len(suns) < SUNS and (left * solid_angle).sum() > FAINT * total:
        centre = towards[np.unravel_index(np.argmax(left), left.shape)]
        near = (left > 0) & (towards @ centre > np.cos(REACH))
        suns.append(_sun(towards[near], excess[near] * solid_angle[near, None]))
        small[near] -= excess[near]
        left[near] = 0.0
    return suns, smooth(small)


def _sun(towards: Float[Array, "N 3"], light: Float[Array, "N 3"]) -> Sun:
    """One disc for some of a picture's pixels: the same light, centre and spread."""
    weights = light @ LUMINANCE
    mean = weights @ towards / weights.sum()
    length = float(np.linalg.norm(mean))
    # In an even disc of radius r the mean squared angle to the centre is r^2 / 2; 1 - length is half of it.
    spread = 4.0 * max(1.0 - length, 0.0) + (np.pi / WIDTH) ** 2
    return Sun(direction=mean / length, irradiance=light.sum(axis=0), radius=float(np.sqrt(spread)))


def smooth(picture: Float[Array, "h w 3"]) -> Float[Array, "a b 3"]:
    """Keep a spherical picture's spherical harmonics up to DEGREE.

    Args:
        picture: Equirectangular radiance, linear RGB.

    Returns:
        The same, SKY_WIDTH pixels around, with the same mean and nowhere negative.
    """
    picture = fitted(picture.astype(np.float32), picture.shape[1] / SKY_WIDTH).astype(np.float64)
    towards, solid_angle = (a.reshape(-1, *a.shape[2:]) for a in sphere_grid(*picture.shape[:2]))
    degrees = np.arange(DEGREE + 1)
    kernel = legendre.legval(towards @ towards.T, (2 * degrees + 1) / (4 * np.pi))
    light = picture.reshape(-1, 3) * solid_angle[:, None]
    sky = np.maximum(kernel @ light, 0.0)
    sky *= light.sum(axis=0) / np.maximum(solid_angle @ sky, 1e-12)
    return sky.reshape(picture.shape).astype(np.float32)


def sphere_grid(height: int, width: int) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """Directions [unit vectors] and solid angles [sr] of an equirectangular picture's pixels."""
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    azimuth = (0.5 - (np.arange(width) + 0.5) / width) * 2 * np.pi
    elevation, azimuth = np.meshgrid(elevation, azimuth, indexing="ij")
    level = np.cos(elevation)
    towards = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1)
    return towards, level * (np.pi / height) * (2 * np.pi / width)
