"""From a checkpoint and folders to a report."""

from collections.abc import Sequence
from pathlib import Path

from synth.errors import SynthError
from train.body import BodyLayer
from train.checkpoint import load_model
from train.clips import Clips
from train.evaluate import Report, Smoother, evaluate
from train.run import check_body, choose_device

__all__ = ["measure"]


def measure(
    checkpoint: Path,
    folders: Sequence[Path],
    *,
    features: Sequence[Path] = (),
    body: str = "free",
    device: str = "auto",
    window: int | None = None,
    smooth: Smoother | None = None,
) -> Report:
    """Evaluate a checkpoint.

    Args:
        checkpoint: Of any model.
        folders: Of shards.
        features: Frozen features of each folder, by the encoder that the model was trained with.
        body: The shards' body model.
        device: Where to run the network.
        window: Frames a window sees; the model's own by default.
        smooth: Changes predictions before they are measured, such as `OneEuro()`.

    Raises:
        SynthError: a file is wrong, features are missing or of another encoder, or the body is not the shards'.
    """
    model, held = load_model(checkpoint)
    layer = BodyLayer.named(body)
    check_body(layer, folders)
    if list(layer.sha256) != list(held["body"].get("sha256", [])):
        raise SynthError(f"{checkpoint}: was trained on another body model than {body!r}", "Give --body that model")
    chosen = choose_device(device)
    stored = bool(model.needs & {"features", "feature_maps"})
    if stored and len(features) != len(folders):
        hint = "Give --features for each --data; `train extract` makes them, with the encoder used for training"
        raise SynthError(f"{checkpoint}: {model.name} reads frozen features", hint)
    size = int(held.get("about", {}).get("size", 224))
    sources = []
    for number, folder in enumerate(folders):
        clips = Clips(folder, 1, model.needs, features=features[number] if stored else None, size=size)
        if clips.store is not None:
            _same_encoder(clips, held, checkpoint)
        sources.append(clips)
    return evaluate(model.to(chosen), sources, layer, device=chosen, window=window, smooth=smooth)


def _same_encoder(clips: Clips, held: dict, checkpoint: Path) -> None:
    """Features of another encoder would give numbers that mean nothing."""
    trained = held.get("about", {}).get("encoder_weights")
    assert clips.store is not None
    found = clips.store.about.get("weights")
    if trained is not None and found != trained:
        raise SynthError(
            f"{clips.store.folder}: features of another encoder than {checkpoint.name} was trained with",
            "Run `train extract` with the same encoder",
        )
