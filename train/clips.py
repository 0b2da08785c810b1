"""Windows of shards as training samples: crops, labels in the crop, augmentation, frozen features.

A sample is a dict of tensors named as the fields of `train.batch.Batch`, without its first axis; `stack` makes batches.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from synth.errors import SynthError
from synth.geometry.rotations import rotvec_to_rotmat
from synth.labels.visibility import Visibility
from synth.rng import generator
from synth.shards.manifest import open_dataset
from train.augment import MIRRORED_JOINTS, MIRRORED_PARTS, PLAIN, Augmentation, Change, draw_change, paint
from train.batch import GENDERS, Batch
from train.crops import Crop, cut, cut_map, flow_between, normalised, square_boxes
from train.data import Place, Windows
from train.store import FeatureStore

Array = np.ndarray

__all__ = ["BOX_SCALE", "Clips", "crop_labels", "folder_bodies", "mirrored", "stack"]

BOX_SCALE = 1.2
"""Side of a crop over the longer side of the person's box."""

_LABELS = (
    "fps",
    "keypoints_2d",
    "visibility",
    "joints_camera",
    "bbox",
    "K",
    "smpl/body_pose",
    "smpl/betas",
    "smpl_camera/global_orient",
)
_TRUSTED = (Visibility.VISIBLE, Visibility.HIDDEN_BY_CLOTH)
"""A joint under cloth still shows where it is; one behind another limb does not (the mask of MVIPER's L2D)."""


class Clips(Dataset[dict[str, Any]]):
    """Every window of a folder of shards as a training sample.

    Args:
        folder: The folder of shards.
        length: Frames in a window, T.
        needs: Optional fields of `Batch` to fill: "images", "features", "features_occluded", "feature_maps", "flow",
            "parts".
        features: Where frozen features lie (`train extract`), if `needs` names any.
        size: Pixels of a crop's side.
        stride: Frames from one window's start to the next one's.
        augmentation: What may be changed; frozen features allow none of it.
        seed: Of the changes.
        part: "train", "val" or "test" of the folder's split; "" for all clips.

    Raises:
        SynthError: no such folder, no clip is long enough, features are missing.
        ValueError: an unknown need.
    """

    def __init__(
        self,
        folder: Path | str,
        length: int,
        needs: frozenset[str],
        *,
        features: Path | None = None,
        size: int = 224,
        stride: int = 1,
        augmentation: Augmentation = PLAIN,
        seed: int = 0,
        part: str = "",
    ) -> None:
        known = {"images", "features", "features_occluded", "feature_maps", "flow", "parts"}
        if unknown := needs - known:
            raise ValueError(f"needs: unknown {sorted(unknown)}, expected some of {sorted(known)}")
        self.folder, self.needs, self.size, self.seed, self.part = Path(folder), needs, size, seed, part
        self.stored = needs & {"features", "features_occluded", "feature_maps"}
        self.augmentation = PLAIN if self.stored else augmentation
        maps = {"images": ("rgb",), "parts": ("parts",), "flow": ("flow", "flow_valid")}
        wanted = [name for need in sorted(needs) for name in maps.get(need, ())]
        self.windows = Windows(folder, length=length, stride=stride, fields=(*_LABELS, *wanted), part=part)
        self.gender = [_gender(entry.attributes.get("gender"), entry.file) for entry in self.windows.shards.entries]
        self.store = None
        if self.stored:
            if features is None:
                raise SynthError(f"{folder}: {', '.join(sorted(self.stored))} are needed", "Run `train extract` first")
            self.store = FeatureStore(features)
            self.store.check([(entry.clip_id, entry.sha256) for entry in self.windows.shards.entries], self.stored)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Any]:
        """A sample.

        Args:
            index: Number of the window, or that and the number of the draw: the same pair, the same change.
        """
        number, draw = (index, 0) if isinstance(index, int) else index
        change = draw_change(self.augmentation, generator(self.seed, "augment", number, draw))
        return self.sample(self.windows.place(number), change)

    def pictured(self) -> "Clips | None":
        """The same clips with pictures and without augmentation or part and flow maps; None if that cannot be had."""
        features = None if self.store is None else self.store.folder
        needs = frozenset(self.stored | {"images"})
        length = self.windows.length
        return Clips(self.folder, length, needs, features=features, size=self.size, part=self.part)

    def plain_labels(self, index: int) -> dict[str, Any]:
        """Labels of a window as they are, no picture read."""
        return self.sample(self.windows.place(index), Change(), labels_only=True)

    def sample(
        self, place: Place, change: Change, length: int | None = None, labels_only: bool = False
    ) -> dict[str, Any]:
        """A window as a sample, changed as told.

        Args:
            place: Where it lies.
            change: What to change.
            length: Frames, if not those of a training window.
            labels_only: Leave out what the network sees; no picture is decoded.
        """
        windows, needs = self.windows, frozenset() if labels_only else self.needs
        entry, reader = windows.shards.entries[place.shard], windows.shards[place.shard]
        wanted = _LABELS if labels_only else windows.fields
        raw = reader.window(place.view, place.start, length or windows.length, wanted)
        if change.flip:
            raw = mirrored(raw, entry.width)
        boxes = square_boxes(raw["bbox"], BOX_SCALE, f"{entry.file}, view {place.view}")
        boxes[:, :2] += boxes[:, 2:] * np.array(change.shift)
        boxes[:, 2] *= change.scale
        crops = [Crop(x=float(x), y=float(y), side=float(s), angle=change.rotation) for x, y, s in boxes]
        sample = crop_labels(raw, crops, change) | self._maps(raw, crops, change, needs)
        if self.store is not None and not labels_only:
            frames = slice(place.start, place.start + len(crops))
            sample |= self.store.read(entry.clip_id, place.view, frames, self.stored)
            if "features_occluded" in self.stored:
                sample["occluded_valid"] = np.ones(len(crops), bool)
        tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in sample.items()}
        tensors["box"] = torch.from_numpy(boxes.astype(np.float32))
        tensors["image_size"] = torch.tensor([entry.width, entry.height], dtype=torch.float32)
        tensors["flipped"] = torch.tensor(change.flip)
        tensors["gender"] = torch.tensor(self.gender[place.shard])
        return tensors | {"clip_id": entry.clip_id, "view": place.view, "start": place.start}

    def _maps(self, raw: dict[str, Any], crops: list[Crop], change: Change, needs: frozenset[str]) -> dict[str, Array]:
        maps: dict[str, Array] = {}
        if "images" in needs:
            cuts = np.stack([cut(image, crop, self.size) for image, crop in zip(raw["rgb"], crops, strict=True)])
            maps["images"] = normalised(paint(cuts, change))
        if "parts" in needs:
            maps["parts"] = np.stack([cut_map(m, c, self.size) for m, c in zip(raw["parts"], crops, strict=True)])
            maps["parts_valid"] = np.ones(len(crops), bool)
        if "flow" in needs:
            following, extent = [*crops[1:], crops[-1]], raw.get("extent")
            steps = zip(raw["flow"], crops, following, strict=True)
            maps["flow"] = np.stack([flow_between(f, crop, then, self.size, extent) for f, crop, then in steps])
            valid = raw["flow_valid"].astype(bool)
            valid[-1] = False  # the next frame's crop is not in the window
            maps["flow_valid"] = valid
        return maps


def _gender(name: Any, file: str) -> int:
    if name not in GENDERS:
        raise SynthError(f"{file}: gender {name!r} is not one of {', '.join(GENDERS)}", "Run `synth info --rebuild`")
    return GENDERS.index(name)


def crop_labels(raw: dict[str, Array], crops: list[Crop], change: Change) -> dict[str, Array]:
    """A window's labels in its crops, all of them taken for known.

    Args:
        raw: Fields of a shard (`synth.shards.read`), T frames.
        crops: Of each frame.
        change: Its turn and its occluder are applied; a mirror has been already (`mirrored`).

    Returns:
        Fields of `train.batch.Batch`, without the axis of clips.
    """
    frames = len(crops)
    points = np.stack([crop.to_crop(xy) for xy, crop in zip(raw["keypoints_2d"], crops, strict=True)])
    known = np.isfinite(points).all(-1) & (np.abs(np.nan_to_num(points, nan=9.0)) <= 1).all(-1)
    known &= np.isin(raw["visibility"], _TRUSTED)
    if change.occluder is not None:
        known &= ~np.stack([change.occluder.covers(xy, t) for t, xy in enumerate(np.nan_to_num(points))])
    rotvec = np.concatenate([raw["smpl_camera/global_orient"][:, None], raw["smpl/body_pose"]], axis=1)
    rotations = rotvec_to_rotmat(rotvec)
    cosine, sine = np.cos(change.rotation), np.sin(change.rotation)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    rotations[:, 0] = turn @ rotations[:, 0]
    joints = raw["joints_camera"]
    keypoints = np.concatenate([np.where(known[..., None], points, 0.0), known[..., None]], axis=-1)
    betas = np.zeros(10)
    count = min(10, len(raw["smpl/betas"]))
    betas[:count] = raw["smpl/betas"][:count]
    single = {
        "keypoints_2d": keypoints,
        "joints_3d": (joints - joints[:, :1]) @ turn.T,
        "rotations": rotations,
        "betas": np.repeat(betas[None], frames, axis=0),
        "pelvis": joints[:, 0],
        "K": raw["K"],
        "fps": np.asarray(raw["fps"]),
        "box_rotation": np.asarray(change.rotation),
    }
    masks = {"joints_valid": np.ones((frames, 24), bool), "smpl_valid": np.ones(frames, bool)}
    return {name: value.astype(np.float32) for name, value in single.items()} | masks


def mirrored(raw: dict[str, Array], width: int) -> dict[str, Array]:
    """The mirrored picture and the labels of the mirrored person: left becomes right."""
    flipped = dict(raw)
    for name in ("rgb", "parts", "flow"):
        if name in raw:
            flipped[name] = raw[name][:, :, ::-1]
    if "parts" in raw:
        flipped["parts"] = MIRRORED_PARTS[flipped["parts"]]
    if "flow" in raw:
        flipped["flow"] = flipped["flow"] * np.array([-1, 1], np.float32)
    keypoints = raw["keypoints_2d"][:, MIRRORED_JOINTS]
    flipped["keypoints_2d"] = np.array([width, 0.0]) + keypoints * np.array([-1.0, 1.0])
    flipped["visibility"] = raw["visibility"][:, MIRRORED_JOINTS]
    flipped["joints_camera"] = raw["joints_camera"][:, MIRRORED_JOINTS] * np.array([-1.0, 1.0, 1.0])
    x0, y0, x1, y1 = raw["bbox"].T
    flipped["bbox"] = np.stack([width - x1, y0, width - x0, y1], axis=1)
    flipped["K"] = raw["K"].copy()
    flipped["K"][0, 2] = width - raw["K"][0, 2]
    flipped["K"][0, 1] = -raw["K"][0, 1]
    # A mirror M turns R into M R M, that is (x, y, z) of a rotation vector into (x, -y, -z).
    mirror = np.array([1.0, -1.0, -1.0])
    flipped["smpl_camera/global_orient"] = raw["smpl_camera/global_orient"] * mirror
    flipped["smpl/body_pose"] = raw["smpl/body_pose"][:, MIRRORED_JOINTS[1:] - 1] * mirror
    return flipped


def stack(samples: Sequence[dict[str, Any]]) -> Batch:
    """Samples to a batch; an optional field that only some samples have is an error.

    Raises:
        SynthError: the samples differ in what they hold or in shape.
    """
    first, values = samples[0], {}
    for name in (f.name for f in fields(Batch)):
        held = [sample.get(name) for sample in samples]
        if name in ("clip_id", "view", "start"):
            values[name] = tuple(held)
        elif name in first:
            tensors = [value for value in held if isinstance(value, torch.Tensor)]
            if len(tensors) < len(held) or any(value.shape != first[name].shape for value in tensors):
                hint = "Put shards of one kind into one folder"
                raise SynthError(f"clips {[s['clip_id'] for s in samples]}: {name} differs in shape", hint)
            values[name] = torch.stack(tensors)
    return Batch(**values)


def folder_bodies(folder: Path) -> dict[str, str]:
    """SHA-256 of the body model of each gender that a folder of shards holds.

    Raises:
        SynthError: a shard cannot be read, or two shards of a gender have different bodies.
    """
    found: dict[str, str] = {}
    for reader in open_dataset(folder):
        described = json.loads(reader.attributes["body_model"])
        gender, digest = described.get("gender"), described.get("sha256")
        if found.setdefault(gender, digest) != digest:
            raise SynthError(f"{reader.path}: another {gender} body model than the other shards'", "Use one at a time")
        reader.close()
    return found
