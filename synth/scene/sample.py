"""Everything random about a scene, drawn from one generator: cameras, lights, surroundings, skin (MVIPER 3.4)."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synth.assets import sha256_of
from synth.config import SceneConfig
from synth.errors import SynthError
from synth.scene.cameras import evenly_around, fitting_distance
from synth.scene.materials import PATTERNS
from synth.spec import (
    AreaLightSpec,
    BackgroundSpec,
    CameraRigSpec,
    EnvironmentSpec,
    FileRef,
    MaterialSpec,
    SceneSpec,
)

SPHERICAL = (".exr", ".hdr", ".jpg", ".jpeg", ".png")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".exr")
STUDIO = "studiolights/world"
"""Folder of the spherical pictures that come with Blender."""

SKIN_LIGHT, SKIN_DARK = np.array([0.62, 0.40, 0.29]), np.array([0.075, 0.036, 0.022])
"""Ends of the range of skin colours, linear RGB; between them colours are mixed evenly in lightness (cube roots)."""
HAIR = ((0.012, 0.010, 0.009), (0.035, 0.018, 0.010), (0.11, 0.055, 0.025), (0.30, 0.19, 0.09), (0.28, 0.27, 0.26))
"""Black, dark brown, brown, fair and grey hair, linear RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFiles:
    """The pictures that scenes are made of; listed and hashed once a run."""

    hdris: tuple[FileRef, ...]
    """Spherical pictures, at least one."""
    pictures: tuple[FileRef, ...] = ()
    """Flat backgrounds; none: they are generated."""
    textures: tuple[FileRef, ...] = ()
    """Cloth textures; none: procedural patterns."""
    skins: tuple[FileRef, ...] = ()
    """Skin textures; none: procedural skin."""


def find_files(config: SceneConfig) -> SceneFiles:
    """List the pictures in the folders that the settings name.

    Raises:
        SynthError: a folder holds no picture, or one cannot be read.
    """
    return SceneFiles(
        hdris=_listed(config.hdris, SPHERICAL) if config.hdris else studio_lights(),
        pictures=_listed(config.backgrounds, PICTURES),
        textures=_listed(config.textures, PICTURES),
        skins=_listed(config.skins, PICTURES),
    )


def studio_lights() -> tuple[FileRef, ...]:
    """The spherical pictures that come with Blender, found without starting it.

    Raises:
        SynthError: bpy is not installed.
    """
    found = importlib.util.find_spec("bpy")
    folders = sorted(Path(found.origin).parent.glob(f"*/datafiles/{STUDIO}")) if found and found.origin else []
    if not folders:
        raise SynthError("bpy is not installed here", "Install the project's dependencies, or give a folder of HDRIs")
    files = sorted(folders[-1].glob("*.exr"))
    return tuple(FileRef(path=f"bpy:{STUDIO}/{file.name}", sha256=sha256_of(file)) for file in files)


def _listed(folder: str, endings: tuple[str, ...]) -> tuple[FileRef, ...]:
    if not folder:
        return ()
    files = sorted(f for f in Path(folder).resolve().rglob("*") if f.suffix.lower() in endings and f.is_file())
    if not files:
        raise SynthError(f"{folder}: no pictures there", f"Give a folder with {', '.join(endings)} files")
    return tuple(FileRef(path=str(file), sha256=sha256_of(file)) for file in files)


def sample_scene(
    rng: np.random.Generator,
    *,
    config: SceneConfig,
    files: SceneFiles,
    extent: float,
    travel: float,
    tone: float | None = None,
) -> SceneSpec:
    """Draw a scene.

    Args:
        rng: Source of all randomness.
        config: Number of views, image size, lens.
        files: Pictures to choose from.
        extent: Largest distance of a point of the person from the pelvis over the clip [m] (`cameras.extents`).
        travel: Largest distance of the pelvis from its mean position [m].
        tone: Of the skin, from 0 (light) to 1 (dark); drawn if not given.
    """
    return SceneSpec(
        cameras=sample_rig(rng, config, extent, travel),
        lights=sample_lights(rng),
        environment=EnvironmentSpec(
            image=_choice(rng, files.hdris),
            rotation=float(rng.uniform(-np.pi, np.pi)),
            strength=float(np.exp(rng.uniform(np.log(0.6), np.log(1.2)))),
        ),
        background=sample_background(rng, files),
        skin=sample_skin(rng, files.skins, tone),
    )


def sample_rig(rng: np.random.Generator, config: SceneConfig, extent: float, travel: float) -> CameraRigSpec:
    """Cameras evenly around the person, level or a little above, just far enough away for the person to fit."""
    distance = fitting_distance(extent, travel, config.focal_mm, config.sensor_mm, config.width, config.height)
    return CameraRigSpec(
        azimuths=evenly_around(config.views),
        elevation=float(rng.uniform(np.radians(-3.0), np.radians(12.0))),
        distance=float(distance * rng.uniform(1.02, 1.25)),
        focal_mm=config.focal_mm,
        sensor_mm=config.sensor_mm,
        width=config.width,
        height=config.height,
    )


def sample_lights(rng: np.random.Generator, count: int = 4) -> tuple[AreaLightSpec, ...]:
    """Area lights around and above the person, of random strength, size and warmth.

    Their shares are random (often one or two prevail); together they give a white surface that faces them all a
    radiance of 0.15 to 0.6, so that pictures are neither black nor burnt out. A light of P watts at d metres gives an
    irradiance of P / (pi d^2).
    """
    shares = rng.dirichlet(np.full(count, 0.7))
    total = np.exp(rng.uniform(np.log(0.15), np.log(0.6)))
    start, made = rng.uniform(0, 2 * np.pi), []
    for k in range(count):
        azimuth = start + 2 * np.pi * (k + rng.uniform(-0.3, 0.3)) / count
        elevation, distance = rng.uniform(np.radians(10), np.radians(65)), rng.uniform(2.5, 4.5)
        flat, warmth = distance * np.cos(elevation), rng.uniform(-1, 1)
        made.append(
            AreaLightSpec(
                offset=_triple(
                    np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)])
                ),
                size=float(rng.uniform(0.5, 2.0)),
                power=float(shares[k] * total * (np.pi * distance) ** 2),
                colour=(1.0 - 0.2 * max(-warmth, 0.0), 1.0 - 0.08 * abs(warmth), 1.0 - 0.3 * max(warmth, 0.0)),
            )
        )
    return tuple(made)


def sample_background(rng: np.random.Generator, files: SceneFiles) -> BackgroundSpec:
    """The spherical picture itself, or half of the time a flat one, from the folder or generated."""
    seed = int(rng.integers(2**31 - 1))
    if rng.random() < 0.5:
        return BackgroundSpec(kind="environment", seed=seed, scale=float(rng.uniform(4.0, 8.0)), rotation=0.0)
    image = _choice(rng, files.pictures) if files.pictures else None
    return BackgroundSpec(
        kind="picture" if image else "generated",
        seed=seed,
        scale=float(rng.uniform(1.0, 1.8)),
        rotation=float(np.radians(8.0) * np.clip(rng.normal(), -2, 2)),
        image=image,
    )


def sample_skin(rng: np.random.Generator, skins: tuple[FileRef, ...], tone: float | None = None) -> MaterialSpec:
    """Skin of a given tone (0 light, 1 dark) or any, hair from black to fair; one in ten has none."""
    seed, image = int(rng.integers(2**31 - 1)), _choice(rng, skins) if skins else None
    drawn = float(rng.uniform(0, 1))
    tone = drawn if tone is None else tone
    colour = ((1 - tone) * np.cbrt(SKIN_LIGHT) + tone * np.cbrt(SKIN_DARK)) ** 3 * rng.uniform(0.94, 1.06, 3)
    reach = 3 if tone > 0.5 else len(HAIR)
    hair = colour if rng.random() < 0.1 else np.array(HAIR[rng.integers(reach)]) * rng.uniform(0.7, 1.3)
    return MaterialSpec(
        kind="image" if image else "procedural",
        seed=seed,
        colour=(1.0, 1.0, 1.0) if image else _triple(colour),
        accent=_triple(hair),
        pattern="skin",
        scale=1.0,
        rotation=0.0,
        roughness=float(rng.uniform(0.4, 0.6)),
        image=image,
    )


def sample_cloth(rng: np.random.Generator, textures: tuple[FileRef, ...]) -> MaterialSpec:
    """Look of a garment: a texture from the folder, or a woven pattern in two colours."""
    seed, image = int(rng.integers(2**31 - 1)), _choice(rng, textures) if textures else None
    colour, accent = _cloth_colour(rng), _cloth_colour(rng)
    pattern = str(rng.choice(PATTERNS, p=[0.35, 0.2, 0.15, 0.1, 0.2]))
    repeats = {"plain": (2, 4), "melange": (2, 6)}.get(pattern, (6, 30))
    return MaterialSpec(
        kind="image" if image else "procedural",
        seed=seed,
        colour=(1.0, 1.0, 1.0) if image else colour,
        accent=accent,
        pattern=pattern,
        scale=float(rng.uniform(1.0, 5.0) if image else rng.uniform(*repeats)),
        rotation=float(rng.choice([0.0, 0.5 * np.pi]) + 0.1 * rng.normal()),
        roughness=float(rng.uniform(0.6, 0.95)),
        image=image,
    )


def _cloth_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Any hue, mostly muted, from nearly black to nearly white; linear RGB."""
    value, saturation, hue = rng.uniform(0.2, 0.92), rng.beta(1.2, 1.5), rng.uniform(0, 1)
    wheel = np.clip(np.abs((6 * hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return _triple((value * (1 - saturation * (1 - wheel))) ** 2.2)


def _choice(rng: np.random.Generator, files: tuple[FileRef, ...]) -> FileRef:
    return files[int(rng.integers(len(files)))]


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
