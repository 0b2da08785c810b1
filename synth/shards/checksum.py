"""SHA-256 of a dataset's content, of a shard's attributes and of a file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Array = np.ndarray

__all__ = ["attributes_digest", "begin", "content_digest", "file_digest"]


def begin(path: str, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    """Start the digest of a dataset; its bytes follow in C order. Name, type and shape are part of what is hashed."""
    return hashlib.sha256(f"{path}\n{dtype.str}\n{shape}\n".encode())


def content_digest(path: str, dataset: h5py.Dataset | Array) -> str:
    """Digest of a whole dataset, read in blocks of about 16 MiB."""
    digest = begin(path, dataset.dtype, dataset.shape)
    if dataset.ndim == 0 or not len(dataset):
        digest.update(np.ascontiguousarray(dataset[()]).data)
        return digest.hexdigest()
    step = max(1, int(2**24 * len(dataset) // max(dataset.nbytes, 1)))
    for start in range(0, len(dataset), step):
        digest.update(np.ascontiguousarray(dataset[start : start + step]).data)
    return digest.hexdigest()


def attributes_digest(file: h5py.File, paths: list[str]) -> str:
    """Digest of all attributes of the root and of these groups and datasets."""
    table = {path: {name: _plain(value) for name, value in file[path].attrs.items()} for path in ["/", *paths]}
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)


def file_digest(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
