"""From a checkpoint and folders to a report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synth.errors import SynthError
from train.body import BodyLayer
from train.checkpoint import load_model
from train.clips import Clips
from train.evaluate import Report, Smoother, evaluate
from train.run import check_body, choose_device, part_of

__all__ = ["measure"]


def measure(
    checkpoint: Path,
    folders: Sequence[Path],
    *,
    features: Sequence[Path] = (),
    body: str = "free",
    device: str = "auto",
    window: int | None = None,
    windows: str = "own",
    split: str = "auto",
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
        windows: How they are laid over a view: a name in `train.evaluate.WINDOWS`.
        split: "train", "val" or "test" of folders that `synth split` divided, "all" clips, or "auto": "test" where a
            folder is split, else all.
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
    parts = []
    for number, folder in enumerate(folders):
        part = {"auto": part_of(folder, "test"), "all": ""}.get(split, split)
        parts.append(part or "all clips")
        clips = Clips(folder, 1, model.needs, features=features[number] if stored else None, size=size, part=part)
        if clips.store is not None:
            _same_encoder(clips, held, checkpoint)
        sources.append(clips)
    report = evaluate(model.to(chosen), sources, layer, device=chosen, window=window, windows=windows, smooth=smooth)
    about = {"checkpoint": f"{checkpoint}, step {held['step']}", "part": ", ".join(parts)}
    return replace(report, notes={**report.notes, **about})


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
