"""Windows of a real data set as training samples, of the same kind as `train.clips.Clips` makes of shards.

    sources = [Clips(shards, 16, needs), RealClips(open_source("coco", path), 16, needs)]
    loader(sources, settings, weights=(3, 1))      # or Loop(model, sources, ...)

What a data set does not have is zero with its mask off: keypoints by their confidence, 3D joints joint by joint, pose
and shape by `smpl_valid`. A keypoint counts by its confidence: a detector's own, half for one that is annotated though
hidden. Intrinsics that are not known are those of a lens as long as the picture's diagonal, a rate that is not known is
30 Hz, a pelvis that is not known is at the origin: no loss reads them.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synth.errors import SynthError
from synth.labels.visibility import Visibility
from synth.rng import generator
from train.augment import MIRRORED_JOINTS, PLAIN, Augmentation, Change, draw_change, paint
from train.batch import GENDERS
from train.clips import BOX_SCALE, Clips, crop_labels, mirrored
from train.crops import Crop, cut, normalised, square_boxes
from train.data import Place
from train.flow import FlowFiles
from train.real.pictures import picture_size, read_picture
from train.real.record import Record, labels
from train.real.source import Source

Array = np.ndarray

__all__ = ["RealClips"]

_RATE = 30.0


class RealClips(Clips):
    """Every window of a data set; single pictures are repeated to a window's length.

    Tracks that are shorter than a window are left out; a window in which no frame has a box gives way to the next one.

    Args:
        source: From `train.real.open_source`.
        length: Frames in a window, T.
        needs: "images", "features" (if the data hold them) and "flow" can be filled; "parts" and "features_occluded"
            are never known, and masked.
        size: Pixels of a crop's side.
        stride: Frames from one window's start to the next one's.
        augmentation: What may be changed; frozen features allow none of it.
        seed: Of the changes.
        smpl: Whether pose and shape may be used: off where the model's body is not SMPL.
        flow: Folder of flow files (`train.flow`); without it no flow is known.

    Raises:
        SynthError: the data set has no pictures, no track is long enough, or it cannot fill a need.
    """

    def __init__(
        self,
        source: Source,
        length: int,
        needs: frozenset[str],
        *,
        size: int = 224,
        stride: int = 1,
        augmentation: Augmentation = PLAIN,
        seed: int = 0,
        smpl: bool = True,
        flow: Path | None = None,
    ) -> None:
        if missing := needs - {"images", "features", "flow", "parts", "features_occluded"}:
            raise SynthError(f"{source.name} has no {', '.join(sorted(missing))}", "Train this model on shards alone")
        self.source, self.folder, self.length = source, source.path, length
        self.needs, self.size, self.seed, self.store = needs, size, seed, None
        self.smpl, self.flows = smpl, None if flow is None else FlowFiles(flow, source.path)
        self.augmentation = PLAIN if "features" in needs else augmentation
        first = source[0]
        if not first.images and "features" not in needs:
            raise SynthError(f"{source.path}: {source.name} has no pictures", "Use it for discriminators only")
        if "features" in needs and not first.features.shape[1]:
            raise SynthError(f"{source.path}: {source.name} has no features", "Train a model that reads pictures")
        counts = [1 if entry.frames == 1 else max(0, (entry.frames - length) // stride + 1) for entry in source.entries]
        self.ends, self.stride = np.cumsum(counts), stride
        if not self.ends[-1]:
            longest = max(entry.frames for entry in source.entries)
            raise SynthError(f"{source.path}: no track has {length} frames (the longest has {longest})")
        self._record = lru_cache(maxsize=4)(source.__getitem__)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_record"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._record = lru_cache(maxsize=4)(self.source.__getitem__)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def place_of(self, number: int) -> tuple[int, int]:
        """Track and first frame of a window.

        Raises:
            IndexError: there is no such window.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        track = int(np.searchsorted(self.ends, number, side="right"))
        return track, (number - (int(self.ends[track - 1]) if track else 0)) * self.stride

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Any]:
        number, draw = (index, 0) if isinstance(index, int) else index
        change = draw_change(self.augmentation, generator(self.seed, "augment", number, draw))
        return self.window(number, change)

    def pictured(self) -> None:
        """Windows are drawn as they are."""

    def plain_labels(self, index: int) -> dict[str, Any]:
        """Labels of a window as they are, no picture read unless only it tells its size."""
        return self.window(index, Change(), labels_only=True)

    def window(self, number: int, change: Change, labels_only: bool = False) -> dict[str, Any]:
        """A window as a sample, changed as told.

        Raises:
            SynthError: no window has a box, or a file is damaged.
        """
        for step in range(len(self)):
            track, start = self.place_of((number + step) % len(self))
            taken = labels(self._record(track), start, self.length, "smpl24")
            if taken["bbox_valid"].any():
                return self.sample(Place(track, 0, start), change, labels_only=labels_only)
        raise SynthError(f"{self.folder}: no window of {self.length} frames has a box")

    def record(self, track: int) -> Record:
        """A track as it was read."""
        return self._record(track)

    def sample(
        self, place: Place, change: Change, length: int | None = None, labels_only: bool = False
    ) -> dict[str, Any]:
        """Frames of a track as a sample, changed as told: as `Clips.sample`, with the track for a shard."""
        track, _, start = place
        record, length = self._record(track), length or self.length
        taken = labels(record, start, length, "smpl24")
        frames = [0] * length if record.still else list(range(start, start + length))
        width, height = self._extent(record, frames[0])
        raw = _raw(record, taken, width, height)
        if "flow" in self.needs:
            raw |= self._flow(record, frames, (width, height))
        joints_valid, smpl_valid = taken["joints_valid"], taken["pose_valid"] & taken["betas_valid"] & self.smpl
        if change.flip:
            raw, joints_valid = mirrored(raw, width), joints_valid[:, MIRRORED_JOINTS]
        boxes = square_boxes(raw["bbox"], BOX_SCALE, f"{record.source} {record.name}")
        boxes[:, :2] += boxes[:, 2:] * np.array(change.shift)
        boxes[:, 2] *= change.scale
        crops = [Crop(x=float(x), y=float(y), side=float(s), angle=change.rotation) for x, y, s in boxes]
        sample = _masked(crop_labels(raw, crops, change), joints_valid, smpl_valid)
        sureness = taken["confidence"][:, MIRRORED_JOINTS] if change.flip else taken["confidence"]
        sample["keypoints_2d"][..., 2] *= sureness
        if not labels_only:
            sample |= self._seen(record, frames, crops, change)
            sample |= self._maps(raw, crops, change, self.needs & {"flow"})
        tensors: dict[str, Any] = {name: torch.from_numpy(np.asarray(value)) for name, value in sample.items()}
        tensors["box"] = torch.from_numpy(boxes.astype(np.float32))
        tensors["image_size"] = torch.tensor([width, height], dtype=torch.float32)
        tensors["flipped"] = torch.tensor(change.flip)
        tensors["gender"] = torch.tensor(GENDERS.index(record.gender))
        return tensors | {"clip_id": f"{record.source}:{record.name}", "view": 0, "start": start}

    def _extent(self, record: Record, frame: int) -> tuple[int, int]:
        """Width and height [px] of the picture; of features without pictures, as far as the boxes reach."""
        if record.image_size is not None:
            return record.image_size
        try:
            if record.images:
                return picture_size(record.images[frame])
        except SynthError:
            if "images" in self.needs:
                raise
        width, height = np.ceil(np.nanmax(record.bbox[:, 2:], axis=0)).astype(int).clip(1, 1 << 16).tolist()
        return width, height

    def _seen(self, record: Record, frames: list[int], crops: list[Crop], change: Change) -> dict[str, Array]:
        """What the network sees: crops or features; a still is read and cut once."""
        seen: dict[str, Array] = {}
        if "images" in self.needs:
            cuts: dict[int, Array] = {}
            for t, crop in zip(frames, crops, strict=True):
                if t not in cuts:
                    picture = read_picture(record.images[t])
                    cuts[t] = cut(picture[:, ::-1] if change.flip else picture, crop, self.size)
            seen["images"] = normalised(paint(np.stack([cuts[t] for t in frames]), change))
        if "features" in self.needs:
            seen["features"] = record.features[frames].astype(np.float32)
        if "parts" in self.needs:
            seen["parts"] = np.zeros((len(frames), self.size, self.size), np.uint8)
            seen["parts_valid"] = np.zeros(len(frames), bool)
        if "features_occluded" in self.needs:
            seen["features_occluded"] = np.zeros_like(seen["features"])
            seen["occluded_valid"] = np.zeros(len(frames), bool)
        return seen

    def _flow(self, record: Record, frames: list[int], extent: tuple[int, int]) -> dict[str, Any]:
        """Flow between the window's frames, under the names that shards have."""
        if self.flows is None or record.still or not record.images:
            nothing = np.zeros((len(frames), 1, 1, 2), np.float32)
            return {"flow": nothing, "flow_valid": np.zeros(len(frames), bool), "extent": extent}
        flow, valid = self.flows.window([record.images[t] for t in frames])
        return {"flow": flow, "flow_valid": valid, "extent": extent}


def _raw(record: Record, taken: dict[str, Array], width: int, height: int) -> dict[str, Array]:
    """A window's labels under the names that shards have."""
    seen = taken["confidence"] > 0
    return {
        "fps": np.asarray(record.fps or _RATE),
        "keypoints_2d": np.where(seen[..., None], taken["keypoints_2d"], np.nan),
        "visibility": np.where(seen, Visibility.VISIBLE, Visibility.HIDDEN_BY_BODY).astype(np.uint8),
        "joints_camera": _rooted(taken["joints_3d"], taken["joints_valid"]),
        "bbox": np.where(taken["bbox_valid"][:, None], taken["bbox"], np.nan),
        "K": taken["K"][0] if taken["K_valid"][0] else _nominal(width, height),
        "smpl/body_pose": taken["body_pose"],
        "smpl/betas": _one_shape(taken["betas"], taken["betas_valid"]),
        "smpl_camera/global_orient": taken["global_orient"],
    }


def _one_shape(betas: Array, valid: Array) -> Array:
    """Mean (10,) of the frames whose shape is known: some data sets fit each frame on its own, or leave some out."""
    return betas[valid].mean(axis=0) if valid.any() else np.zeros(betas.shape[1])


def _rooted(joints: Array, valid: Array) -> Array:
    """Joints (T, 24, 3) [m] with the middle of the hips standing in for a pelvis that is not known."""
    middle = joints[:, 1:3].mean(axis=1)
    root = np.where(valid[:, :1], joints[:, 0], middle)
    return np.concatenate([root[:, None], joints[:, 1:]], axis=1)


def _nominal(width: int, height: int) -> Array:
    """K [px] of a lens as long as the picture's diagonal, looking through its middle."""
    focal = float(np.hypot(width, height))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def _masked(sample: dict[str, Array], joints_valid: Array, smpl_valid: Array) -> dict[str, Array]:
    """Put real masks in place of the shards' full ones; 3D joints need a pelvis or both hips to count from."""
    rooted = joints_valid & (joints_valid[:, :1] | joints_valid[:, 1:3].all(axis=1, keepdims=True))
    sample["joints_3d"] = np.where(rooted[..., None], sample["joints_3d"], 0).astype(np.float32)
    sample["joints_valid"], sample["smpl_valid"] = rooted, smpl_valid
    return sample
