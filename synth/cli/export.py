"""`synth export`: shards in the formats that existing loaders read."""

from pathlib import Path

import click

__all__ = ["export"]

_TARGETS = ("bedlam", "surreal", "vibe", "spin", "coco", "webdataset", "video")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--to", "name", required=True, type=click.Choice(_TARGETS), help="Format.")
@click.option("--out", type=click.Path(path_type=Path), help="New folder.  [default: DIR-FORMAT]")
@click.option("--every", default=1, show_default=True, type=click.IntRange(1), help="Take each nth frame only.")
def export(folder: Path, name: str, out: Path | None, every: int) -> None:
    """Write the shards in DIR in another format, and say what that format cannot hold.

    \b
      bedlam      labels.npz with BEDLAM's names, and JPEGs
      surreal     SURREAL's _info, _depth, _segm, _gtflow .mat and .mp4
      vibe        db.pt (joblib) with VIBE's names, and JPEGs
      spin        labels.npz with SPIN's names, and JPEGs
      coco        annotations.json (keypoints, masks), and JPEGs
      webdataset  tar files of jpg, json, npz
      video       one mp4 a view

    \b
    Examples:
      synth export shards/ --to coco --out coco/
      synth export shards/ --to webdataset --out tars/ --every 5
    """  # noqa: D301
    from synth.export.targets import export as write

    out = out or folder.with_name(f"{folder.resolve().name}-{name}")
    done = write(folder, out, name, every)
    click.echo(f"{out}: {done.images} images as {name}")
    click.echo(done.notes)
    click.echo(f"Not in it, because {name} has no place for it:")
    for line in done.cannot_hold:
        click.echo(f"  - {line}")
