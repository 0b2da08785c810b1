"""`train table`: the papers' tables on one's own data."""

from pathlib import Path

import click

from train.variants import TABLES

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("name", type=click.Choice(list(TABLES)))
@click.option("--data", required=True, type=_FOLDER, help="Folder of shards to train on.")
@click.option("--test", type=_FOLDER, help="Folder of shards to measure on [default: the test part of --data].")
@click.option("--out", type=_FOLDER, default=Path("tables"), show_default=True, help="Where runs and tables go.")
@click.option("--preset", default="small", show_default=True, help="paper, small, cpu or smoke.")
@click.option("--steps", type=click.IntRange(1), help="Steps for every line [default: the preset's].")
@click.option("--batch", type=click.IntRange(1), help="Windows in a step.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--workers", type=click.IntRange(0), help="Processes that read.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Runs of each line.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option(
    "--windows",
    default="overlap",
    show_default=True,
    type=click.Choice(["own", "chunks", "overlap"]),
    help="How windows are laid over a view when measuring.",
)
@click.option("--validate-every", type=click.IntRange(1), help="Steps between two validations.")
@click.option("--amp", type=click.Choice(["none", "bf16", "fp16"]), help="Precision.")
@click.option("--body", default="free", show_default=True, help="The shards' body model.")
def table(
    name: str,
    data: Path,
    test: Path | None,
    out: Path,
    preset: str,
    steps: int | None,
    batch: int | None,
    lr: float | None,
    workers: int | None,
    seeds: int,
    device: str,
    windows: str,
    validate_every: int | None,
    amp: str | None,
    body: str,
) -> None:
    """Train every line of a paper's table under one budget and print their measures side by side.

    A call that was stopped goes on where it stopped. Mean and standard deviation are over the seeds. Without --test the
    folder must be split (`synth split`): train part, weights chosen on the val part, measured on the test part.

    \b
    Example:
      train table mviper --data shards/ --test held_out/ --preset smoke --seeds 2
    """  # noqa: D301
    from train.comparison import Budget, compare, markdown

    given = {
        "steps": steps,
        "batch": batch,
        "lr": lr,
        "workers": workers,
        "validate_every": validate_every,
        "amp": amp,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    budget = Budget(
        data=data,
        test=test,
        out=out,
        preset=preset,
        settings=settings,
        seeds=seeds,
        device=device,
        body=body,
        windows=windows,
    )
    click.echo(markdown(compare(name, budget, click.echo)))
