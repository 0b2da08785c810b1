"""Reading arrays of HDF5 files of unknown origin (MATLAB's version 7.3 among them)."""

from pathlib import Path

import h5py

from train.real.files import Fields, readable

__all__ = ["hdf5_fields"]

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
            link = file.get(name, getlink=True)
            if link is None:
                continue
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name} lies in another file")
            data = file[name]
            if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "biuf" or data.shape is None:
                raise ValueError(f"{name} is not an array of numbers")
            if data.is_virtual or data.external or data.compression not in _FILTERS:
                raise ValueError(f"{name} does not hold its data itself")
            if data.nbytes > _MAX_ARRAY or data.nbytes > 1000 * path.stat().st_size:
                raise ValueError(f"{name} of shape {data.shape} does not fit the file")
            arrays[name] = data[()]
    return Fields(path, arrays)
