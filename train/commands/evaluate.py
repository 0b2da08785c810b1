"""`train evaluate`: measures of a checkpoint on folders of shards."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from train.commands.fit import name_and_path

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("checkpoint", type=_FOLDER)
@click.option("--data", "folders", multiple=True, type=_FOLDER, help="Folder of shards.")
@click.option("--features", multiple=True, type=_FOLDER, help="Frozen features of each --data.")
@click.option("--real", multiple=True, metavar="NAME=PATH", help="Real data (`train check` shows what it holds).")
@click.option("--real-split", help="Part of --real [default: test, or what the data set has for it].")
@click.option("--bodies", type=_FOLDER, help="Licensed SMPL models, male, female, neutral, for --real.")
@click.option("--encoder", type=_FOLDER, help="Checkpoint of the encoder, for models of features on --real.")
@click.option("--body", default="free", show_default=True, help="The shards' body model.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--window", type=click.IntRange(1), help="Frames a window sees [default: the model's].")
@click.option(
    "--windows",
    default="own",
    show_default=True,
    type=click.Choice(["own", "chunks", "overlap"]),
    help="How windows are laid over a view: as the model was made for, one after the other, overlapping by half.",
)
@click.option(
    "--split",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "train", "val", "test", "all"]),
    help="Part of the folder; auto: test where `synth split` divided it, else all.",
)
@click.option("--one-euro", is_flag=True, help="Smooth the predictions by a one-euro filter first.")
@click.option("--json", "out", type=_FOLDER, help="Also write everything as JSON.")
@click.option("--by-motion", is_flag=True, help="One line for each motion, as the papers' tables have for actions.")
def evaluate(
    checkpoint: Path,
    folders: tuple[Path, ...],
    features: tuple[Path, ...],
    real: tuple[str, ...],
    real_split: str | None,
    bodies: Path | None,
    encoder: Path | None,
    body: str,
    device: str,
    window: int | None,
    windows: str,
    split: str,
    one_euro: bool,
    out: Path | None,
    by_motion: bool,
) -> None:
    """Measure a checkpoint on every frame of every view.

    Positions in mm, acceleration in mm/frame2 and m/s2, MVIPER's running variations, PCK, AUC, EMDB's angle and jitter.
    Accelerations of two models can be compared under the same --windows only.

    Real data know less: joints that are annotated are compared by themselves (measures ending in _annotated), the mesh
    where the data set knows pose and shape and --body is SMPL.

    \b
    Examples:
      train evaluate runs/mviper/last.pt --data shards/ --json result.json
      train evaluate runs/mviper/last.pt --real 3dpw=~/data/3DPW --body ~/models/smpl
    """  # noqa: D301
    from synth.files import write_text
    from train.evaluate import table
    from train.measure import measure
    from train.models.smoothing import OneEuro

    smooth = OneEuro() if one_euro else None
    report = measure(
        checkpoint,
        folders,
        features=features,
        real=[name_and_path("--real", text) for text in real],
        real_split=real_split,
        bodies=bodies,
        encoder=encoder,
        body=body,
        device=device,
        window=window,
        windows=windows,
        split=split,
        smooth=smooth,
    )
    if by_motion:
        click.echo(table(report))
    for name, value in report.mean.items():
        click.echo(f"{name:<28} {value:12.4f}")
    click.echo(f"{report.frames} frames, {report.sequences} sequences; {'; '.join(report.notes.values())}")
    if out is not None:
        write_text(out, json.dumps(asdict(report), indent=1, sort_keys=True) + "\n")
