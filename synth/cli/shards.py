"""`synth verify`, `synth info`, `synth sheet`: look at a folder of shards."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from synth.cli.bar import default_jobs, shown_progress
from synth.shards.manifest import Entry, Manifest

__all__ = ["info", "sheet", "verify"]

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@click.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON, the last line.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes.  [default: number of cores]")
@click.option(
    "--body",
    "bodies",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Body model file, or folder of them, for shards of licensed bodies; may be given again.",
)
def verify(folder: Path, as_json: bool, jobs: int | None, bodies: tuple[Path, ...]) -> None:
    """Check every label of every shard in DIR against its own pixels.

    The body is posed anew from the stored parameters, its joints are projected, the stored meshes are drawn, and depth,
    flow, normals, body parts, garments, silhouettes, visibility, boxes and pictures are compared with them. Exit
    status: 0 all is right, 1 there are faults, 2 the folder cannot be checked.

    \b
    Examples:
      synth verify shards/
      synth verify shards/ --jobs 8 --json
      synth verify shards/ --body ~/models/smpl/
    """  # noqa: D301
    from synth.shards.verify import summary, worst
    from synth.shards.verify import verify as check

    with shown_progress("verify") as progress:
        found = check(folder, bodies, jobs or default_jobs(), progress)
    report = summary(found)
    _print_report(folder, report, worst(found))
    if as_json:
        click.echo(json.dumps(report))
    if not report["ok"]:
        raise SystemExit(1)


def _print_report(folder: Path, report: dict[str, Any], measures: dict[str, float | None]) -> None:
    from synth.shards.checks import LIMITS, MEASURES

    for name in MEASURES:
        value, sense = measures[name], ">=" if name.endswith("_iou") else "<="
        shown = "not measured" if value is None else f"{value:.4f}"
        click.echo(f"  {name:<16} {shown:>12}   ({sense} {LIMITS[name]:g})")
    for fault in report["faults"]:
        click.echo(f"  FAULT {fault['name']}: {fault['file']} {fault['field']}: {fault['detail']}")
    verdict = "all labels agree" if report["ok"] else f"{len(report['faults'])} faults"
    click.echo(f"{folder}: {report['shards']} shards, {verdict}")


@click.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@click.option("--rebuild", is_flag=True, help="First write the manifest anew from the files in DIR.")
def info(folder: Path, as_json: bool, rebuild: bool) -> None:
    """Say what DIR holds: clips, frames, pictures, outfits, motions, and what was rejected, with the reasons.

    \b
    Examples:
      synth info shards/
      synth info shards/ --rebuild
    """  # noqa: D301
    manifest = Manifest(folder)
    entries = list((manifest.rebuild() if rebuild else manifest.entries()).values())
    found = _count(entries)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{folder}: {found['clips']} clips, {found['frames']} frames, {found['images']} images")
    if found["images"]:
        click.echo(f"  {found['bytes'] / 2**20:.1f} MiB, {found['bytes_per_image'] / 1024:.1f} KiB an image")
    for title in ("kind", "outfit", "motion", "gender", "body"):
        for value, number in found[title].items():
            click.echo(f"  {title:<8} {value:<32} {number:>6} clips")
    for stage, seconds in found["seconds"].items():
        click.echo(f"  time     {stage:<32} {seconds:>8.1f} s")
    click.echo(f"  rejected {len(found['rejected'])}")
    for clip in found["rejected"]:
        click.echo(f"    {clip['clip_id']}  {clip['motion']}  {clip['outfit']}: {'; '.join(clip['reasons'])}")


def _count(entries: list[Entry]) -> dict[str, Any]:
    done = [entry for entry in entries if entry.status == "done"]
    images, size = sum(e.frames * e.views for e in done), sum(e.bytes for e in done)
    counts = {
        title: dict(sorted(Counter(str(e.attributes.get(title, "?")) for e in done).items()))
        for title in ("kind", "outfit", "motion", "gender", "body")
    }
    stages = sorted({stage for entry in entries for stage in entry.seconds})
    rejected = [
        {
            "clip_id": e.clip_id,
            "motion": e.attributes.get("motion", "?"),
            "outfit": e.attributes.get("outfit", "?"),
            "reasons": list(e.reasons),
        }
        for e in entries
        if e.status == "rejected"
    ]
    return {
        "clips": len(done),
        "frames": sum(entry.frames for entry in done),
        "images": images,
        "bytes": size,
        "bytes_per_image": size / images if images else 0.0,
        **counts,
        "seconds": {stage: sum(entry.seconds.get(stage, 0.0) for entry in entries) for stage in stages},
        "rejected": rejected,
    }


@click.command()
@_FOLDER
@click.option("--out", type=click.Path(path_type=Path), default=Path("sheet.png"), show_default=True, help="PNG.")
@click.option("--clips", default=8, show_default=True, type=click.IntRange(1), help="Clips at most.")
@click.option("--views", default=4, show_default=True, type=click.IntRange(1), help="Views of each clip at most.")
@click.option("--frame", default=0.6, show_default=True, type=click.FloatRange(0, 1), help="Where in the clip, 0 to 1.")
def sheet(folder: Path, out: Path, clips: int, views: int, frame: float) -> None:
    """Draw a contact sheet of DIR: pictures, joints, body parts, garments, depth, normals and flow, clip by clip.

    \b
    Example:
      synth sheet shards/ --out sheet.png --clips 4
    """  # noqa: D301
    from synth.shards.sheet import draw_sheet

    drawn = draw_sheet(folder, out, clips, views, frame)
    click.echo(f"{out}: {drawn} clips")
