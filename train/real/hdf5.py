"""Reading arrays of HDF5 files of unknown origin (MATLAB's version 7.3 among them)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from train.real.files import Fields, readable

Array = np.ndarray

__all__ = ["Table", "hdf5_fields"]

_MAX_ARRAY = 1 << 32
_FILTERS = ("gzip", "lzf", None)


def hdf5_fields(path: Path, *names: str) -> Fields:
    """Read named arrays from the top of an HDF5 file; MATLAB's axes come in reverse order, as h5py gives them.

    Only data inside the file itself are read: links into other files are refused.

    Raises:
        SynthError: it is not an HDF5 file, or an array is damaged, too large or of another kind than numbers.
    """
    arrays = {}
    with readable(path, "HDF5"), h5py.File(path, "r") as file:
        for name in names:
            if (data := _dataset(path, file, name, "biuf")) is not None:
                if data.nbytes > _MAX_ARRAY:
                    raise ValueError(f"{name} of shape {data.shape} is too large")
                arrays[name] = data[()]
    return Fields(path, arrays)


def _dataset(path: Path, file: h5py.File, name: str, kinds: str) -> h5py.Dataset | None:
    """An array that holds its data itself; None if there is none of the name."""
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} lies in another file")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in kinds or data.shape is None:
        raise ValueError(f"{name} is not an array of numbers")
    if data.is_virtual or data.external or data.compression not in _FILTERS:
        raise ValueError(f"{name} does not hold its data itself")
    if data.nbytes > 1000 * path.stat().st_size:
        raise ValueError(f"{name} of shape {data.shape} does not fit the file")
    return data


class Table:
    """Arrays with one row for each frame, of which some rows at a time are read: the file may exceed the memory.

    Args:
        path: The file.
        texts: Names of columns of text (of fixed length).
        numbers: Names of columns of numbers.

    Raises:
        SynthError: it is not an HDF5 file, an array is damaged, or the columns differ in length.
    """

    def __init__(self, path: Path, texts: tuple[str, ...], numbers: tuple[str, ...]) -> None:
        self.path, self.kinds = path, dict.fromkeys(texts, "S") | dict.fromkeys(numbers, "biuf")
        self.shapes: dict[str, tuple[int, ...]] = {}
        with self._open() as file:
            for name, kinds in self.kinds.items():
                if (data := _dataset(path, file, name, kinds)) is not None:
                    self.shapes[name] = data.shape
        counts = {shape[:1] for shape in self.shapes.values()}
        if len(counts) > 1 or () in counts:
            said = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
            raise Fields(path, {}).wrong(next(iter(self.shapes)), "columns of one length", said)
        self.count = next(iter(counts))[0] if counts else 0

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        with readable(self.path, "HDF5"), h5py.File(self.path, "r") as file:
            yield file

    def rows(self, rows: slice, *names: str) -> Fields:
        """Some rows of some columns (of all without names); missing columns are left out.

        Raises:
            SynthError: the file is damaged.
        """
        with self._open() as file:
            return Fields(self.path, {name: self._part(file, name, rows) for name in names or self.shapes})

    def _part(self, file: h5py.File, name: str, rows: slice) -> Array:
        data = _dataset(self.path, file, name, self.kinds[name])
        if data is None or data.shape != self.shapes[name]:
            raise ValueError(f"{name} has changed")
        if (rows.stop - rows.start) * data.nbytes > _MAX_ARRAY * max(self.count, 1):
            raise ValueError(f"{name}: rows {rows.start} to {rows.stop} are too large")
        part = data[rows]
        return np.char.decode(part, "utf-8", "replace") if data.dtype.kind == "S" else part

    def runs(self, name: str, step: int = 1 << 16) -> Iterator[tuple[int, int, str]]:
        """Stretches of equal text in a column: first row, one after the last, text. Reads `step` rows at a time."""
        start, current = 0, None
        for begin in range(0, self.count, step):
            stop = min(begin + step, self.count)
            part = self.rows(slice(begin, stop), name)[name]
            cuts = [0, *(np.flatnonzero(part[1:] != part[:-1]) + 1).tolist()] if len(part) else []
            for cut in cuts:
                text = str(part[cut])
                if current is not None and text != current:
                    yield start, begin + cut, current
                if text != current:
                    start, current = begin + cut, text
        if current is not None:
            yield start, self.count, current
