"""The columns of VIBE's databases, checked: held in memory (joblib), or read a stretch at a time (HDF5)."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from synth.errors import SynthError
from train.real import pickled
from train.real.files import Fields
from train.real.hdf5 import Table

Array = np.ndarray

__all__ = ["WIDTHS_2D", "WIDTHS_3D", "Columns", "InFile", "InMemory", "opened"]

WIDTHS_2D = {14: "lsp14", 25: "insta25", 49: "spin49"}
"""Joint set of "joints2D" by its number of points."""
WIDTHS_3D = {14: "lsp14", 17: "mpi3d17", 24: "smpl24", 49: "spin49"}
SHAPES: dict[str, tuple[int | None, ...]] = {
    "joints2D": (None, 3), "joints3D": (None, 3), "pose": (72,), "shape": (10,), "theta": (82,), "bbox": (4,),
    "features": (None,), "valid": (),
}  # fmt: skip
MAX_ROWS, MAX_VIDEOS = 1 << 26, 1 << 22
_HDF5 = b"\x89HDF\r\n\x1a\n"


@runtime_checkable
class Columns(Protocol):
    """A database: stretches of rows of one video each, and their values."""

    def spans(self) -> list[tuple[int, int, str]]:
        """First row, one after the last, and name of each video."""
        ...

    def rows(self, start: int, stop: int) -> Fields:
        """Values of some rows, their shapes checked."""
        ...


def opened(path: Path) -> Columns:
    """Open a database of either form.

    Raises:
        SynthError: it is neither, or a column has another shape than VIBE gives it.
    """
    with path.open("rb") as file:
        start = file.read(8)
    return InFile(path) if start == _HDF5 else InMemory(path)


class InMemory:
    """A joblib file; numbers are kept in single precision."""

    def __init__(self, path: Path) -> None:
        fields = Fields(path, pickled.load(path))
        checked: dict[str, Any] = {"vid_name": _names(fields, "vid_name")}
        count = len(checked["vid_name"])
        held = {name: fields[name] for name in ("frame_id", "img_name") if name in fields}
        checked |= _columns(fields, count)
        if "frame_id" in held:
            checked["frame_id"] = _frame_numbers(fields, count)
        if "img_name" in held:
            checked["img_name"] = _names(fields, "img_name")
            if len(checked["img_name"]) != count:
                raise fields.wrong("img_name", f"{count} names", fields["img_name"])
            for name in np.unique(checked["img_name"]).tolist():
                if ".." in name.split("/"):
                    raise fields.wrong("img_name", "a path without '..'", name)
        self.path, self.columns = path, checked

    def spans(self) -> list[tuple[int, int, str]]:
        """First row, one after the last, and name of each video."""
        names = self.columns["vid_name"]
        if not len(names):
            return []
        cuts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
        return [(a, b, str(names[a])) for a, b in pairwise(cuts)]

    def rows(self, start: int, stop: int) -> Fields:
        """Values of some rows."""
        return Fields(self.path, {name: values[start:stop] for name, values in self.columns.items()})


class InFile:
    """VIBE's InstaVariety: HDF5, larger than most memories; keypoints in the crop of 224 pixels, no boxes."""

    def __init__(self, path: Path) -> None:
        self.table = Table(path, ("vid_name",), (*SHAPES, "frame_id"))
        if "vid_name" not in self.table.shapes:
            Fields(path, {})["vid_name"]  # raises: the field is missing
        if self.table.count > MAX_ROWS:
            raise SynthError(f"{path}: vid_name: {self.table.count} rows", "No such database is that long")
        self.path = path

    def spans(self) -> list[tuple[int, int, str]]:
        """First row, one after the last, and name of each video."""
        spans = []
        for span in self.table.runs("vid_name"):
            spans.append(span)
            if len(spans) > MAX_VIDEOS:
                raise SynthError(f"{self.path}: vid_name: more than {MAX_VIDEOS} videos", "Is it a database of VIBE's?")
        return spans

    def rows(self, start: int, stop: int) -> Fields:
        """Values of some rows."""
        fields = self.table.rows(slice(start, stop))
        checked = {"vid_name": fields["vid_name"]} | _columns(fields, stop - start)
        if "frame_id" in fields:
            checked["frame_id"] = _frame_numbers(fields, stop - start)
        return Fields(self.path, checked)


def _columns(fields: Fields, count: int) -> dict[str, Array]:
    """Columns of numbers with their shapes checked."""
    checked = {}
    for name, shape in SHAPES.items():
        if name in fields:
            checked[name] = fields.singles(name, count, *shape)
    if "features" in checked and not np.isfinite(checked["features"]).all():
        raise fields.wrong("features", "finite numbers", fields["features"])
    if "valid_i" in fields:  # MPI-INF-3DHP's test set
        flags = fields.array("valid_i")
        if flags.size != count:
            raise fields.wrong("valid_i", f"{count} flags", flags)
        checked["valid"] = flags.ravel().astype(np.float32)
    for name, known in (("joints2D", WIDTHS_2D), ("joints3D", WIDTHS_3D)):
        if name in checked and checked[name].shape[1] not in known:
            raise fields.wrong(name, f"one of {', '.join(map(str, known))} points", checked[name])
    return checked


def _names(fields: Fields, name: str) -> Array:
    """A column of text."""
    values = fields[name]
    array = np.asarray(values)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.ndim != 1 or array.dtype.kind != "U":
        raise fields.wrong(name, "a list of names", values)
    return array


def _frame_numbers(fields: Fields, count: int) -> Array:
    """Numbers of the frames; where VIBE keeps names of pictures (MPI-INF-3DHP), the number they end in."""
    values = np.asarray(fields["frame_id"])
    if values.dtype.kind not in "SU":
        return fields.integers("frame_id", count)
    found = [re.search(r"(\d{1,15})\D*$", str(text)) for text in _names(fields, "frame_id").tolist()]
    if len(found) != count:
        raise fields.wrong("frame_id", f"{count} names", values)
    return np.array([int(match[1]) if match else i for i, match in enumerate(found)], dtype=np.int64)
