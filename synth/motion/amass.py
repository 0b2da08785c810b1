"""Motions in AMASS's npz files: SMPL+H (156 numbers a frame), SMPL-X ("stageii"), SMPL (72) and body only (66)."""

import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.lib.npyio import NpzFile

from synth.errors import SynthError
from synth.files import replacing
from synth.types import Motion

Array = np.ndarray

RATES = ("mocap_framerate", "mocap_frame_rate", "frame_rate", "fps")
GENDERS = ("neutral", "male", "female")
WIDTHS = (66, 72, 156, 165)
MAX_BETAS = 300
MAX_FIELD = 1 << 31
"""Bytes of a field, unpacked: more is no motion, or a trap."""
FAMILIES = {66: "smplh", 72: "smpl", 156: "smplh", 165: "smplx"}
DAMAGED = (
    ValueError, OSError, EOFError, LookupError, ArithmeticError, TypeError, AttributeError, AssertionError, MemoryError,
    RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What zipfile, zlib and NumPy's parser of headers raise on damaged files."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """What an AMASS file holds."""

    motion: Motion
    betas: Float[Array, " B"]
    """Shape of the person recorded."""
    gender: str
    model: str
    """Whose betas these are: "free" for this project's body, else "smpl", "smplh" or "smplx"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What can be said about an AMASS file without reading its poses."""

    frames: int
    fps: float


def read(path: Path, *, name: str | None = None, start: int = 0, stop: int | None = None) -> Recording:
    """Read a motion.

    SMPL's two hand joints (22 and 23) have no counterpart in SMPL+H and SMPL-X; they stay straight. Fingers, face and
    DMPL's coefficients of soft tissue are not read.

    Args:
        path: An npz file.
        name: Source noted in the motion; the file's stem if None.
        start: First frame.
        stop: One after the last frame; None for the end.

    Returns:
        The motion of the frames [start, stop), the shape and the gender.

    Raises:
        SynthError: the file is not an AMASS motion; the message names file and field.
    """
    with _opened(path) as arrays:
        pose = _pose(arrays, path)
        frames = len(pose.rotations)
        transl = _floats(arrays, "trans", path)
        if transl.shape != (frames, 3):
            raise SynthError(f"{path}: trans: expected ({frames}, 3), got {transl.shape}")
        fps, betas, gender = _rate(arrays, path), _betas(arrays, path), _gender(arrays, path)
        model = _model(arrays, path, pose.width)
    if not 0 <= start < (frames if stop is None else min(stop, frames)):
        raise SynthError(f"{path}: no frames [{start}, {stop}) in a motion of {frames}")
    if stop is not None and stop > frames:
        raise SynthError(f"{path}: frame {stop - 1} was asked for, the motion has {frames}")
    cut = slice(start, stop)
    motion = Motion(
        fps=fps,
        global_orient=pose.rotations[cut, 0],
        body_pose=pose.rotations[cut, 1:],
        transl=transl[cut],
        source=path.stem if name is None else name,
        source_frames=np.arange(frames, dtype=np.float64)[cut],
    )
    return Recording(motion=motion, betas=betas, gender=gender, model=model)


def header(path: Path) -> Header:
    """Read the number of frames and the rate, not the poses.

    Raises:
        SynthError: the file is not an AMASS motion.
    """
    with _opened(path) as arrays:
        field = "poses" if "poses" in arrays else "root_orient"
        if field not in arrays:
            raise SynthError(f"{path}: field 'poses' is missing", "This is not an AMASS motion file")
        fps = _rate(arrays, path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{field}.npy") as file:
            version = np.lib.format.read_magic(file)  # pyright: ignore[reportArgumentType]
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, _ = readers[version](file)
    except DAMAGED as error:
        raise SynthError(f"{path}: {field}: cannot be read ({_short(error)})") from None
    if not shape or not all(isinstance(n, int) and 1 <= n < 2**31 for n in shape):
        raise SynthError(f"{path}: {field}: expected frames, got shape {shape}")
    return Header(frames=shape[0], fps=fps)


def write(
    path: Path, motion: Motion, betas: Float[Array, " B"], gender: str, *, model: str = "free", source: str = ""
) -> None:
    """Write a motion as AMASS does (SMPL+H layout, hands straight), compressed, in single precision.

    If SMPL's hand joints are bent, SMPL's own layout (72 numbers) is written, since SMPL+H has no place for them.
    The same arguments give the same bytes.

    Args:
        path: npz file to write.
        motion: World frame, Z up.
        betas: Shape of the person.
        gender: "neutral", "male" or "female".
        model: Body the betas belong to.
        source: Where the motion was recorded and how it was made.

    Raises:
        ValueError: unknown gender.
    """
    if gender not in GENDERS:
        raise ValueError(f"gender: expected one of {GENDERS}, got {gender!r}")
    frames = len(motion)
    poses = motion.full_pose.reshape(frames, 72)
    if not np.any(poses[:, 66:]):
        poses = np.concatenate([poses[:, :66], np.zeros((frames, 90))], axis=1)
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            poses=poses.astype(np.float32),
            trans=motion.transl.astype(np.float32),
            betas=np.asarray(betas, dtype=np.float32),
            gender=np.array(gender),
            mocap_framerate=np.float64(motion.fps),
            model=np.array(model),
            source=np.array(source or motion.source),
        )


def _opened(path: Path) -> NpzFile:
    try:
        arrays = np.load(path, allow_pickle=False)
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}", "Give an existing AMASS npz file") from None
    except DAMAGED:
        raise SynthError(f"{path}: not an npz file", "Give an AMASS npz file") from None
    if not isinstance(arrays, NpzFile):
        raise SynthError(f"{path}: a single array, not an npz file", "Give an AMASS npz file")
    too_big = [i.filename for i in arrays.zip.infolist() if i.file_size > MAX_FIELD] if arrays.zip else []
    if too_big:
        arrays.close()
        raise SynthError(f"{path}: {too_big[0]}: larger than {MAX_FIELD >> 30} GiB", "Give an AMASS npz file")
    return arrays


def _array(arrays: NpzFile, field: str, path: Path) -> Array:
    if field not in arrays:
        raise SynthError(f"{path}: field {field!r} is missing", "This is not an AMASS motion file")
    try:
        found = arrays[field]
    except DAMAGED as error:
        raise SynthError(f"{path}: {field}: cannot be read ({_short(error)})") from None
    if not isinstance(found, np.ndarray):  # a member without NumPy's mark is handed out as bytes
        raise SynthError(f"{path}: {field}: cannot be read (not an array)")
    return found


def _short(error: BaseException) -> str:
    """An error's message; damaged headers are long and hold anything."""
    return repr(str(error)[:120]) if str(error) else type(error).__name__


def _floats(arrays: NpzFile, field: str, path: Path) -> Array:
    """A field as float64; every number finite."""
    array = _array(arrays, field, path)
    if array.dtype.kind not in "fiu":
        raise SynthError(f"{path}: {field}: expected numbers, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        first = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        raise SynthError(f"{path}: {field}: not finite at row {first}")
    return array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pose:
    rotations: Float[Array, "T 24 3"]
    """Root and body, the hands straight unless the file is SMPL's."""
    width: int
    """Numbers a frame in the file."""


def _pose(arrays: NpzFile, path: Path) -> _Pose:
    if "poses" in arrays:
        poses = _floats(arrays, "poses", path)
    else:
        parts = [_floats(arrays, field, path) for field in ("root_orient", "pose_body")]
        if any(part.ndim != 2 or len(part) != len(parts[0]) for part in parts):
            shapes = " and ".join(str(part.shape) for part in parts)
            raise SynthError(f"{path}: root_orient, pose_body: expected (frames, 3) and (frames, 63), got {shapes}")
        poses = np.concatenate(parts, axis=1)
    if poses.ndim != 2 or poses.shape[1] not in WIDTHS or len(poses) == 0:
        widths = ", ".join(map(str, WIDTHS))
        raise SynthError(f"{path}: poses: expected (frames, one of {widths}), got {poses.shape}")
    kept = 72 if poses.shape[1] == 72 else 66
    pose = np.zeros((len(poses), 72))
    pose[:, :kept] = poses[:, :kept]
    return _Pose(rotations=pose.reshape(-1, 24, 3), width=poses.shape[1])


def _model(arrays: NpzFile, path: Path, width: int) -> str:
    """Whose body: as this project or AMASS ("surface_model_type", such as "smplx_locked_head") notes, or by width."""
    for field in ("model", "surface_model_type"):
        if field not in arrays:
            continue
        name = _text(arrays, field, path).lower()
        family = next((known for known in ("free", "smplx", "smplh", "smpl") if name.startswith(known)), None)
        if family is None:
            raise SynthError(f"{path}: {field}: {name[:40]!r} is not a body", "Give motions of SMPL, SMPL+H or SMPL-X")
        return family
    return FAMILIES[width] if "poses" in arrays else "smplx"


def _rate(arrays: NpzFile, path: Path) -> float:
    field = next((name for name in RATES if name in arrays), None)
    if field is None:
        raise SynthError(f"{path}: field {RATES[0]!r} is missing", "This is not an AMASS motion file")
    rate = _floats(arrays, field, path)
    if rate.size != 1 or not 0 < rate.item() < 10_000:
        raise SynthError(f"{path}: {field}: expected a rate in Hz, got {rate}")
    return float(rate.item())


def _betas(arrays: NpzFile, path: Path) -> Float[Array, " B"]:
    betas = _floats(arrays, "betas", path)
    if betas.ndim == 2 and len(betas) == 1:
        betas = betas[0]
    if betas.ndim != 1 or not 1 <= len(betas) <= MAX_BETAS:
        raise SynthError(f"{path}: betas: expected one row of 1 to {MAX_BETAS} numbers, got shape {betas.shape}")
    return betas


def _gender(arrays: NpzFile, path: Path) -> str:
    gender = _text(arrays, "gender", path)
    if gender not in GENDERS:
        raise SynthError(f"{path}: gender: expected one of {', '.join(GENDERS)}, got {gender[:40]!r}")
    return gender


def _text(arrays: NpzFile, field: str, path: Path) -> str:
    """A word, stored as str or bytes."""
    raw = _array(arrays, field, path)
    value = raw.item() if raw.size == 1 else raw.tolist()
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
