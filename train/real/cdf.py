"""Read a variable of a CDF file (NASA's Common Data Format, versions 2.6 to 3.9), as Human3.6M distributes its poses.

Written for untrusted files: readers at hand follow a damaged chain of records without end. Source: "CDF Internal Format
Description"; the names of records and fields below are its names.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError
from train.real.files import readable

Array = np.ndarray

__all__ = ["cdf_array"]

_MAGIC = {0xCDF30001: (8, 256), 0xCDF26002: (4, 64)}
"""Width of offsets and length of names [bytes] by version."""
_PLAIN, _COMPRESSED = 0x0000FFFF, 0xCCCC0001
_RVDR, _VXR, _VVR, _ZVDR, _CCR, _CVVR = 3, 6, 7, 8, 10, 13
_REALS = {21: "f4", 22: "f8", 44: "f4", 45: "f8"}
_LITTLE, _BIG = {6, 13, 16}, {1, 2, 5, 7, 9, 11, 12, 18}
_MAX_BYTES = 1 << 31
_MAX_RECORDS = 100_000


def cdf_array(path: Path, name: str, width: int) -> Float[Array, "T W"]:
    """Read a variable of real numbers as rows of `width`.

    Args:
        path: A CDF file; variables may be compressed, and so may the whole file.
        name: The variable.
        width: Expected length of its last axis.

    Raises:
        SynthError: it is not a CDF file, is damaged, or has no such variable.
    """
    with readable(path, "CDF"):
        values = _File(path.read_bytes()).variable(name)
    if values.ndim < 2 or values.shape[-1] != width or not values.size:
        raise SynthError(f"{path}: {name}: expected rows of {width} numbers, got {values.shape}")
    rows = values.reshape(-1, width).astype(np.float64)
    return np.where(np.isfinite(rows), rows, np.nan)


class _Variable(NamedTuple):
    dtype: np.dtype
    records: int
    dims: tuple[int, ...]
    first: int
    """Offset of the first record of its index."""


class _File:
    """A CDF in memory. Offsets are from its start; every read is held against its end."""

    def __init__(self, raw: bytes) -> None:
        magic, kind = struct.unpack_from(">II", raw, 0)
        if magic not in _MAGIC or kind not in (_PLAIN, _COMPRESSED):
            raise ValueError("not a CDF file of version 2.6 or later")
        self.wide, self.name_length = _MAGIC[magic]
        self.raw, self.steps = raw, 0
        if kind == _COMPRESSED:
            self.raw = raw[:8] + self.inflated(8)
        *_, gdr, _, _, encoding, flags = self.numbers(8, "oiOiiii")
        self.order = "<" if encoding in _LITTLE else ">" if encoding in _BIG else ""
        if not self.order:
            raise ValueError(f"numbers in encoding {encoding}")
        self.row_major, self.gdr = bool(flags & 1), gdr

    def numbers(self, at: int, kinds: str) -> tuple[int, ...]:
        """Numbers one after the other: "i" of 4 bytes, "o" and "O" of an offset's width."""
        wide = "q" if self.wide == 8 else "i"
        return struct.unpack_from(">" + kinds.replace("o", wide).replace("O", wide), self.raw, self._at(at))

    def _at(self, at: int) -> int:
        self.steps += 1
        if at < 0 or self.steps > _MAX_RECORDS:
            raise ValueError("a chain of records without end")
        return at

    def inflated(self, at: int) -> bytes:
        """Content of a compressed record (the file's, or a stretch of values), in gzip's form."""
        if struct.unpack_from(">i", self.raw, at + self.wide)[0] == _CCR:
            size, _, _, plain, _ = self.numbers(at, "oiooi")
            begin = at + 3 * self.wide + 8
            return _unzipped(self.raw[begin : at + size], plain)
        _, _, _, size = self.numbers(at, "oiio")
        begin = at + 2 * self.wide + 8
        return _unzipped(self.raw[begin : begin + size], _MAX_BYTES)

    def variable(self, name: str) -> Array:
        """Values of a variable: (records, *dims)."""
        for found, variable in self.variables():
            if found == name:
                return self.values(variable)
        raise ValueError(f"no variable {name!r}")

    def variables(self) -> Iterator[tuple[str, _Variable]]:
        _, _, r_head, z_head, _, _, _, _, _, r_count, _, _, _, _, _ = self.numbers(self.gdr, "oiooooiiiiioiii")
        if not 0 <= r_count <= 8:
            raise ValueError("damaged dimensions")
        r_dims = self.numbers(self.gdr + 6 * self.wide + 36, "i" * r_count)
        for head in (z_head, r_head):
            at = head
            while at > 0:
                following, name, variable = self.described(at, r_dims)
                yield name, variable
                at = following

    def described(self, at: int, r_dims: tuple[int, ...]) -> tuple[int, str, _Variable]:
        """Offset of the next variable, this one's name, and what it is."""
        _, kind, following, data_type, last, index, *_ = self.numbers(at, "oioiioo")
        begin = at + 5 * self.wide + 44
        raw = self.raw[begin : begin + self.name_length]
        name = raw.split(b"\0")[0].decode("ascii", "replace").strip()
        dims, varies_at = r_dims, begin + self.name_length
        if kind == _ZVDR:
            (count,) = self.numbers(varies_at, "i")
            if not 0 <= count <= 8:
                raise ValueError("damaged dimensions")
            dims, varies_at = self.numbers(varies_at + 4, "i" * count), varies_at + 4 + 4 * count
        elif kind != _RVDR:
            raise ValueError(f"a variable of record type {kind}")
        varies = self.numbers(varies_at, "i" * len(dims))
        dims = tuple(size if vary else 1 for size, vary in zip(dims, varies, strict=True))
        dtype = np.dtype(self.order + _REALS[data_type]) if data_type in _REALS else np.dtype("V1")
        return following, name, _Variable(dtype=dtype, records=last + 1, dims=dims, first=index)

    def values(self, variable: _Variable) -> Array:
        dtype, records, dims, _ = variable
        if dtype.kind != "f" or min((records, *dims)) < 1:
            raise ValueError("not a variable of real numbers")
        size = math.prod(dims) * dtype.itemsize
        if records * size > _MAX_BYTES:
            raise ValueError(f"{records} records of {dims}")
        parts = dict(self.stretches(variable.first, size, 0))
        raw = b"".join(parts[first] for first in sorted(parts))
        if len(raw) != records * size:
            raise ValueError(f"{len(raw)} bytes for {records} records of {dims}")
        values = np.frombuffer(raw, dtype)
        if self.row_major:
            return values.reshape(records, *dims)
        return np.stack([row.reshape(dims, order="F") for row in values.reshape(records, -1)])

    def stretches(self, at: int, size: int, depth: int) -> Iterator[tuple[int, bytes]]:
        """First record and bytes of each stretch of values that an index, or an index of indices, leads to."""
        if depth > 4:
            raise ValueError("an index without end")
        while at > 0:
            _, kind, following, count, used = self.numbers(at, "oioii")
            if kind != _VXR or not 0 <= used <= count <= _MAX_RECORDS:
                raise ValueError("a damaged index")
            begin = at + 2 * self.wide + 12
            first, last = (self.numbers(begin + 4 * n * count, "i" * used) for n in (0, 1))
            offsets = self.numbers(begin + 8 * count, "o" * used)
            for start, stop, offset in zip(first, last, offsets, strict=True):
                (inner,) = struct.unpack_from(">i", self.raw, self._at(offset) + self.wide)
                if inner == _VXR:
                    yield from self.stretches(offset, size, depth + 1)
                    continue
                if inner not in (_VVR, _CVVR) or not 0 <= start <= stop:
                    raise ValueError("a damaged index")
                length = (stop - start + 1) * size
                data = self.raw[offset + self.wide + 4 :][:length] if inner == _VVR else self.inflated(offset)[:length]
                if len(data) != length:
                    raise EOFError("cut short")
                yield start, data
            at = following


def _unzipped(content: bytes, size: int) -> bytes:
    """What gzip packed, `size` bytes at most."""
    if content[:2] != b"\x1f\x8b":
        raise ValueError("a compression other than gzip")
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    plain = inflater.decompress(content, min(max(size, 1), 1000 * len(content) + 1024))
    if not inflater.eof:
        raise gzip.BadGzipFile("compressed data are damaged")
    return plain
