"""Read shards: frames and windows in physical units, from any process, never trusting the file."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from synth.errors import SynthError
from synth.shards import checksum, schema

Array = np.ndarray

__all__ = ["CLIP_FIELDS", "VIEW_FIELDS", "ShardReader", "check_checksums", "checksum_faults", "decode_jpeg"]

VIEW_FIELDS = tuple(name for name in schema.VIEW if name != "rgb_offsets")
CLIP_FIELDS = ("fps", *schema.CLIP)
_AGAIN = "Delete it and run the same `synth render` command again"
_BROKEN = (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, AttributeError)


class ShardReader:
    """One shard. It opens the file when first asked, once in each process, so it can be sent to DataLoader workers.

    Fields are named as in the schema: "rgb", "depth", "keypoints_2d", "smpl_camera/transl" ... belong to a view;
    "smpl/betas", "joints_world", "keypoints_world/coco17", "garments/<name>/vertices_world" ... to the clip.

    Args:
        path: The file.

    Raises:
        SynthError: on use, if the file is missing, damaged or not a shard; the message names file and field.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._forget()

    def _forget(self) -> None:
        self._file: h5py.File | None = None
        self._process = -1
        self._datasets: dict[str, h5py.Dataset] = {}
        self._attributes: dict[str, Any] = {}
        self._expected: dict[str, schema.Expected] = {}
        self._layout: schema.Layout | None = None

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._forget()

    @property
    def file(self) -> h5py.File:
        """The open file of this process."""
        if self._file is None or self._process != os.getpid():
            self._forget()  # after a fork the parent's handle is dropped, not closed
            if not self.path.is_file():
                raise SynthError(f"{self.path}: no such shard", "`synth info DIR` lists what is there")
            with _named(self.path, "the file"):
                self._file = h5py.File(self.path, "r", locking=False)
            self._process = os.getpid()
        return self._file

    @property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes (see `schema.ATTRIBUTES`)."""
        if not self._attributes or self._process != os.getpid():
            file = self.file
            for name in schema.ATTRIBUTES:
                with _named(self.path, f"attribute {name!r}"):
                    value = file.attrs.get(name, schema.LATER[name]) if name in schema.LATER else file.attrs[name]
                    self._attributes[name] = value.item() if isinstance(value, np.generic) else value
            _check_attributes(self._attributes, self.path)
        return self._attributes

    @property
    def layout(self) -> schema.Layout:
        """Counts of frames, views, vertices, garments."""
        if self._layout is None or self._process != os.getpid():
            self._layout = schema.Layout.from_json(self.attributes["layout"], str(self.path))
            self._expected = schema.expected(self._layout)
        return self._layout

    def __len__(self) -> int:
        return self.layout.frames

    def dataset(self, path: str) -> h5py.Dataset:
        """A dataset, checked against the schema: type, shape, and that its bytes lie in this very file.

        Raises:
            SynthError: it is not there, or not what the schema says.
            ValueError: the schema has no such dataset.
        """
        layout = self.layout
        if path not in self._datasets:
            if path not in self._expected:
                raise ValueError(
                    f"{self.path.name}: no field {path!r}; views 0-{layout.views - 1}, see synth.shards.schema"
                )
            with _named(self.path, path):
                self._datasets[path] = _checked(self.file, path, self._expected[path])
        return self._datasets[path]

    def clip(self, name: str, start: int = 0, length: int | None = None) -> Array:
        """A field of the clip in physical units; fields that have frames are cut to [start, start + length)."""
        if name == "fps":
            return np.asarray(self.attributes["fps"])
        dataset = self.dataset(name)
        kind = self._expected[name].kind
        with _named(self.path, name):
            cut = slice(*self._range(start, length)) if kind.shape[0] == "T" else ()
            return schema.decode(kind, dataset[cut])

    def window(self, view: int, start: int, length: int, fields: Iterable[str] = VIEW_FIELDS) -> dict[str, Array]:
        """Consecutive frames of one view.

        Args:
            view: Number of the view.
            start: First frame.
            length: Number of frames.
            fields: Names of fields of the view or of the clip.

        Returns:
            Each field in physical units; rgb (length, H, W, 3) uint8, maps float32, the rest as stored. What has no
            frames (K, betas, faces) comes whole.

        Raises:
            ValueError: an unknown field, or frames outside the clip.
            SynthError: the file is damaged; names file and field.
        """
        first, last = self._range(start, length)
        return {name: self._field(view, name, first, last) for name in fields}

    def frame(self, view: int, t: int, fields: Iterable[str] = VIEW_FIELDS) -> dict[str, Array]:
        """One frame of one view: as `window`, without the axis of time."""
        fields = tuple(fields)
        window = self.window(view, t, 1, fields)
        return {name: array[0, ...] if self._has_frames(name) else array for name, array in window.items()}

    def jpeg(self, view: int, t: int) -> bytes:
        """The JPEG file of one picture."""
        return self._jpegs(view, t, t + 1)[0]

    def _has_frames(self, name: str) -> bool:
        if name == "rgb":
            return True
        path = f"views/0/{name}" if name in schema.VIEW else name
        return name != "fps" and self._expected[path].kind.shape[0] == "T"

    def _range(self, start: int, length: int | None) -> tuple[int, int]:
        stop = self.layout.frames if length is None else start + length
        if not 0 <= start <= stop <= self.layout.frames:
            raise ValueError(f"{self.path.name}: frames [{start}, {stop}) are outside the clip's {self.layout.frames}")
        return start, stop

    def _field(self, view: int, name: str, first: int, last: int) -> Array:
        if name == "rgb":
            size = (self.layout.width, self.layout.height)
            with _named(self.path, f"views/{view}/rgb"):
                return np.stack([decode_jpeg(jpeg, size) for jpeg in self._jpegs(view, first, last)])
        if name in schema.VIEW:
            return self.clip(f"views/{view}/{name}", first, last - first)
        return self.clip(name, first, last - first)

    def _jpegs(self, view: int, first: int, last: int) -> list[bytes]:
        bytes_, offsets = self.dataset(f"views/{view}/rgb"), self.dataset(f"views/{view}/rgb_offsets")
        with _named(self.path, f"views/{view}/rgb"):
            ends = offsets[first : last + 1].tolist()
            if ends != sorted(ends) or ends[0] < 0 or ends[-1] > len(bytes_):
                raise ValueError("rgb_offsets point outside the pictures")
            block = bytes_[ends[0] : ends[-1]].tobytes()
        return [block[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]


def decode_jpeg(jpeg: bytes, size: tuple[int, int]) -> Array:
    """Decode a JPEG file that must have this size (width, height), checked before its pixels are unpacked.

    Raises:
        ValueError: another size, or not a colour JPEG.
        OSError: damaged.
    """
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        if picture.size != size or picture.mode != "RGB":
            raise ValueError(f"expected an RGB picture of {size}, got {picture.mode} {picture.size}")
        return np.asarray(picture)


@contextlib.contextmanager
def _named(path: Path, field: str) -> Iterator[None]:
    """Turn what HDF5 and Pillow raise on a bad file into a SynthError that names file and field."""
    try:
        yield
    except SynthError:
        raise
    except _BROKEN as error:
        raise SynthError(f"{path}: {field} cannot be read ({str(error) or type(error).__name__})", _AGAIN) from error


def _check_attributes(attributes: dict[str, Any], path: Path) -> None:
    for name, value in attributes.items():
        wanted = {"schema_version": int, "fps": float}.get(name, str)
        if not isinstance(value, wanted):
            raise SynthError(f"{path}: attribute {name!r} is not a {wanted.__name__}", _AGAIN)
    if attributes["schema_version"] != schema.SCHEMA_VERSION:
        raise SynthError(
            f"{path}: schema version {attributes['schema_version']}, this program reads {schema.SCHEMA_VERSION}",
            "Read it with the version of the program that wrote it, or render it anew",
        )


def _checked(file: h5py.File, path: str, wanted: schema.Expected) -> h5py.Dataset:
    """Open a dataset, following no soft or external link and reading no other file."""
    node: Any = file
    for name in path.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name!r} is missing or a link to elsewhere")
        node = node[name]
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external is not None:
        raise ValueError("not a dataset with its bytes in this file")
    fits = len(node.shape) == len(wanted.shape) and all(
        w in (-1, g) for w, g in zip(wanted.shape, node.shape, strict=True)
    )
    if node.dtype.str != wanted.kind.dtype or not fits:
        raise ValueError(f"expected {wanted.kind.dtype} {wanted.shape}, got {node.dtype.str} {node.shape}")
    return node


def check_checksums(path: Path) -> list[str]:
    """Compare every dataset and the attributes with the shard's own table.

    Args:
        path: The file.

    Returns:
        A sentence for each disagreement, naming the field; empty if all is right.

    Raises:
        SynthError: the file cannot be read at all.
    """
    with ShardReader(path) as reader:
        return checksum_faults(reader)


def checksum_faults(reader: ShardReader, known: Mapping[str, str] | None = None) -> list[str]:
    """As `check_checksums`, of a shard that is open already.

    Args:
        reader: The shard.
        known: Digests of datasets that were read just now, which need not be read again.
    """
    path, wanted = reader.path, schema.expected(reader.layout)
    with _named(path, "checksums"):
        columns = [_text_column(reader.file, name, len(wanted) + 1) for name in schema.CHECKSUMS]
    table = dict(zip(*columns, strict=True))
    faults = [f"{name}: not in the table of checksums" for name in ("attributes", *wanted) if name not in table]
    for name in wanted:
        with _named(path, name):
            found = (known or {}).get(name) or checksum.content_digest(name, reader.dataset(name))
            if table.get(name, found) != found:
                faults.append(f"{name}: content differs from its checksum")
    with _named(path, "attributes"):
        if checksum.attributes_digest(reader.file, sorted(wanted)) != table.get("attributes"):
            faults.append("attributes: differ from their checksum")
    return faults


def _text_column(file: h5py.File, path: str, count: int) -> list[str]:
    dataset = file[path]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "S" or dataset.shape != (count,):
        raise ValueError(f"expected {count} strings at {path}")
    if dataset.dtype.itemsize > 4096:
        raise ValueError(f"{path} holds strings of {dataset.dtype.itemsize} bytes")
    return [text.decode() for text in dataset[()].tolist()]
