"""Settings of a run: built-in defaults, then a TOML file, then flags. One frozen dataclass for each stage."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth.errors import SynthError
from synth.spec import from_plain

GENDERS = ("neutral", "male", "female")
SOLVERS = ("cloth", "softbody", "auto", "skinned")
DEVICES = ("auto", "cpu", "optix", "cuda", "hip", "oneapi", "metal")


def _check(ok: bool, setting: str, value: object, wanted: str) -> None:
    """Raise SynthError naming the setting unless it is ok."""
    if not ok:
        raise SynthError(f"setting {setting}: {value!r} is not {wanted}", "See `synth render --help`")


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionConfig:
    """Which motion, and how clips are cut from it (MVIPER 3.2)."""

    sequences: str = "cmu"
    """"cmu", "cmu:01_*", a file, a folder or a glob."""
    amass: str = ""
    """Root of an AMASS download; "cmu" then means its CMU part."""
    clips: int = 4
    """How many clips to make."""
    interpolated_share: float = 0.5
    """Share of the clips interpolated between contrasting poses."""
    frames: int = 30
    """Frames of a clip (at least, for an interpolated one)."""
    fps: float = 30.0
    interpolation: str = "axis-angle"
    pairs: str = "drawn"
    """Poses that are joined: "drawn", of two sequences taken at random; "mined", the most contrasting of all."""
    actions: tuple[str, ...] = ()
    """Take only sequences whose description holds one of these; empty: all."""
    subjects: tuple[str, ...] = ()
    """Take only sequences of these people, such as "02"; empty: all."""
    mirror_share: float = 0.0
    """Share of the clips in which left and right change places."""
    speed: tuple[float, float] = (1.0, 1.0)
    """Slowest and fastest speed that originals are played at."""
    yaw: float = 0.0
    """Largest turn about the vertical, either way [rad]."""
    hands: float = 0.0
    """Farthest that each hand is closed [rad]."""

    def __post_init__(self) -> None:
        _check(self.clips >= 1, "motion.clips", self.clips, "at least 1")
        _check(
            0.0 <= self.interpolated_share <= 1.0, "motion.interpolated_share", self.interpolated_share, "within 0-1"
        )
        _check(self.frames >= 2, "motion.frames", self.frames, "at least 2 (flow needs two)")
        _check(0 < self.fps <= 240, "motion.fps", self.fps, "a rate in (0, 240] Hz")
        known = ("axis-angle", "slerp")
        _check(0.0 <= self.mirror_share <= 1.0, "motion.mirror_share", self.mirror_share, "within 0-1")
        slow, fast = self.speed
        _check(0.25 <= slow <= fast <= 4.0, "motion.speed", self.speed, "slowest and fastest, within 0.25-4")
        _check(0.0 <= self.yaw <= 3.15, "motion.yaw", self.yaw, "within 0-pi")
        _check(0.0 <= self.hands <= 1.6, "motion.hands", self.hands, "within 0-1.6 rad")
        _check(self.pairs in ("drawn", "mined"), "motion.pairs", self.pairs, "drawn or mined")
        _check(self.interpolation in known, "motion.interpolation", self.interpolation, f"one of {', '.join(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyConfig:
    """Whose body."""

    model: str = "free"
    """"free", or a folder or file of licensed SMPL, SMPL+H or SMPL-X models."""
    genders: tuple[str, ...] = GENDERS
    """Clips go through these in turn."""
    betas_std: float = 1.0
    """Standard deviation of the sampled shape coefficients; 0 is the mean shape."""
    betas_limit: float = 2.0
    """Coefficients are drawn anew beyond this."""
    betas_file: str = ""
    """A .npy or text file with one row of coefficients a clip, instead of sampling."""

    def __post_init__(self) -> None:
        _check(
            bool(self.genders) and set(self.genders) <= set(GENDERS), "body.genders", self.genders, f"among {GENDERS}"
        )
        _check(self.betas_std >= 0, "body.betas_std", self.betas_std, "zero or more")
        _check(self.betas_limit > 0, "body.betas_limit", self.betas_limit, "positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClothConfig:
    """What is worn and how it is simulated."""

    garments: tuple[str, ...] = ()
    """Garments to choose from; empty: all. A single name "none" renders bare bodies."""
    solver: str = "cloth"
    quality: int = 10
    """Sub-steps per 1/30 s on the first try."""
    retries: int = 1
    hair: float = 0.75
    """Share of the people, bare bodies apart, whose hair is a mesh; of the others most have a painted crop."""
    shoes: float = 0.8
    """Share of the people, bare bodies apart, who wear shoes."""

    def __post_init__(self) -> None:
        for name in ("hair", "shoes"):
            _check(0 <= getattr(self, name) <= 1, f"cloth.{name}", getattr(self, name), "within 0-1")
        _check(self.solver in SOLVERS, "cloth.solver", self.solver, f"one of {', '.join(SOLVERS)}")
        _check(1 <= self.quality <= 80, "cloth.quality", self.quality, "within 1-80")
        _check(0 <= self.retries <= 5, "cloth.retries", self.retries, "within 0-5")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """Cameras, light and surroundings (MVIPER 3.4)."""

    views: int = 4
    """Cameras, evenly around the person; 4 stand in the East, North, West and South."""
    width: int = 250
    height: int = 250
    focal_mm: float = 180.0
    sensor_mm: float = 32.0
    hdris: str = ""
    """Folder of spherical pictures (.exr, .hdr, .jpg, .png); empty: those that come with Blender."""
    backgrounds: str = ""
    """Folder of 2D pictures; empty: generated ones."""
    textures: str = ""
    """Folder of cloth textures (DTD, Fabrics); empty: procedural."""
    skins: str = ""
    """Folder of skin textures in the body's UV layout; empty: procedural."""

    def __post_init__(self) -> None:
        _check(1 <= self.views <= 64, "scene.views", self.views, "within 1-64")
        for name in ("width", "height"):
            _check(16 <= getattr(self, name) <= 4096, f"scene.{name}", getattr(self, name), "within 16-4096 px")
        for name in ("focal_mm", "sensor_mm"):
            _check(getattr(self, name) > 0, f"scene.{name}", getattr(self, name), "a positive length")
        for name in ("hdris", "backgrounds", "textures", "skins"):
            folder = getattr(self, name)
            _check(not folder or Path(folder).is_dir(), f"scene.{name}", folder, "a folder that exists")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderConfig:
    """The renderer."""

    samples: int = 16
    denoise: bool = True
    device: str = "auto"
    jpeg_quality: int = 95
    exposure: float = 1.0

    def __post_init__(self) -> None:
        _check(1 <= self.samples <= 65536, "render.samples", self.samples, "within 1-65536")
        _check(self.device in DEVICES, "render.device", self.device, f"one of {', '.join(DEVICES)}")
        _check(1 <= self.jpeg_quality <= 100, "render.jpeg_quality", self.jpeg_quality, "within 1-100")
        _check(self.exposure > 0, "render.exposure", self.exposure, "positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a plan follows from."""

    seed: int = 0
    motion: MotionConfig = field(default_factory=MotionConfig)
    body: BodyConfig = field(default_factory=BodyConfig)
    cloth: ClothConfig = field(default_factory=ClothConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    render: RenderConfig = field(default_factory=RenderConfig)

    def __post_init__(self) -> None:
        _check(0 <= self.seed < 2**63, "seed", self.seed, "within 0-2^63")


def load_config(path: Path | None, flags: dict[str, Any]) -> Config:
    """Merge the defaults, a TOML file and flags.

    Args:
        path: TOML file with the tables `motion`, `body`, `cloth`, `scene`, `render` and the key `seed`; None for none.
        flags: Values by dotted name, such as {"scene.views": 4}; None means the flag was not given.

    Returns:
        The checked settings.

    Raises:
        SynthError: the file cannot be read, a key is unknown, a value is of the wrong type or out of range.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SynthError(f"{path}: {error.strerror}", "Give --config an existing TOML file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SynthError(f"{path}: not valid TOML ({error})") from None
    for name, value in flags.items():
        if value is None:
            continue
        table, _, key = name.rpartition(".")
        target = tables.setdefault(table, {}) if table else tables
        target[key] = list(value) if isinstance(value, tuple) else value
    return from_plain(Config, tables, str(path or "settings"))


def replace(config: Config, **changes: Any) -> Config:
    """Change settings by dotted names with "__" for the dot, such as motion__clips=1."""
    for name, value in changes.items():
        table, _, key = name.partition("__")
        part = dataclasses.replace(getattr(config, table), **{key: value}) if key else value
        config = dataclasses.replace(config, **{table: part})
    return config
