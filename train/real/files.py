"""Reading JSON and npz files of unknown origin: checked fields, and errors that name file and field."""

import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError

Array = np.ndarray

__all__ = ["Fields", "json_fields", "natural", "npz_fields", "readable", "real_text"]

_MAX_ARRAY = 1 << 34
"""Size [bytes] of the largest array taken from a compressed file."""


def natural(path: Path) -> tuple[int | str, ...]:
    """Key that sorts names with numbers by the numbers: TS2 before TS10."""
    parts: list[str] = []
    for char in path.name:
        if parts and parts[-1][-1].isdigit() == char.isdigit():
            parts[-1] += char
        else:
            parts.append(char)
    return tuple(f"{int(part):020d}" if part.isdecimal() else part for part in parts)


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader raise into one clear error."""
    try:
        yield
    except SynthError:
        raise
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # parsers of damaged files raise anything at all
        text = f"{type(error).__name__}: {error}"[:200]
        raise SynthError(f"{path}: not a readable {kind} file ({text})", "Unpack or download it again") from error


def real_text(array: Array) -> bool:
    """Whether an array's text, if it holds any, can become Python's: NumPy keeps whatever numbers a file holds."""
    if array.dtype.kind != "U" or not array.size:
        return True
    codes = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).view(np.uint32)
    return bool(codes.max(initial=0) <= 0x10FFFF)


class Fields(Mapping[str, Any]):
    """Named values out of a file, checked as they are taken.

    Args:
        path: The file, for messages.
        content: The values.
        where: Where in the file they stand, for messages, such as "data[3]".
    """

    def __init__(self, path: Path, content: Any, where: str = "") -> None:
        self.path, self.where = path, where
        if not isinstance(content, Mapping):
            raise SynthError(f"{path}: {where or 'top level'}: expected named fields, got {_said(content)}")
        self.content = content

    def __getitem__(self, name: str) -> Any:
        if name not in self.content:
            raise SynthError(f"{self.path}: {self.at(name)}: field is missing", "Is it a file of this data set?")
        return self.content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)

    def __contains__(self, name: object) -> bool:
        return name in self.content

    def at(self, name: str) -> str:
        """Where a field stands, for messages."""
        return f"{self.where}.{name}" if self.where else name

    def wrong(self, name: str, expected: str, got: Any) -> SynthError:
        """The error to raise on a field that is not as it should be."""
        return SynthError(f"{self.path}: {self.at(name)}: expected {expected}, got {_said(got)}")

    def array(self, name: str, *shape: int | None) -> Float[Array, "..."]:
        """A field of numbers as float64; what is infinite becomes NaN.

        Args:
            name: The field.
            *shape: Expected lengths of the axes, None for any; nothing at all for any shape.
        """
        value = self[name]
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "biuf":
                raise TypeError
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise self.wrong(name, "numbers", value) from None
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if shape and not fits:
            wanted = ", ".join("*" if n is None else str(n) for n in shape)
            raise self.wrong(name, f"shape ({wanted})", array)
        return np.where(np.isfinite(array), array, np.nan)

    def singles(self, name: str, *shape: int | None) -> Float[Array, "..."]:
        """A field of numbers as float32; what does not fit becomes NaN."""
        array = self.array(name, *shape)
        return np.where(np.abs(array) < np.finfo(np.float32).max, array, np.nan).astype(np.float32)

    def number(self, name: str) -> float:
        """A single number."""
        array = self.array(name)
        if array.size != 1 or not np.isfinite(array).all():
            raise self.wrong(name, "one number", self[name])
        return float(array.item())

    def integer(self, name: str) -> int:
        """A single whole number."""
        number = self.number(name)
        if number != round(number) or abs(number) > 1 << 53:
            raise self.wrong(name, "a whole number", self[name])
        return int(number)

    def integers(self, name: str, *shape: int | None) -> Array:
        """A field of whole numbers as int64."""
        array = self.array(name, *shape)
        if not (np.isfinite(array).all() and (array == np.round(array)).all() and (np.abs(array) < 1 << 53).all()):
            raise self.wrong(name, "whole numbers", self[name])
        return array.astype(np.int64)

    def text(self, name: str) -> str:
        """A short text, safe as part of a path below a folder."""
        value = self[name]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str) or len(value) > 4096 or "\0" in value:
            raise self.wrong(name, "text", value)
        return value

    def below(self, folder: Path, name: str) -> Path:
        """A path below a folder, from a text that must not lead out of it."""
        text = self.text(name).replace("\\", "/")
        if text.startswith("/") or ".." in text.split("/"):
            raise self.wrong(name, "a path inside the data set", text)
        return folder / text

    def fields(self, name: str) -> "Fields":
        """A field that holds named fields itself, or a list of one that does (a MATLAB structure)."""
        return Fields(self.path, _only(self[name]), self.at(name))

    def rows(self, name: str) -> list["Fields"]:
        """A field that holds a list of named fields."""
        value = self[name]
        if not isinstance(value, list):
            raise self.wrong(name, "a list", value)
        return [Fields(self.path, _only(row), f"{self.at(name)}[{i}]") for i, row in enumerate(value)]

    def items(self, name: str | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A field's list, item by item as fields "0", "1" ...; without a name, all fields as of a mapping."""
        if name is None:
            return super().items()
        value = self[name]
        if not isinstance(value, list | np.ndarray) or (isinstance(value, np.ndarray) and not value.ndim):
            raise self.wrong(name, "a list", value)
        return Fields(self.path, {str(i): item for i, item in enumerate(value)}, self.at(name))


def _only(value: Any) -> Any:
    """The one item of a list of one, which is how a MATLAB structure that is no array is read."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _said(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)[:80]


def json_fields(path: Path) -> Fields:
    """Read a JSON file.

    Raises:
        SynthError: it is not JSON, or not an object at its top.
    """
    with readable(path, "JSON"):
        content = json.loads(path.read_bytes())
    return Fields(path, content)


def npz_fields(path: Path, *names: str) -> Fields:
    """Read arrays of an npz file, never unpickling; those that are missing are left out.

    Raises:
        SynthError: it is not an npz file, or an array is damaged.
    """
    arrays = {}
    with readable(path, "npz"), zipfile.ZipFile(path) as archive:
        held = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        for name in names or tuple(held):
            if name in held:
                arrays[name] = _npy(path, archive, held[name], name)
    return Fields(path, arrays)


def _npy(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Array:
    """One array, its header held against the member's size before anything is allocated."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)  # pyright: ignore[reportArgumentType]
            shape, fortran, dtype = readers[version](file)
            size = math.prod(shape) * dtype.itemsize
            if dtype.hasobject or size > min(info.file_size, _MAX_ARRAY):
                raise ValueError(f"{dtype} {shape} in {info.file_size} bytes")
            raw = file.read(size)
        if len(raw) != size:
            raise ValueError("cut short")
        if not size:
            return np.zeros(shape, dtype)
        array = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
        if not real_text(array):
            raise ValueError("text of impossible characters")
        return array
    except (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise SynthError(f"{path}: {name}: cannot be read ({error})"[:300], "Unpack or download it again") from error
