"""Frozen features beside the shards: one HDF5 file a clip, written by `train extract`.

    <folder>/features.json            encoder, digest of its weights, crop size, box scale, what is stored
    <folder>/<clip id>.h5             features (views, T, F) float32; feature_maps (views, T, F, h, w) float16;
                                      features_occluded (K, views, T, F) float32; attribute shard_sha256

A feature belongs to a shard's content: a shard rendered anew makes its features invalid, and they say so.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from synth.errors import SynthError
from synth.files import replacing, write_text

Array = np.ndarray

__all__ = ["FeatureStore"]

_ABOUT = "features.json"


class FeatureStore:
    """A folder of features. It opens each file when first asked and can be sent to DataLoader workers.

    Args:
        folder: What `train extract --out` wrote.

    Raises:
        SynthError: it is not such a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self.about: dict[str, Any] = json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
            self.width = int(self.about["width"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SynthError(f"{self.folder}: holds no features ({error})", "Run `train extract` first") from None

    @staticmethod
    def create(folder: Path, about: Mapping[str, Any]) -> "FeatureStore":
        """Begin a folder, or go on with one that holds features of the same encoder.

        Raises:
            SynthError: the folder holds other features.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / _ABOUT).exists():
            store = FeatureStore(folder)
            if different := [k for k in about if store.about.get(k) != about[k]]:
                raise SynthError(f"{folder}: holds features of another {different[0]}", "Choose another --out folder")
            return store
        write_text(folder / _ABOUT, json.dumps(dict(about), sort_keys=True, indent=1) + "\n")
        return FeatureStore(folder)

    def path(self, clip_id: str) -> Path:
        """File of a clip."""
        return self.folder / f"{clip_id}.h5"

    def has(self, clip_id: str, shard_sha256: str) -> bool:
        """Whether the clip's features are there and belong to this very shard."""
        try:
            with h5py.File(self.path(clip_id), "r", locking=False) as file:
                return file.attrs.get("shard_sha256") == shard_sha256
        except OSError:
            return False

    def write(self, clip_id: str, shard_sha256: str, arrays: Mapping[str, Array]) -> None:
        """Store a clip's arrays, all or nothing."""
        with replacing(self.path(clip_id)) as part, h5py.File(part, "w") as file:
            file.attrs["shard_sha256"] = shard_sha256
            for name, array in arrays.items():
                file.create_dataset(name, data=array)

    def check(self, clips: Iterable[tuple[str, str]], needs: Iterable[str]) -> None:
        """Make sure that clips (id, digest of the shard) have features, and the kinds that are needed.

        Raises:
            SynthError: they have not; says which and what to do.
        """
        if missing := sorted(set(needs) - set(self.about.get("kinds", ()))):
            flags = {"feature_maps": "--maps", "features_occluded": "--occluded 4"}
            hint = f"Run `train extract` with {flags.get(missing[0], 'another --out')}"
            raise SynthError(f"{self.folder}: holds no {missing[0]}", hint)
        absent = [clip for clip, digest in clips if not self.has(clip, digest)]
        if absent:
            hint = "Run the same `train extract` command again; it adds what is missing"
            raise SynthError(
                f"{self.folder}: {len(absent)} clips have no features of their present shards, first {absent[0]}", hint
            )

    def read(self, clip_id: str, view: int, frames: slice, kinds: Iterable[str]) -> dict[str, Array]:
        """Features of some frames: (T, F), maps (T, F, h, w), in float32.

        Of the occluded variants a frame takes the one that its number chooses, so that no draw is needed.

        Raises:
            SynthError: the file is damaged.
        """
        found: dict[str, Array] = {}
        try:
            with h5py.File(self.path(clip_id), "r", locking=False) as file:
                for kind in kinds:
                    data: Any = file[kind]
                    if kind == "features_occluded":
                        variants, first = data.shape[0], frames.start
                        rows = [data[(first + i) % variants, view, first + i] for i in range(frames.stop - first)]
                        found[kind] = np.stack(rows).astype(np.float32)
                    else:
                        found[kind] = data[view, frames].astype(np.float32)
        except (OSError, KeyError, ValueError, IndexError) as error:
            hint = "Delete it and run `train extract` again"
            raise SynthError(f"{self.path(clip_id)}: cannot be read ({error})", hint) from error
        return found
