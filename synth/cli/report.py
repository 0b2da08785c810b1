"""`synth report`: one page about a folder of shards."""

from pathlib import Path

import click

from synth.cli.bar import shown_progress

__all__ = ["report"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default="report.html", show_default=True, help="HTML."
)
@click.option("--clips", default=6, show_default=True, type=click.IntRange(0), help="Clips shown in pictures at most.")
@click.option("--views", default=2, show_default=True, type=click.IntRange(1), help="Views of each at most.")
def report(folder: Path, out: Path, clips: int, views: int) -> None:
    """Write one self-contained HTML page about DIR, to be looked at in any browser.

    It holds contact sheets with all labels, animated clips, distributions (poses, shapes, cameras, lights, quality),
    what was rejected and why, where the time went, and each clip's config and spec.

    \b
    Example:
      synth report shards/ --out report.html
    """  # noqa: D301
    from synth.report.page import write_report

    with shown_progress("report") as progress:
        shown = write_report(folder, out, clips, views, progress)
    click.echo(f"{out}: {shown} clips in pictures, {out.stat().st_size / 2**20:.1f} MiB")
