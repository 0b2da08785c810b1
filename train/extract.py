"""Frozen features of every frame of every view, stored beside the shards for models that train on features."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synth.errors import SynthError
from synth.rng import generator
from train.augment import Change, draw_occluder
from train.backbones import backbone, load_weights
from train.batch import TemporalModel
from train.checkpoint import load_model
from train.clips import BOX_SCALE, Clips
from train.data import Place
from train.inference import View, predict_frames, view_batch, views
from train.rotations import matrix_to_six
from train.store import FeatureStore

Array = np.ndarray

__all__ = ["Encoder", "encoder_for", "encoder_of", "extract", "extract_predictions"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """An image encoder in evaluation mode and where it comes from."""

    network: nn.Module
    width: int
    source: str
    """In words: which weights."""

    @property
    def digest(self) -> str:
        """SHA-256 over all weights."""
        return weights_digest(self.network)


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over the names and values of a network's state."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def encoder_of(checkpoint: Path | None, name: str, weights: Path | None, seed: int = 0) -> Encoder:
    """The encoder of a trained model, or a named one with published weights, or with random ones.

    Args:
        checkpoint: Of a model that has an image encoder, such as `hmr`.
        name: Of the encoder, without a checkpoint.
        weights: Published weights for it; None: random ones, which is said aloud.
        seed: Of random weights.

    Raises:
        SynthError: no such file, or it holds no encoder.
    """
    if checkpoint is not None:
        model, _ = load_model(checkpoint)
        network = getattr(model, "backbone", None)
        if network is None:
            raise SynthError(f"{checkpoint}: {model.name} has no image encoder", "Give a checkpoint of `hmr`")
        return Encoder(network=network.eval(), width=network.features, source=f"{model.name} {checkpoint.name}")
    torch.manual_seed(int(generator(seed, "weights", name).integers(2**62)))
    network = backbone(name)
    if weights is not None:
        load_weights(network, weights)
        return Encoder(network=network.eval(), width=network.features, source=f"{name} {weights.name}")
    log.warning("the encoder has random weights; give a checkpoint of `hmr` or --backbone-weights for real use")
    return Encoder(network=network.eval(), width=network.features, source=f"{name}, random weights of seed {seed}")


def encoder_for(held: Mapping[str, Any], checkpoint: Path, encoder: Path | None) -> nn.Module:
    """The encoder whose features a model was trained on, to read pictures with.

    Args:
        held: The model's checkpoint.
        checkpoint: Its path, for messages.
        encoder: Checkpoint that holds the encoder.

    Raises:
        SynthError: none is given, or it is another one.
    """
    if encoder is None:
        hint = "Give --encoder, the checkpoint they came from"
        raise SynthError(f"{checkpoint}: {held['model']} reads features", hint)
    network = encoder_of(encoder, "", None).network
    trained = held.get("about", {}).get("encoder_weights")
    if trained is not None and weights_digest(network) != trained:
        raise SynthError(f"{encoder}: is another encoder than {checkpoint.name} was trained with", "Give that one")
    return network


@torch.no_grad()
def extract(
    folder: Path,
    out: Path,
    encoder: Encoder,
    *,
    size: int = 224,
    maps: bool = False,
    occluded: int = 0,
    device: str = "cpu",
    block: int = 32,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> FeatureStore:
    """Write the features of a folder of shards; clips that have them already are left alone.

    Args:
        folder: Of shards.
        out: Where to write.
        encoder: Its last map is stored if `maps`, the mean of it always.
        size: Pixels of a crop's side.
        maps: Also the maps before pooling (float16, 49 times as much).
        occluded: Further variants of each frame with something in front (SPS-Net), so many.
        device: Where to compute.
        block: Frames at once.
        seed: Of the occluders.
        progress: Called with the id of each clip done.

    Raises:
        SynthError: `out` holds features of another encoder, or a shard cannot be read.
    """
    clips = Clips(folder, 1, frozenset({"images"}), size=size)
    kinds = ["features", *(["feature_maps"] if maps else []), *(["features_occluded"] if occluded else [])]
    about = {"encoder": encoder.source, "weights": encoder.digest, "width": encoder.width, "size": size}
    store = FeatureStore.create(out, about | {"box_scale": BOX_SCALE, "kinds": kinds, "occluded": occluded})
    network = encoder.network.to(device)
    by_shard: dict[int, list[View]] = {}
    for view in views(clips):
        by_shard.setdefault(view.shard, []).append(view)
    for shard, own in by_shard.items():
        entry = clips.windows.shards.entries[shard]
        if store.has(entry.clip_id, entry.sha256):
            continue
        each = [_view_features(clips, view, network, kinds, occluded, seed, device, block) for view in own]
        joined = {kind: np.stack([arrays[kind] for arrays in each], axis=0) for kind in each[0]}
        if "features_occluded" in joined:
            joined["features_occluded"] = joined["features_occluded"].swapaxes(0, 1)
        store.write(entry.clip_id, entry.sha256, joined)
        if progress is not None:
            progress(entry.clip_id)
    return store


def _view_features(
    clips: Clips, view: View, network: nn.Module, kinds: list[str], occluded: int, seed: int, device: str, block: int
) -> dict[str, Array]:
    found: dict[str, list[Array]] = {kind: [] for kind in kinds}
    changes = [
        Change(occluder=draw_occluder(generator(seed, "occluded", view.clip_id, view.number, k)))
        for k in range(occluded)
    ]
    for start in range(0, view.frames, block):
        count = min(block, view.frames - start)
        place = Place(view.shard, view.number, start)

        def encode(change: Change, place: Place = place, count: int = count) -> torch.Tensor:
            images = clips.sample(place, change, count)["images"]
            return network(images.to(device)).float().cpu()

        last_map = encode(Change())
        found["features"].append(last_map.mean((2, 3)).numpy())
        if "feature_maps" in found:
            found["feature_maps"].append(last_map.numpy().astype(np.float16))
        if changes:
            variants = [encode(change).mean((2, 3)).numpy() for change in changes]
            found["features_occluded"].append(np.stack(variants))
    axis = {"features_occluded": 1}
    return {kind: np.concatenate(parts, axis=axis.get(kind, 0)) for kind, parts in found.items()}


def extract_predictions(
    folder: Path,
    out: Path,
    checkpoint: Path,
    *,
    features: Path | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> FeatureStore:
    """Store a model's predictions as features of 157 numbers (6D pose, betas, camera), for `smoothnet`.

    Raises:
        SynthError: as `extract`, or the model needs features and has none.
    """
    model, held = load_model(checkpoint)
    model = model.to(device)
    size = int(held.get("about", {}).get("size", 224))
    clips = Clips(folder, 1, model.needs, features=features, size=size)
    about = {"encoder": f"predictions of {model.name}", "weights": weights_digest(model), "width": 157, "size": size}
    store = FeatureStore.create(out, about | {"box_scale": BOX_SCALE, "kinds": ["features"], "occluded": 0})
    by_shard: dict[int, list[View]] = {}
    for view in views(clips):
        by_shard.setdefault(view.shard, []).append(view)
    for shard, own in by_shard.items():
        entry = clips.windows.shards.entries[shard]
        if not store.has(entry.clip_id, entry.sha256):
            thetas = np.stack([_theta(model, clips, view, device) for view in own])
            store.write(entry.clip_id, entry.sha256, {"features": thetas})
            if progress is not None:
                progress(entry.clip_id)
    return store


def _theta(model: TemporalModel, clips: Clips, view: View, device: str) -> Array:
    found = predict_frames(model, lambda a, b: view_batch(clips, view, a, b), view.frames, device=device)
    six = matrix_to_six(found.rotations).flatten(2)
    return torch.cat([six, found.betas, found.camera], dim=-1)[0].numpy()
