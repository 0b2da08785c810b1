"""Read MATLAB files of version 5 to 7 in pure Python, so that a damaged one cannot bring the process down.

`scipy.io.loadmat` reads past its buffers on damaged files (a segmentation fault after a handful of flipped bytes). The
format is small: a header of 128 bytes, then tagged elements; MATLAB's "MAT-File Format" describes it.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from synth.errors import SynthError
from train.real.files import Fields, readable

__all__ = ["mat_fields"]

_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
    18: "u4",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _NUMBERS = 1, 2, 3, 4, range(6, 16)
_CLASSES = dict(zip(_NUMBERS, ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True))
_MAX_DEPTH = 16
_MAX_INFLATION = 1000


def mat_fields(path: Path, *names: str) -> Fields:
    """Read variables of a MATLAB file.

    Args:
        path: A file of version 5 to 7 (version 7.3 is HDF5).
        names: Variables to read; all without.

    Returns:
        Numbers as arrays with MATLAB's own axes (two at least), text as str, cells as lists in MATLAB's order,
        structure arrays as lists of dictionaries. Variables that are missing are left out.

    Raises:
        SynthError: it is not such a file, or it is damaged.
    """
    with readable(path, "MATLAB"):
        raw = path.read_bytes()
        if raw[:8] == b"\x89HDF\r\n\x1a\n" or raw[512:520] == b"\x89HDF\r\n\x1a\n":
            raise SynthError(f"{path}: a MATLAB file of version 7.3", "Save it with -v7 in MATLAB")
        order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
        if len(raw) < 128 or order is None:
            raise SynthError(f"{path}: not a MATLAB file", "Unpack or download it again")
        found: dict[str, Any] = {}
        reader = _Elements(raw, 128, len(raw), order)
        while reader.left() >= 8:
            name, value = reader.variable(set(names))
            if name is not None and (not names or name in names):
                found[name] = value
    return Fields(path, found)


class _Elements:
    """Tagged elements in a stretch of bytes, taken one after the other; never past its end."""

    def __init__(self, raw: bytes | memoryview, start: int, stop: int, order: str) -> None:
        self.raw, self.at, self.stop, self.order = memoryview(raw), start, stop, order

    def left(self) -> int:
        return self.stop - self.at

    def take(self) -> tuple[int, memoryview]:
        """Type and content of the next element."""
        if self.left() < 8:
            raise EOFError("cut short")
        first, size = struct.unpack_from(self.order + "II", self.raw, self.at)
        if first >> 16:  # four bytes or fewer stand in the tag itself
            kind, size, begin, end = first & 0xFFFF, first >> 16, self.at + 4, self.at + 8
            if size > 4:
                raise ValueError("a damaged tag")
        else:
            kind, begin = first, self.at + 8
            end = begin + size if kind == _COMPRESSED else begin + -(-size // 8) * 8
        if begin + size > self.stop:
            raise EOFError("cut short")
        self.at = min(end, self.stop)
        return kind, self.raw[begin : begin + size]

    def variable(self, wanted: set[str]) -> tuple[str | None, Any]:
        """Name and value of the next variable; None for one that is not wanted or not data."""
        kind, content = self.take()
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            plain = inflater.decompress(content, _MAX_INFLATION * len(content) + 1024)
            if not inflater.eof:
                raise ValueError("compressed data are damaged")
            return _Elements(plain, 0, len(plain), self.order).variable(wanted)
        if kind != _MATRIX:
            return None, None
        return _Elements(content, 0, len(content), self.order).matrix(wanted, 0)

    def numbers(self) -> np.ndarray:
        """An element of numbers."""
        kind, content = self.take()
        if kind not in _TYPES:
            raise ValueError(f"numbers of type {kind}")
        dtype = np.dtype(self.order + _TYPES[kind])
        if len(content) % dtype.itemsize:
            raise ValueError("numbers cut short")
        return np.frombuffer(content, dtype)

    def matrix(self, wanted: set[str], depth: int) -> tuple[str | None, Any]:
        """Name and value of a matrix, of which this stretch is the content."""
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deep")
        if not self.left():
            return "", np.zeros((0, 0))
        flags = self.numbers()
        shape = tuple(int(n) for n in self.numbers())
        if not len(flags) or not 1 <= len(shape) <= 8 or min(shape) < 0:
            raise ValueError("a damaged matrix")
        name = self.numbers().tobytes().decode("ascii", "replace")
        if wanted and not depth and name not in wanted:
            return None, None
        kind, count = int(flags[0]) & 0xFF, math.prod(shape)
        if kind in _CLASSES:
            return name, self.numeric(kind, shape, bool(int(flags[0]) & 0x800))
        if kind == _CHAR:
            return name, self.text(count)
        if kind == _CELL:
            return name, [self.inner(depth) for _ in range(self.bounded(count))]
        if kind in (_STRUCT, _OBJECT):
            return name, self.structs(kind, count, depth)
        raise ValueError(f"a matrix of class {kind}")

    def numeric(self, kind: int, shape: tuple[int, ...], is_complex: bool) -> np.ndarray:
        if is_complex:
            raise ValueError("complex numbers")
        values = self.numbers()
        if len(values) != math.prod(shape):
            raise ValueError(f"{len(values)} numbers for {shape}")
        with np.errstate(invalid="ignore", over="ignore"):
            return values.astype(_CLASSES[kind]).reshape(shape, order="F")

    def text(self, count: int) -> str:
        if not count:
            return ""
        kind, content = self.take()
        codes = {16: "utf-8", 17: "utf-16", 18: "utf-32", 4: "utf-16"}
        code = codes.get(kind, "latin1")
        if code in ("utf-16", "utf-32"):
            code += "-le" if self.order == "<" else "-be"
        return bytes(content).decode(code, "replace")

    def bounded(self, count: int) -> int:
        """A number of elements, each of which takes eight bytes at least."""
        if count * 8 > self.left():
            raise EOFError("cut short")
        return count

    def inner(self, depth: int) -> Any:
        kind, content = self.take()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} in a cell")
        return _Elements(content, 0, len(content), self.order).matrix(set(), depth + 1)[1]

    def structs(self, kind: int, count: int, depth: int) -> list[dict[str, Any]]:
        if kind == _OBJECT:
            self.take()  # name of its class
        sizes = self.numbers()
        size = int(sizes[0]) if len(sizes) else 0
        packed = self.numbers().tobytes()
        if not 1 <= size <= 256 or len(packed) % size:
            if not packed:
                return [{} for _ in range(min(count, self.stop))]
            raise ValueError("damaged field names")
        names = [packed[i : i + size].split(b"\0")[0].decode("ascii", "replace") for i in range(0, len(packed), size)]
        self.bounded(count * len(names))
        return [{name: self.inner(depth) for name in names} for _ in range(count if names else min(count, self.stop))]
