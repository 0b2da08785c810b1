"""From a checkpoint and folders of shards or real data sets to a report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synth.errors import SynthError
from train.body import BodyLayer
from train.checkpoint import load_model
from train.clips import Clips
from train.evaluate import Report, Smoother, evaluate
from train.extract import encoder_for
from train.real import open_source, source_class
from train.real.clips import RealClips
from train.run import check_body, choose_device, part_of

__all__ = ["measure"]


def measure(
    checkpoint: Path,
    folders: Sequence[Path],
    *,
    features: Sequence[Path] = (),
    real: Sequence[tuple[str, Path]] = (),
    real_split: str | None = None,
    bodies: Path | None = None,
    encoder: Path | None = None,
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
        real: Real data sets: name (as in `train.real.SOURCES`) and path.
        real_split: Their part; None: the one to test on, of those that have one.
        bodies: Folder of licensed SMPL models, for labels that cannot be had without (docs/real-data.md).
        encoder: Checkpoint of the encoder, for models of features on data sets of pictures.
        body: The shards' body model.
        device: Where to run the network.
        window: Frames a window sees; the model's own by default.
        windows: How they are laid over a view: a name in `train.evaluate.WINDOWS`.
        split: "train", "val" or "test" of folders that `synth split` divided, "all" clips, or "auto": "test" where a
            folder is split, else all.
        smooth: Changes predictions before they are measured, such as `OneEuro()`.

    Raises:
        SynthError: a file is wrong, features are missing or of another encoder, the body is not the shards', or no
            frame has labels to measure by.
    """
    model, held = load_model(checkpoint)
    layer = BodyLayer.named(body)
    check_body(layer, folders)
    if list(layer.sha256) != list(held["body"].get("sha256", [])):
        raise SynthError(f"{checkpoint}: was trained on another body model than {body!r}", "Give --body that model")
    chosen = choose_device(device)
    stored = bool(model.needs & {"features", "feature_maps"})
    if not folders and not real:
        raise SynthError(f"{checkpoint}: nothing to measure on", "Give --data a folder of shards, or --real a data set")
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
    network = None
    if stored and encoder is not None:
        network = encoder_for(held, checkpoint, encoder)
    for name, path in real:
        needs = model.needs if network is None else frozenset({"images"})
        source = open_source(name, path, _test_split(name, real_split), bodies)
        parts.append(f"{name} {source.split}")
        sources.append(RealClips(source, 1, needs, size=size, smpl=body != "free"))
    report = evaluate(
        model.to(chosen), sources, layer, device=chosen, window=window, windows=windows, smooth=smooth, network=network
    )
    about = {"checkpoint": f"{checkpoint}, step {held['step']}", "part": ", ".join(parts)}
    return replace(report, notes={**report.notes, **about})


def _test_split(name: str, wanted: str | None) -> str | None:
    """The part of a real data set that is for testing; None where it has no such part."""
    if wanted is not None:
        return wanted
    return next((split for split in ("test", "val", "valid") if split in source_class(name).splits), None)


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
