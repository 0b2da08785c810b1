"""Rendered frames of a clip that is not finished yet, so that an interrupted run goes on where it was."""

import hashlib
import logging
import shutil
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from synth.files import replacing
from synth.types import Passes, SimulatedClip

log = logging.getLogger(__name__)


def shown(clip: SimulatedClip) -> str:
    """What pictures of a clip show: a digest of its meshes, rounded to float32 [m]."""
    meshes = hashlib.sha256(np.asarray(clip.body_vertices_world, dtype=np.float32).tobytes())
    for name, vertices in sorted(clip.garment_vertices_world.items()):
        meshes.update(name.encode() + np.asarray(vertices, dtype=np.float32).tobytes())
    return meshes.hexdigest()


class Journal:
    """A folder with one small file for each rendered picture; gone once the clip's shard is written.

    Args:
        folder: Of the clip's pictures.
        stamp: What they show (`shown`). Pictures with another stamp are not taken: a simulation that was made anew, by
            another version, would come out with some pictures of the old one.
    """

    def __init__(self, folder: Path, stamp: str = "") -> None:
        self.folder, self.stamp = folder, stamp

    def _path(self, view: int, t: int) -> Path:
        return self.folder / f"{t:05d}-{view:02d}.h5"

    def put(self, view: int, t: int, passes: Passes) -> None:
        """Keep a picture and its ground truth."""
        with replacing(self._path(view, t)) as part, h5py.File(part, "w") as file:
            file.attrs["stamp"] = self.stamp
            for field in fields(Passes):
                array = getattr(passes, field.name)
                file.create_dataset(field.name, data=array, chunks=array.shape, compression="lzf")

    def get(self, view: int, t: int) -> Passes | None:
        """A kept picture, exactly as it was; None if there is none, it shows other meshes, or its file is damaged."""
        path = self._path(view, t)
        if not path.exists():
            return None
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("stamp") != self.stamp:
                    log.info("%s: shows another simulation, the frame is rendered again", path)
                    return None
                arrays = {field.name: np.asarray(file[field.name]) for field in fields(Passes)}
            return Passes(**arrays)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            log.warning("%s: damaged (%s), the frame is rendered again", path, error)
            return None

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.h5"))) if self.folder.is_dir() else 0

    def clear(self) -> None:
        """Forget the pictures."""
        shutil.rmtree(self.folder, ignore_errors=True)
