"""`train info`: what a model is made of."""

import json
from typing import Any

import click

from train.catalog import MODELS


@click.command()
@click.argument("model", type=click.Choice(list(MODELS)))
@click.option("--preset", default="paper", show_default=True, help="paper, small, cpu or smoke.")
@click.option("--set", "pairs", multiple=True, help="Option of the model, NAME=VALUE.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def info(model: str, preset: str, pairs: tuple[str, ...], as_json: bool) -> None:
    """Trainable parameters, receptive field, what it reads, and its options.

    \b
    Example:
      train info hmr
      train info hpof --json
    """  # noqa: D301
    import torch

    from synth.spec import to_plain
    from train.batch import count
    from train.commands.fit import parse_options
    from train.models import model_class
    from train.presets import model_options

    with torch.device("meta"):
        built = model_class(model).from_config(model_options(preset, model) | parse_options(pairs))
    facts: dict[str, Any] = {
        "model": model,
        "parameters": built.trainable(),
        "receptive_field": built.receptive_field or built.window,
        "window": built.window,
        "reads": sorted(built.needs),
        "labels": sorted(built.labels),
        "discriminator": 0 if built.adversary is None else count(built.adversary.parameters()),
        "options": to_plain(built.config),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if name != "options":
            shown = f"{value:,}" if isinstance(value, int) else ", ".join(value) if isinstance(value, list) else value
            click.echo(f"{name:<16} {shown}")
    for name, value in facts["options"].items():
        click.echo(f"  --set {name}={json.dumps(value)}")
