"""Motion out of this project's own clips (shards, HDF5): rendered clips can be sampled again, or seen by other code."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from synth.errors import SynthError
from synth.motion.amass import GENDERS, MAX_BETAS, Header, Recording
from synth.types import Motion

Array = np.ndarray

SUFFIX = ".h5"
MAX_FRAMES = 10**6
ROWS = {"global_orient": (3,), "body_pose": (23, 3), "transl": (3,)}


def read(path: Path, *, name: str | None = None, start: int = 0, stop: int | None = None) -> Recording:
    """Read the motion of a clip; see `synth.motion.amass.read` for the arguments.

    The frames' numbers are those of the clip, not of the recording that it was made from.

    Raises:
        SynthError: the file is not a clip of this project; the message names file and field.
    """
    with _opened(path) as file:
        frames = _frames(file, path)
        if not 0 <= start < (frames if stop is None else min(stop, frames)) or (stop or 0) > frames:
            raise SynthError(f"{path}: no frames [{start}, {stop}) in a clip of {frames}")
        cut = slice(start, stop)
        parts = {field: _numbers(file, field, path, cut) for field in ROWS}
        betas = _numbers(file, "betas", path, slice(None))
        model = _model(file, path)
        fps = _rate(file, path)
    motion = Motion(
        fps=fps,
        **parts,
        source=path.stem if name is None else name,
        source_frames=np.arange(frames, dtype=np.float64)[cut],
    )
    return Recording(motion=motion, betas=betas, gender=model["gender"], model=model["name"])


def header(path: Path) -> Header:
    """Number of frames and rate.

    Raises:
        SynthError: the file is not a clip of this project.
    """
    with _opened(path) as file:
        return Header(frames=_frames(file, path), fps=_rate(file, path))


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file; whatever HDF5 finds wrong in it is a SynthError."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        why = str(error)[:120]
        raise SynthError(f"{path}: cannot be read as a clip ({why})", "Give a clip made by synth render") from None


def _dataset(file: h5py.File, field: str, path: Path) -> h5py.Dataset:
    item = file.get(f"smpl/{field}", getlink=False)
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        raise SynthError(f"{path}: field smpl/{field} is missing", "Give a clip made by synth render")
    return item


def _frames(file: h5py.File, path: Path) -> int:
    shape = _dataset(file, "body_pose", path).shape
    if len(shape) != 3 or shape[1:] != (23, 3) or not 1 <= shape[0] <= MAX_FRAMES:
        raise SynthError(f"{path}: smpl/body_pose: expected (frames, 23, 3), got {shape}")
    return shape[0]


def _numbers(file: h5py.File, field: str, path: Path, cut: slice) -> Array:
    item = _dataset(file, field, path)
    wanted = (_frames(file, path), *ROWS[field]) if field in ROWS else None
    fits = item.shape == wanted if wanted else len(item.shape) == 1 and 1 <= item.shape[0] <= MAX_BETAS
    if not fits or item.dtype.kind != "f":
        raise SynthError(f"{path}: smpl/{field}: expected numbers {wanted or (MAX_BETAS,)}, got {item.shape}")
    array = np.asarray(item[cut], dtype=np.float64)
    if not np.isfinite(array).all():
        raise SynthError(f"{path}: smpl/{field}: not finite")
    return array


def _rate(file: h5py.File, path: Path) -> float:
    fps = file.attrs.get("fps")
    if not isinstance(fps, (int, float, np.integer, np.floating)) or not 0 < fps < 10_000:
        raise SynthError(f"{path}: attribute fps: expected a rate in Hz")
    return float(fps)


def _model(file: h5py.File, path: Path) -> dict[str, str]:
    try:
        model = json.loads(str(file.attrs["body_model"]))
        name, gender = str(model["name"]), str(model["gender"])
    except (KeyError, ValueError, TypeError):
        raise SynthError(f"{path}: attribute body_model is missing", "Give a clip made by synth render") from None
    if gender not in GENDERS:
        raise SynthError(f"{path}: body_model: expected one of {', '.join(GENDERS)}, got {gender[:40]!r}")
    return {"name": name, "gender": gender}
