"""The `train` command."""

import importlib
import logging
import sys
import time
from pathlib import Path

import click

from synth.errors import SynthError
from train.catalog import MODELS

__all__ = ["main", "train"]

COMMANDS = {
    "extract": "Store frozen features beside the shards.",
    "evaluate": "Measure a checkpoint on shards.",
    "predict": "Recover a motion from a video, pictures or a shard.",
    "table": "The papers' comparisons and ablations, on one's own data.",
    "info": "Options, parameters and receptive field of a model.",
    "flow": "Optical flow of a real data set by RAFT, for hpof.",
    "check": "Read a real data set, say what it holds, draw samples.",
}
"""Commands in `train/commands/`, beside `data` and one for each model."""


class LazyGroup(click.Group):
    """Knows its commands' names and first lines without importing torch, so that --help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of use."""
        return ["data", *MODELS, *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name in MODELS:
            return importlib.import_module("train.commands.fit").command(cmd_name)
        if cmd_name in COMMANDS:
            return getattr(importlib.import_module(f"train.commands.{cmd_name}"), cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands for --help."""
        models = [(name, about) for name, (_, _, about) in MODELS.items()]
        with formatter.section("Models"):
            formatter.write_dl(models)
        others = [("data", "Read windows as training does and time it."), *COMMANDS.items()]
        with formatter.section("Other commands"):
            formatter.write_dl(others)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done.")
@click.version_option(package_name="raiment")
def train(verbose: bool) -> None:
    """Networks that recover a moving body mesh from video, trained on the shards that `synth render` makes.

    Start with: train mviper --data shards/ --preset smoke
    """
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True)


@train.command()
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True, help="Folder of shards.")
@click.option("--frames", default=16, show_default=True, type=click.IntRange(1), help="Frames in a window.")
@click.option("--stride", default=1, show_default=True, type=click.IntRange(1), help="Frames between windows.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Windows in a batch.")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0), help="Processes that read.")
@click.option("--batches", default=16, show_default=True, type=click.IntRange(1), help="Batches to read and time.")
@click.option(
    "--field", "fields", multiple=True, help="Field to read, may be given again [default: for mesh recovery]."
)
@click.option("--seed", default=0, show_default=True, help="Of the order.")
def data(
    folder: Path, frames: int, stride: int, batch: int, workers: int, batches: int, fields: tuple[str, ...], seed: int
) -> None:
    """Read windows as training does: say what there is, the tensors' shapes and the windows read per second.

    \b
    Example:
      train data --data shards/ --workers 2
    """  # noqa: D301
    import torch
    from torch.utils.data import DataLoader

    from train.data import FIELDS, Windows, collate

    windows = Windows(folder, length=frames, stride=stride, fields=fields or FIELDS)
    images = sum(entry.frames * entry.views for entry in windows.shards.entries)
    click.echo(f"{folder}: {len(windows.shards)} clips, {images} images, {len(windows)} windows of {frames} frames")
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(
        windows, batch_size=batch, shuffle=True, generator=order, num_workers=workers, collate_fn=collate
    )
    read, started = 0, 0.0
    try:
        for number, samples in enumerate(loader):
            if number == 0:
                _show(samples)
                started = time.perf_counter()
            else:
                read += len(samples["clip_id"])
            if number >= batches:
                break
    except ValueError as error:
        raise SynthError(f"--field: {error}") from error
    seconds = time.perf_counter() - started
    if read:
        click.echo(f"{read / seconds:.1f} windows/s, {read * frames / seconds:.0f} images/s ({workers} workers)")


def _show(samples: dict) -> None:
    for name, value in samples.items():
        if hasattr(value, "shape"):
            click.echo(f"  {name:<28} {str(value.dtype).removeprefix('torch.'):<8} {tuple(value.shape)}")


def main() -> None:
    """Entry point of the `train` script; a user's mistake is one clear line and exit status 2."""
    try:
        train(prog_name="train")
    except SynthError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
