"""`train check`: read a real data set from end to end and say what it holds."""

from pathlib import Path

import click


@click.command()
@click.argument("source", metavar="SOURCE=PATH")
@click.option("--split", default=None, help="Part of the data set, such as train or test [default: the first].")
@click.option("--bodies", type=click.Path(path_type=Path), default=None, help="Folder of licensed SMPL models.")
@click.option("--limit", default=None, type=click.IntRange(1), help="Tracks to read, spread evenly [default: all].")
@click.option("--samples", default=12, show_default=True, type=click.IntRange(0), help="Tracks on the sheet.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="PNG of the sheet.")
def check(
    source: str, split: str | None, bodies: Path | None, limit: int | None, samples: int, out: Path | None
) -> None:
    """Read a real data set: counts, frame rates, joints, share of known labels, boxes out of the picture; and draw
    samples with their labels, to be looked at.

    SOURCE is 3dpw, h36m, 3dhp, emdb, coco, eft, mpii, lsp, lspet, penn, posetrack, insta, amass, vibe or spin; PATH the
    folder (or file) it was unpacked to. docs/real-data.md says what each expects.

    \b
    Example:
      train check 3dpw=~/data/3DPW --split test
      train check coco=~/data/coco --limit 1000 --out coco.png
    """  # noqa: D205, D301
    from synth.errors import SynthError
    from train.check import check as read
    from train.real import SOURCES, open_source
    from train.sheet import draw_sheet

    name, sign, path = source.partition("=")
    if not sign or not path:
        raise SynthError(f"{source!r}: expected SOURCE=PATH", f"SOURCE is one of {', '.join(SOURCES)}")
    opened = open_source(name, Path(path).expanduser(), split, bodies)
    report = read(opened, limit)
    click.echo(f"{name}, split {opened.split}: {path}")
    for line in report.lines():
        click.echo(f"  {line}")
    for fault in report.faults():
        click.echo(f"  look into: {fault}")
    if samples:
        sheet = out or Path(f"{name}-{opened.split}.png")
        click.echo(f"  {draw_sheet(opened, sheet, samples)} samples drawn: {sheet}")
