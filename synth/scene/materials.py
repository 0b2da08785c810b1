"""What surfaces look like, as arrays: tiles of woven patterns and skin colours per vertex. No Blender here."""

import numpy as np
from jaxtyping import Float, UInt8

from synth.rng import generator
from synth.spec import MaterialSpec

Array = np.ndarray

PATTERNS = ("plain", "stripes", "checks", "dots", "melange")
BARE = ("strands", "sole")
"""Patterns of what is not woven: hair, and shoes, of another colour where the second coordinate is under 0.5."""
HEAD = 16
"""Part number of the head."""


def cloth_tile(material: MaterialSpec, size: int = 256) -> Float[Array, "S S 3"]:
    """One repeat of a cloth's pattern; its edges match, so that it tiles.

    Args:
        material: Colours, pattern and seed.
        size: Side [px].

    Returns:
        Linear RGB in [0, 1].

    Raises:
        ValueError: there is no such pattern.
    """
    rng = generator(material.seed, "cloth", material.pattern)
    y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    share = 0.15 + 0.35 * rng.random()
    if material.pattern == "plain":
        mask = np.zeros((size, size))
    elif material.pattern == "stripes":
        mask = _soft_box(x, share, size)
    elif material.pattern == "checks":
        mask = 0.5 * (_soft_box(x, share, size) + _soft_box(y, share, size))
    elif material.pattern == "dots":
        radius = np.hypot(x - 0.5, y - 0.5)
        mask = np.clip((0.45 * np.sqrt(share) - radius) * size / 2 + 0.5, 0, 1)
    elif material.pattern == "melange":
        mask = np.clip(0.5 + 0.35 * periodic_noise(rng, size, 0.08), 0, 1)
    elif material.pattern == "strands":
        streaks = periodic_noise(rng, size, 0.12).mean(axis=0, keepdims=True) * np.sqrt(size / 4)
        mask = np.clip(0.5 + 0.3 * streaks + 0.12 * periodic_noise(rng, size, 0.03), 0, 1)
    elif material.pattern == "sole":
        mask = (y > 0.5).astype(np.float64)
    else:
        raise ValueError(f"pattern: expected one of {(*PATTERNS, *BARE)}, got {material.pattern!r}")
    base, accent = np.array(material.colour), np.array(material.accent)
    colour = base + mask[..., None] * (accent - base)
    weave = 1.0 + 0.05 * periodic_noise(rng, size, 0.3) + 0.06 * periodic_noise(rng, size, 0.01)
    return np.clip(colour * weave[..., None], 0.0, 1.0).astype(np.float32)


def skin_colours(
    material: MaterialSpec, vertices: Float[Array, "V 3"], parts: UInt8[Array, " V"]
) -> Float[Array, "V 3"]:
    """Skin and hair colour of each vertex: smooth blotches, redder hands, feet and face, a cap of short hair.

    Args:
        material: `colour` is the skin, `accent` the hair; equal colours give no hair.
        vertices: The body at rest, SMPL's frame (Y up, facing +Z) [m].
        parts: Body part of each vertex.

    Returns:
        Linear RGB in [0, 1].
    """
    rng = generator(material.seed, "skin")
    directions = rng.normal(size=(24, 3)) * rng.uniform(8.0, 60.0, size=(24, 1))
    waves = np.cos(vertices @ directions.T + rng.uniform(0, 2 * np.pi, 24))
    blotches = waves @ (rng.normal(size=24) / np.sqrt(12))
    red = np.isin(parts, (HEAD, 8, 9, 11, 12, 21, 22, 23, 24)).astype(np.float64)
    skin = np.array(material.colour) * (1.0 + 0.05 * blotches[:, None]) * (1.0 + red[:, None] * (0.06, -0.05, -0.05))
    cover = hair_cover(vertices, parts, 0.004 * blotches)[:, None]
    hair = np.array(material.accent) * (1.0 + 0.15 * waves[:, :1])
    if material.accent == material.colour:
        return np.clip(skin, 0.0, 1.0).astype(np.float32)
    return np.clip(skin + cover * (hair - skin), 0.0, 1.0).astype(np.float32)


def hair_cover(
    vertices: Float[Array, "V 3"], parts: UInt8[Array, " V"], edge: Float[Array, " V"]
) -> Float[Array, " V"]:
    """Share of hair on each vertex: the top and back of the head, down to a line from the forehead to the nape.

    Args:
        vertices: The body at rest [m].
        parts: Body part of each vertex.
        edge: Shift of the hairline [m].
    """
    head = parts == HEAD
    cover = np.zeros(len(vertices))
    if not head.any():
        return cover
    low, high = vertices[head].min(axis=0), vertices[head].max(axis=0)
    height, depth = high[1] - low[1], high[2] - low[2]
    line = low[1] + height * np.interp((vertices[:, 2] - low[2]) / depth, [0, 0.4, 0.6, 0.9], [0.25, 0.45, 0.7, 0.85])
    cover[head] = np.clip((vertices[:, 1] + edge - line) / 0.01 + 0.5, 0.0, 1.0)[head]
    return cover


def periodic_noise(rng: np.random.Generator, size: int, frequency: float) -> Float[Array, "S S"]:
    """Tileable Gaussian noise of unit variance, low-pass filtered at `frequency` [cycles/px]."""
    spectrum = np.fft.rfft2(rng.normal(size=(size, size)))
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    noise = np.fft.irfft2(spectrum * np.exp(-0.5 * (radius / frequency) ** 2), s=(size, size))
    return noise / noise.std()


def _soft_box(x: Float[Array, "S S"], share: float, size: int) -> Float[Array, "S S"]:
    """1 in the middle `share` of [0, 1], 0 elsewhere, with edges two pixels wide."""
    return np.clip((0.5 * share - np.abs(x - 0.5)) * size / 2 + 0.5, 0.0, 1.0)
