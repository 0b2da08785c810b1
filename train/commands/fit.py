"""`train MODEL`: the same command for every model."""

import json
from pathlib import Path
from typing import Any

import click

from synth.errors import SynthError
from train.catalog import MODELS

__all__ = ["command", "name_and_path", "parse_options"]

_FOLDER = click.Path(path_type=Path)


def parse_options(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Turn "weights.pose=0" into {"weights": {"pose": 0}}; values are JSON, or plain words.

    Raises:
        SynthError: no "=" in it.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise SynthError(f"--set {pair!r}: expected NAME=VALUE", "Such as --set window=8 or --set weights.pose=0")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        target = options
        *tables, key = name.split(".")
        for table in tables:
            target = target.setdefault(table, {})
            if not isinstance(target, dict):
                raise SynthError(f"--set {pair!r}: {table!r} is given twice")
        target[key] = value
    return options


def _options(function: Any) -> Any:
    """The options that all models share."""
    for option in reversed(
        (
            click.option(
                "--data", multiple=True, required=True, type=_FOLDER, help="Folder of shards; more are mixed."
            ),
            click.option(
                "--weight", "weights", multiple=True, type=click.IntRange(1), help="Share of each --data, then --real."
            ),
            click.option(
                "--real", multiple=True, metavar="NAME=PATH", help="Real data beside the shards (`train check`)."
            ),
            click.option("--bodies", type=_FOLDER, help="Licensed SMPL models, male, female, neutral, for --real."),
            click.option("--flow", multiple=True, metavar="NAME=DIR", help="Optical flow of a --real (`train flow`)."),
            click.option("--motions", type=_FOLDER, help="AMASS motions that the discriminator takes for real."),
            click.option("--out", type=_FOLDER, help="Folder of the run [default: runs/MODEL]."),
            click.option("--preset", default="paper", show_default=True, help="paper, small, cpu or smoke."),
            click.option("--features", multiple=True, type=_FOLDER, help="Frozen features of each --data."),
            click.option("--init", type=_FOLDER, help="Checkpoint whose encoder and regressor are copied."),
            click.option("--backbone-weights", type=_FOLDER, help="Published weights of the encoder."),
            click.option("--set", "pairs", multiple=True, help="Option of the model, NAME=VALUE (`train info MODEL`)."),
            click.option("--body", default="free", show_default=True, help="The shards' body model."),
            click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto."),
            click.option("--size", type=click.IntRange(32), help="Side of a crop [px; default: the preset's]."),
            click.option("--stride", default=1, show_default=True, type=click.IntRange(1), help="Between windows."),
            click.option("--no-split", is_flag=True, help="Train on all clips of folders that `synth split` divided."),
            click.option("--no-augment", is_flag=True, help="Pictures as they are."),
            click.option("--resume", is_flag=True, help="Go on where the run in --out stopped."),
            click.option("--steps", type=int, help="Optimiser steps in all."),
            click.option("--batch", type=int, help="Windows in a step."),
            click.option("--lr", type=float, help="Learning rate."),
            click.option("--schedule", help="constant, cosine or plateau."),
            click.option("--warmup", type=int, help="Steps of rising rate."),
            click.option("--clip", type=float, help="Largest norm of the gradient, 0 for none."),
            click.option("--amp", help="Precision: none, bf16 or fp16."),
            click.option("--seed", type=int, help="Of weights, order, augmentation and dropout."),
            click.option("--workers", type=int, help="Processes that read."),
            click.option("--log-every", type=int, help="Steps between two lines of the log."),
            click.option("--save-every", type=int, help="Steps between two checkpoints."),
            click.option(
                "--validate-every", type=int, help="Steps between two validations, where there is a val part."
            ),
            click.option("--tensorboard", is_flag=True, help="Also write events for TensorBoard."),
        )
    ):
        function = option(function)
    return function


_SETTINGS = (
    *("steps", "batch", "lr", "schedule", "warmup", "clip", "amp", "seed", "workers"),
    *("log_every", "save_every", "validate_every"),
)


def name_and_path(what: str, text: str) -> tuple[str, Path]:
    """Name of a real data set and a path.

    Raises:
        SynthError: no "=" in it.
    """
    name, sign, path = text.partition("=")
    if not sign or not path:
        raise SynthError(f"{what} {text!r}: expected NAME=PATH", "Such as 3dpw=3DPW/ (docs/real-data.md)")
    return name, Path(path).expanduser()


def command(model: str) -> click.Command:
    """The training command of a model."""

    @_options
    def train_model(**given: Any) -> None:
        from train.run import Run, fit

        settings = {name: given[name] for name in _SETTINGS if given[name] is not None}
        run = Run(
            model=model,
            data=given["data"],
            out=given["out"] or Path("runs") / model,
            weights=given["weights"] or None,
            real=tuple(name_and_path("--real", text) for text in given["real"]),
            flow=dict(name_and_path("--flow", text) for text in given["flow"]),
            bodies=given["bodies"],
            motions=given["motions"],
            preset=given["preset"],
            options=parse_options(given["pairs"]),
            settings=settings,
            features=given["features"],
            init=given["init"],
            backbone_weights=given["backbone_weights"],
            body=given["body"],
            device=given["device"],
            size=given["size"],
            stride=given["stride"],
            augment=not given["no_augment"],
            split=not given["no_split"],
            tensorboard=given["tensorboard"],
        )
        path = fit(run, resume=given["resume"], report=_say)
        click.echo(f"{path}: done; measure it with `train evaluate {path} --data DIR`")

    example = f"\b\nExample:\n  train {model} --data shards/ --preset smoke --out runs/{model}"
    return click.command(model, help=f"{MODELS[model][2]}\n\n{example}")(train_model)


def _say(progress: Any) -> None:
    terms = "  ".join(f"{name} {value:.4g}" for name, value in progress.terms.items())
    terms += "".join(f"  val {name} {value:.4g}" for name, value in progress.validation.items())
    left = int(progress.seconds_left)
    click.echo(
        f"step {progress.step}/{progress.steps}  {terms}  {progress.samples_per_s:.1f} windows/s  "
        f"loader {100 * progress.loader_share:.0f} %  left {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    )
