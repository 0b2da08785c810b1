"""What one clip is, as plain data. All that follows is a function of a `ClipSpec`, and its id is a hash of its content.

A spec names files by path and digest and never holds arrays, so a plan of a million clips is a text file.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

from synth.errors import SynthError

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """A file the clip depends on."""

    path: str
    """Absolute path, or "asset:..." / "bpy:..." for a file that comes with the project or with Blender."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationSpec:
    """How a stretch of a sequence is changed."""

    mirror: bool = False
    """Left and right change places."""
    speed: float = 1.0
    """Of the new motion over that of the old."""
    yaw: float = 0.0
    """Turn about the vertical [rad]."""
    hands: tuple[float, float] | None = dataclasses.field(default=None, metadata={"left_out": True})
    """How far the left and the right hand are closed [rad]; None leaves them as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSpec:
    """Which motion: a stretch of a sequence, or an interpolation between the most contrasting poses of two."""

    kind: str
    """"original" or "interpolated"."""
    sources: tuple[FileRef, ...]
    """One sequence (AMASS npz), or two for an interpolation."""
    names: tuple[str, ...]
    """Names of the sequences in the catalogue, such as "cmu/01_01"."""
    frames: tuple[int, ...]
    """Original: first and last + 1 frame; interpolated: the frame in each of the two. In the sequences' own rates."""
    count: int
    """Number of frames at `fps`."""
    fps: float
    """Frame rate of the rendered clip [Hz]."""
    method: str = "axis-angle"
    """Interpolation between the two poses: "axis-angle" (MVIPER 3.2) or "slerp"."""
    variation: VariationSpec | None = dataclasses.field(default=None, metadata={"left_out": True})
    """None takes the motion as it was captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySpec:
    """Which body and which shape."""

    file: FileRef
    name: str
    gender: str
    betas: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialSpec:
    """A surface's look."""

    kind: str
    """"procedural" or "image"."""
    seed: int
    """Of the procedural pattern, and of an image's placement."""
    colour: tuple[float, float, float]
    """Base colour, linear RGB 0-1 (a tint for images)."""
    accent: tuple[float, float, float]
    """Second colour of a procedural pattern, linear RGB 0-1."""
    pattern: str
    """Cloth: "plain", "stripes", "checks", "dots" or "melange"; skin: "skin"."""
    scale: float
    """Repeats per metre of fabric."""
    rotation: float
    """Of the pattern on the fabric [rad]."""
    roughness: float
    image: FileRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentSpec:
    """One garment worn."""

    name: str
    fabric: str
    """Name of a fabric preset (`garments.catalog.fabrics`)."""
    sha256: str
    """Digest of the garment's folder."""
    material: MaterialSpec
    size: str = dataclasses.field(default="M", metadata={"left_out": True})
    """One of the garment's sizes; M is the size it was made in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSpec:
    """How the cloth is simulated."""

    solver: str
    """"cloth", "softbody", "auto" (what suits each garment) or "skinned" (the garment follows the body)."""
    quality: int
    """Sub-steps per 1/30 s on the first try, at 4 m/s; doubled on each retry."""
    retries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRigSpec:
    """Cameras on a circle around the person, all tracking the pelvis (MVIPER 3.4)."""

    azimuths: tuple[float, ...]
    """Direction from the person to each camera, in the horizontal plane, from +X towards +Y [rad]."""
    elevation: float
    """Above the horizontal [rad]."""
    distance: float
    """From the mean position of the pelvis [m]."""
    focal_mm: float
    sensor_mm: float
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaLightSpec:
    """A square area light pointing at the person."""

    offset: tuple[float, float, float]
    """From the mean position of the pelvis, world axes [m]."""
    size: float
    """Side [m]."""
    power: float
    """[W]"""
    colour: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """The spherical picture that lights the scene."""

    image: FileRef
    rotation: float
    """About the vertical axis [rad]."""
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundSpec:
    """What is seen behind the person."""

    kind: str
    """"environment" (the spherical picture), "picture" (a 2D image) or "generated" (a 2D image made from the seed)."""
    seed: int
    scale: float
    """Field of view of the background over that of the camera (environment), or zoom of the picture (>= 1)."""
    rotation: float
    """In the picture's plane [rad]; 0 for an environment."""
    image: FileRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSpec:
    """Everything seen except the dressed body's shape and motion."""

    cameras: CameraRigSpec
    lights: tuple[AreaLightSpec, ...]
    environment: EnvironmentSpec
    background: BackgroundSpec
    skin: MaterialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """What the picture depends on in the renderer. The device is not part of it."""

    samples: int
    denoise: bool
    jpeg_quality: int
    exposure: float
    """Factor on the linear picture before the sRGB curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """One clip, one job, one shard."""

    seed: int
    index: int
    """Number of the clip in its plan."""
    motion: MotionSpec
    body: BodySpec
    outfit: tuple[GarmentSpec, ...]
    """From the innermost layer to the outermost; empty for a bare body."""
    simulation: SimulationSpec
    scene: SceneSpec
    render: RenderSpec
    spec_version: int = 1
    items: tuple[GarmentSpec, ...] = dataclasses.field(default=(), metadata={"left_out": True})
    """Hair and shoes: they follow the body without simulation, and come after the outfit in the labels."""

    @property
    def clip_id(self) -> str:
        """16 hexadecimal digits that change with any part of the spec."""
        return digest(self)[:16]

    @property
    def simulation_id(self) -> str:
        """16 hexadecimal digits that change only with what the simulation depends on."""
        worn = [
            {"name": g.name, "fabric": g.fabric, "sha256": g.sha256} | ({} if g.size == "M" else {"size": g.size})
            for g in self.outfit
        ]
        return digest([self.spec_version, self.motion, self.body, worn, self.simulation])[:16]


def to_plain(value: Any) -> Any:
    """Turn a spec into JSON's types.

    Raises:
        ValueError: a number is not finite (JSON has no NaN).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            # Fields that came later are left out at their default: specs without them keep their ids.
            if not (field.metadata.get("left_out") and getattr(value, field.name) == field.default)
        }
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a spec holds finite numbers only, got {value}")
    return value


def to_json(value: Any) -> str:
    """Write a spec as one line of canonical JSON: keys sorted, floats in their shortest exact form."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def from_json(kind: type[Spec], text: str, where: str = "spec") -> Spec:
    """Read a spec written by `to_json`.

    Args:
        kind: The dataclass to read, such as `ClipSpec`.
        text: JSON.
        where: Name of the file, for the message.

    Raises:
        SynthError: not JSON, a field is missing, unknown or of the wrong type.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise SynthError(f"{where}: not JSON ({error})", "Write the plan anew with `synth plan`") from None
    return from_plain(kind, plain, where)


def from_plain(kind: Any, plain: Any, where: str) -> Any:
    """Build a value of a type from JSON's types, checking each field.

    Raises:
        SynthError: a field is missing, unknown or of the wrong type; the message names it.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if plain is None:
            return None
        return from_plain(next(a for a in arguments if a is not type(None)), plain, where)
    if origin is tuple:
        if not isinstance(plain, list):
            raise SynthError(f"{where}: expected a list, got {plain!r}")
        wanted = [arguments[0]] * len(plain) if arguments[1:] == (...,) else list(arguments)
        if len(wanted) != len(plain):
            raise SynthError(f"{where}: expected {len(wanted)} values, got {len(plain)}")
        return tuple(
            from_plain(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(wanted, plain, strict=True))
        )
    if dataclasses.is_dataclass(kind):
        return _from_mapping(kind, plain, where)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, kind) or (isinstance(plain, bool) and kind is not bool):
        raise SynthError(f"{where}: expected {kind.__name__}, got {plain!r}")
    return plain


def _from_mapping(kind: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise SynthError(f"{where}: expected a table, got {plain!r}")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    required = {
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if unknown := sorted(plain.keys() - known):
        raise SynthError(f"{where}: unknown field {unknown[0]!r}", f"Known fields: {', '.join(sorted(known))}")
    if missing := sorted(required - plain.keys()):
        raise SynthError(f"{where}: field {missing[0]!r} is missing")
    return kind(**{name: from_plain(hints[name], item, f"{where}.{name}") for name, item in plain.items()})
