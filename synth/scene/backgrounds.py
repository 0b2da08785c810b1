"""What is behind the person: a spherical picture, a flat picture, or a generated one. Linear RGB, NumPy only.

The lens is long (10 degrees across the picture), so a spherical picture seen at its true size would be a blur of thirty
pixels. `BackgroundSpec.scale` widens the field of view. The camera's turning is multiplied by the same factor, so the
background slides past by as many pixels as a real one would.
"""

import numpy as np
from jaxtyping import Float

from synth.geometry.camera import pixel_centres
from synth.rng import generator
from synth.spec import BackgroundSpec
from synth.types import Camera

Array = np.ndarray

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of linear sRGB."""
MAX_ELEVATION = np.radians(75.0)
"""The background's line of sight stays this far from the zenith."""


def background(
    spec: BackgroundSpec,
    picture: Float[Array, "h w 3"],
    camera: Camera,
    frame: int,
    *,
    view: int = 0,
    rotation: float = 0.0,
) -> Float[Array, "H W 3"]:
    """Look up what is behind the person.

    Args:
        spec: Kind, scale and rotation.
        picture: The spherical picture (equirectangular, upper half first), or the flat one, linear RGB.
        camera: The camera.
        frame: Which frame of its motion.
        view: Number of the camera; each sees another part of a flat picture.
        rotation: Of the spherical picture about the vertical axis [rad].

    Returns:
        Linear RGB of each pixel.
    """
    if spec.kind == "environment":
        return sphere(picture, wide_rays(camera, frame, spec.scale), rotation)
    return flat(spec, picture, camera, frame, view)


def sphere(
    picture: Float[Array, "h w 3"], directions_world: Float[Array, "H W 3"], rotation: float
) -> Float[Array, "H W 3"]:
    """Bilinear lookup in an equirectangular picture, Cycles' way round.

    Args:
        picture: Linear RGB; its centre lies towards +X, its left half towards +Y, its first row at the zenith.
        directions_world: Directions, any length.
        rotation: Of the picture about the vertical axis, from +X towards +Y [rad].
    """
    x, y, z = np.moveaxis(directions_world, -1, 0)
    azimuth = np.arctan2(y, x) - rotation
    u = 0.5 - azimuth / (2 * np.pi)
    v = 0.5 - np.arctan2(z, np.hypot(x, y)) / np.pi
    height, width = picture.shape[:2]
    return _bilinear(picture, u * width, np.clip(v * height, 0.5, height - 0.5), wrap=True)


def wide_rays(camera: Camera, frame: int, scale: float) -> Float[Array, "H W 3"]:
    """Directions in the world seen by a lens with `scale` times the field of view.

    The line of sight leaves its mean over the clip `scale` times as far as the camera's does.
    """
    axes = camera.T_camera_world[:, 2, :3]
    azimuths = np.unwrap(np.arctan2(axes[:, 1], axes[:, 0]))
    elevations = np.arcsin(np.clip(axes[:, 2], -1.0, 1.0))
    azimuth = azimuths.mean() + scale * (azimuths[frame] - azimuths.mean())
    elevation = elevations.mean() + scale * (elevations[frame] - elevations.mean())
    elevation = np.clip(elevation, -MAX_ELEVATION, MAX_ELEVATION)
    forward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    down = np.cross(forward, right)
    half = np.arctan(0.5 * camera.width / camera.K[0, 0])
    focal = 0.5 * camera.width / np.tan(min(scale * half, np.radians(65.0)))
    offset = (pixel_centres(camera) - camera.K[:2, 2]) / focal
    return forward + offset[..., :1] * right + offset[..., 1:] * down


def flat(
    spec: BackgroundSpec, picture: Float[Array, "h w 3"], camera: Camera, frame: int, view: int
) -> Float[Array, "H W 3"]:
    """A flat picture that fills the view, zoomed, rotated, moved as the camera turns; mirrored beyond its edges."""
    axes = camera.T_camera_world[:, 2, :3]
    azimuths = np.unwrap(np.arctan2(axes[:, 1], axes[:, 0]))
    elevations = np.arcsin(np.clip(axes[:, 2], -1.0, 1.0))
    # Turning left (azimuth grows) uncovers what is to the left: smaller x.
    pan = camera.K[0, 0] * np.array([-(azimuths[frame] - azimuths.mean()), -(elevations[frame] - elevations.mean())])
    height, width = picture.shape[:2]
    texels = min(height / camera.height, width / camera.width) / spec.scale
    cos, sin = np.cos(spec.rotation), np.sin(spec.rotation)
    offset = (pixel_centres(camera) - camera.K[:2, 2] + pan) * texels @ np.array([[cos, sin], [-sin, cos]])
    place = generator(spec.seed, "background", "place", view).uniform(-1, 1, 2) * 0.5 * (1 - 1 / spec.scale)
    x, y = offset[..., 0] + (0.5 + place[0]) * width, offset[..., 1] + (0.5 + place[1]) * height
    return _bilinear(picture, _mirror(x, width), _mirror(y, height), wrap=False)


def fitted(picture: Float[Array, "h w 3"], texels: float) -> Float[Array, "a b 3"]:
    """Shrink a picture by whole factors so that no more than about `texels` of its pixels fall on one of the image's.

    Args:
        picture: Linear RGB.
        texels: Pixels of the picture per pixel of the image.
    """
    factor = max(1, int(texels))
    height, width = (n // factor * factor for n in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return blocks.mean(axis=(1, 3)).astype(np.float32)


def generated(seed: int, view: int, size: int = 320) -> Float[Array, "S S 3"]:
    """Make a flat picture out of focus: walls and a floor, or sky and ground, with blurred things in front.

    Args:
        seed: Of the picture.
        view: Each camera sees another one, of the same colours.
        size: Side [px].

    Returns:
        Linear RGB in [0, 1].
    """
    rng = generator(seed, "background", "picture")
    wall, floor = _colour(rng, 0.15, 0.75), _colour(rng, 0.05, 0.45)
    rng = generator(seed, "background", "picture", view)
    y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    horizon = rng.uniform(0.45, 0.8)
    gradient = 1 + rng.uniform(-0.5, 0.5) * (x - 0.5) + rng.uniform(-0.6, 0.6) * (y - 0.5)
    picture = np.where((y < horizon)[..., None], wall, floor * (0.6 + 0.8 * (y - horizon)[..., None]))
    picture = picture * gradient[..., None]
    for _ in range(rng.integers(6, 16)):
        picture = _put(rng, picture, x, y, horizon)
    texture = _smooth(rng.normal(size=(size, size)), rng.uniform(1.0, 3.0))
    picture = picture * (1 + 0.03 * texture / texture.std())[..., None]
    blur = rng.uniform(1.0, 4.0)
    return np.clip(np.stack([_smooth(c, blur) for c in np.moveaxis(picture, -1, 0)], axis=-1), 0, 1).astype(np.float32)


def _put(
    rng: np.random.Generator,
    picture: Float[Array, "S S 3"],
    x: Float[Array, "S S"],
    y: Float[Array, "S S"],
    horizon: float,
) -> Float[Array, "S S 3"]:
    """Draw one thing: a lit window or lamp, a piece of furniture on the floor, or something round."""
    kind, size = rng.choice(["window", "furniture", "round"], p=[0.35, 0.5, 0.15]), picture.shape[0]
    width, height = rng.uniform(0.05, 0.3), rng.uniform(0.08, 0.45)
    centre = rng.uniform(-0.05, 1.05)
    colour = _colour(rng, 0.02, 0.7)
    if kind == "window":
        top = rng.uniform(0, horizon * 0.5)
        inside = np.minimum(width / 2 - np.abs(x - centre), height / 2 - np.abs(y - top - height / 2))
        colour = _colour(rng, 0.5, 1.0) * rng.choice([0.3, 1.0])
    elif kind == "furniture":
        bottom = horizon + rng.uniform(0, 0.15)
        inside = np.minimum(width / 2 - np.abs(x - centre), np.minimum(bottom - y, y - bottom + height))
    else:
        inside = width / 2 - np.hypot(x - centre, (y - rng.uniform(0.1, horizon)) * rng.uniform(0.6, 1.4))
    cover = np.clip(inside * size + 0.5, 0, 1)[..., None]
    shade = 1 + rng.uniform(-0.6, 0.6) * (x - centre)[..., None] / width
    return picture + cover * (np.clip(colour * shade, 0, 1) - picture)


def _colour(rng: np.random.Generator, low: float, high: float) -> Float[Array, " 3"]:
    """A muted colour of random brightness, linear RGB."""
    return rng.uniform(low, high) * np.clip(1 + 0.13 * rng.normal(size=3), 0.4, 1.6)


def _smooth(channel: Float[Array, "S S"], sigma: float) -> Float[Array, "S S"]:
    """Gaussian blur [px], mirrored at the edges."""
    pad = int(4 * sigma) + 1
    taps = np.exp(-0.5 * (np.arange(-pad, pad + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        padded = np.pad(channel, [(pad, pad) if a == axis else (0, 0) for a in (0, 1)], mode="symmetric")
        channel = np.apply_along_axis(np.convolve, axis, padded, taps, mode="valid")
    return channel


def _mirror(x: Float[Array, "H W"], size: int) -> Float[Array, "H W"]:
    """Fold coordinates back into the picture, as if it went on mirrored on each side; stays on texel centres."""
    folded = np.abs((x - 0.5) % (2 * (size - 1)) - (size - 1))
    return (size - 1) - folded + 0.5


def _bilinear(
    picture: Float[Array, "h w 3"], x: Float[Array, "H W"], y: Float[Array, "H W"], wrap: bool
) -> Float[Array, "H W 3"]:
    """Bilinear lookup; texel (0, 0) has its centre at (0.5, 0.5)."""
    height, width = picture.shape[:2]
    column, row = np.floor(x - 0.5), np.floor(y - 0.5)
    fx, fy = ((x - 0.5 - column)[..., None], (y - 0.5 - row)[..., None])
    left, top = column.astype(np.int64), np.clip(row.astype(np.int64), 0, height - 1)
    right, bottom = left + 1, np.minimum(top + 1, height - 1)
    left, right = (left % width, right % width) if wrap else (np.clip(left, 0, width - 1), np.clip(right, 0, width - 1))
    upper = picture[top, left] * (1 - fx) + picture[top, right] * fx
    lower = picture[bottom, left] * (1 - fx) + picture[bottom, right] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def brightness(picture: Float[Array, "h w 3"]) -> float:
    """Radiance of a white wall lit by a spherical picture, facing where it is lit best; what one exposes a picture for.

    Args:
        picture: Equirectangular, linear RGB.

    Returns:
        Largest irradiance over upright walls, over pi.
    """
    height, width = picture.shape[:2]
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    # A wall sees a band of the sphere weighted by the cosine to its normal: cos(elevation) cos(azimuth), cut at 0.
    column = (picture @ LUMINANCE * np.cos(elevation)[:, None] ** 2).sum(axis=0) * (np.pi / height)
    azimuth = (np.arange(width) + 0.5) / width * 2 * np.pi
    towards = np.maximum(np.cos(azimuth[None] - np.linspace(0, 2 * np.pi, 36, endpoint=False)[:, None]), 0.0)
    return max(float((towards @ column).max() * (2 * np.pi / width) / np.pi), 1e-6)


def texels_per_pixel(spec: BackgroundSpec, picture: Float[Array, "h w 3"], camera: Camera) -> float:
    """How many of the picture's pixels fall on one of the image's, along an axis."""
    height, width = picture.shape[:2]
    if spec.kind == "environment":
        return float(spec.scale / camera.K[0, 0] * width / (2 * np.pi))
    return min(height / camera.height, width / camera.width) / spec.scale
