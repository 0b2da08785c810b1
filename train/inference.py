"""Predictions for every frame of a view, whatever the model's window: windows are laid over it, none is dropped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from train.augment import PLAIN, Change
from train.batch import CLIP_FIELDS, Batch, Prediction, TemporalModel, last
from train.body import BodyLayer
from train.clips import Clips, stack
from train.data import Place
from train.real.clips import RealClips

Array = np.ndarray

__all__ = [
    "View",
    "complete",
    "full_translation",
    "gather",
    "join",
    "labels_of",
    "layout",
    "on_cpu",
    "predict_frames",
    "stretches",
    "view_batch",
    "views",
    "with_features",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of one clip: an uncut sequence."""

    shard: int
    number: int
    clip_id: str
    frames: int
    fps: float
    motion: str
    first: int = 0
    """Frame of the track at which it begins; not 0 in real data only."""


_LONGEST = 600
"""Frames of a real sequence that are measured at once: meshes of thousands do not fit into memory."""


def views(clips: Clips) -> Iterator[View]:
    """Every view of every clip of a folder, also of clips shorter than the window; of real data every run of frames."""
    if isinstance(clips, RealClips):
        yield from _runs(clips)
        return
    for shard, entry in enumerate(clips.windows.shards.entries):
        for number in range(entry.views):
            yield View(
                shard=shard,
                number=number,
                clip_id=entry.clip_id,
                frames=entry.frames,
                fps=float(entry.attributes.get("fps", 30.0)),
                motion=str(entry.attributes.get("motion", "")),
            )


def _runs(clips: RealClips) -> Iterator[View]:
    """The longest runs of frames with a box in each track, since a frame without one shows the network nothing."""
    for track in range(len(clips.source)):
        record = clips.record(track)
        for start, stop in stretches(record.bbox_valid):
            for first in range(start, stop, _LONGEST):
                yield View(
                    shard=track,
                    number=0,
                    clip_id=f"{record.source}:{record.name}",
                    frames=min(_LONGEST, stop - first),
                    fps=record.fps or 30.0,
                    motion=record.action or record.name,
                    first=first,
                )


def stretches(valid: Bool[Array, " T"]) -> list[tuple[int, int]]:
    """First frame and end of every run of true values."""
    steps = np.diff(np.concatenate([[0], valid.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def view_batch(clips: Clips, view: View, start: int, stop: int) -> Batch:
    """Frames [start, stop) of a view as a batch of one, not augmented."""
    assert clips.augmentation == PLAIN, "evaluation sees pictures as they are"
    return stack([clips.sample(Place(view.shard, view.number, view.first + start), Change(), stop - start)])


def labels_of(clips: Clips, view: View) -> Batch:
    """The labels of a whole view, without decoding pictures."""
    return stack([clips.sample(Place(view.shard, view.number, view.first), Change(), view.frames, labels_only=True)])


@torch.no_grad()
def with_features(batch: Batch, network: nn.Module, maps: bool = False) -> Batch:
    """The features of a batch's pictures, by a frozen encoder.

    Args:
        batch: Has `images`.
        network: In evaluation mode, where the pictures are.
        maps: Also keep the map before pooling.
    """
    assert batch.images is not None
    found = torch.cat([network(part) for part in batch.images.flatten(0, 1).split(32)])
    found = found.unflatten(0, batch.images.shape[:2])
    return replace(batch, features=found.mean((-2, -1)), feature_maps=found if maps else None)


def layout(
    frames: int, window: int, centre_only: bool, history: int = 0
) -> tuple[Int[Array, "N W"], Int[Array, "N K"]]:
    """Which frames each window sees, and which of its outputs are kept for which frame.

    Windows follow one another; the last one is moved back so that it ends with the view. A view shorter than the
    window, and the ends for models that speak of the centre only, are continued by the first or last frame.

    Args:
        frames: Of the view.
        window: Frames the model sees.
        centre_only: Whether a window gives its centre frame only.
        history: Frames before the first one kept that every window but the first sees.

    Returns:
        Frame of each place of each window (N, W); for each output of each window (N, K) the frame it is kept for, or
        -1 where another window's is.
    """
    if centre_only:
        centres = np.arange(frames)
        seen = np.clip(centres[:, None] + np.arange(window) - window // 2, 0, frames - 1)
        return seen, centres[:, None]
    history = min(history, window - 1)
    first_kept = np.concatenate([[0], np.arange(window, frames, window - history)])
    starts = np.clip(first_kept - history, 0, max(0, frames - window))
    places = starts[:, None] + np.arange(window)
    fresh = places >= first_kept[:, None]
    return np.minimum(places, frames - 1), np.where(fresh & (places < frames), places, -1)


def gather(batch: Batch, frames: Int[Array, "N W"]) -> Batch:
    """Windows out of a batch of one."""
    index = torch.from_numpy(frames)
    changed = {}
    for spec in fields(batch):
        value = getattr(batch, spec.name)
        if isinstance(value, Tensor):
            once = spec.name in CLIP_FIELDS
            changed[spec.name] = value.expand(len(index), *value.shape[1:]) if once else value[0][index]
    return replace(batch, **changed)


@torch.no_grad()
def predict_frames(
    model: TemporalModel,
    load: Callable[[int, int], Batch],
    frames: int,
    *,
    window: int | None = None,
    history: int | None = None,
    group: int = 16,
    device: torch.device | str = "cpu",
) -> Prediction:
    """Predict every frame of a sequence.

    Args:
        model: In evaluation mode, on `device`.
        load: Gives frames [start, stop) as a batch of one.
        frames: Of the sequence.
        window: Frames a window sees; the model's own by default.
        history: Frames that windows overlap by; the model's own by default. Models that speak of the centre frame have
            a window for every frame whatever this says.
        group: Windows at once.
        device: Where to compute.

    Returns:
        A prediction of shape (1, frames, ...), on the CPU.
    """
    history = model.history if history is None else history
    seen, kept = layout(frames, window or model.window, model.centre_only, history)
    parts: list[tuple[Prediction, Array]] = []
    for first in range(0, len(seen), group):
        wanted = seen[first : first + group]
        low, high = int(wanted.min()), int(wanted.max()) + 1
        batch = gather(load(low, high), wanted - low).to(device)
        parts.append((on_cpu(last(model(batch))), kept[first : first + group]))
    return join(parts, frames)


def join(parts: list[tuple[Prediction, Int[Array, "N K"]]], frames: int) -> Prediction:
    """Put windows' outputs in the order of frames.

    Args:
        parts: Predictions of N windows and the frame each output is kept for (-1: not).
        frames: Of the sequence.
    """
    values: dict[str, Any] = {}
    for name in ("rotations", "betas", "camera", "transl"):
        each = [(getattr(prediction, name), kept) for prediction, kept in parts]
        if each[0][0] is None:
            continue
        joined = each[0][0].new_zeros(1, frames, *each[0][0].shape[2:])
        for value, kept in each:
            flat = torch.from_numpy(kept.reshape(-1))
            joined[0, flat[flat >= 0]] = value.flatten(0, 1)[flat >= 0]
        values[name] = joined
    return Prediction(**values)


def on_cpu(prediction: Prediction) -> Prediction:
    """The prediction in single precision on the CPU, without what belongs to one model only."""

    def moved(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.float().cpu()

    return Prediction(
        rotations=prediction.rotations.float().cpu(),
        betas=prediction.betas.float().cpu(),
        camera=prediction.camera.float().cpu(),
        transl=moved(prediction.transl),
        joints=moved(prediction.joints),
        vertices=moved(prediction.vertices),
    )


def full_translation(
    camera: Float[Tensor, "B T 3"], box: Float[Tensor, "B T 3"], K: Float[Tensor, "B 3 3"]
) -> Float[Tensor, "B T 3"]:
    """Where a weak-perspective crop camera puts the pelvis in the full image's camera frame [m].

    A crop coordinate is s (x + tx); a pixel is centre + side / 2 times it. With depth z = 2 f / (s side) the
    perspective picture of a small body agrees (as in SPIN and CLIFF).
    """
    focal = K[:, None, 0, 0]
    scale, side = camera[..., 0].clamp_min(1e-3), box[..., 2]
    depth = 2.0 * focal / (scale * side)
    x = camera[..., 1] + (box[..., 0] - K[:, None, 0, 2]) * depth / focal
    y = camera[..., 2] + (box[..., 1] - K[:, None, 1, 2]) * depth / K[:, None, 1, 1]
    return torch.stack([x, y, depth], dim=-1)


def complete(prediction: Prediction, batch: Batch, body: BodyLayer) -> Prediction:
    """Joints and vertices on the labels' body model, and the full-image translation where the model gave none."""
    if prediction.transl is None:
        prediction = replace(prediction, transl=full_translation(prediction.camera, batch.box, batch.K))
    return body.complete(prediction, batch, vertices=True)
