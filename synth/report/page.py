"""The report: one HTML file with everything in it, that can be mailed or kept beside the shards."""

import base64
import html
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from synth.files import write_text
from synth.report.charts import bars, histogram, ranges
from synth.report.facts import Facts, collect
from synth.shards.manifest import Entry
from synth.shards.read import ShardReader
from synth.shards.sheet import assemble, clip_block, with_joints

__all__ = ["write_report"]

_CSS = """
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{max-width:1500px;margin:0 auto;padding:1rem 1.5rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #8886}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}
.row{display:flex;flex-wrap:wrap;gap:1rem 1.5rem;align-items:flex-start}
figure{margin:0}figcaption{font-size:.85rem;opacity:.8}
.chart rect{fill:#4a8fe0}.chart rect.mark{fill:#e07b2a}.chart text{font-size:11px;fill:currentColor}
img{max-width:100%;height:auto;display:block}pre{white-space:pre-wrap;word-break:break-all;font-size:.8rem}
.command{font-size:.95rem;margin:.6rem 0 .2rem}
"""
_FRAMES = 60
"""Frames of an animation at most."""


def write_report(
    folder: Path, out: Path, clips: int = 6, views: int = 2, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write the report.

    Args:
        folder: The shards.
        out: HTML file, written whole or not at all.
        clips: Clips shown in pictures at most, spread evenly; the numbers are of all.
        views: Views of each shown clip at most.
        progress: Told how many of the clips shown are drawn.

    Returns:
        Number of clips shown in pictures.

    Raises:
        SynthError: no manifest, or a shard is damaged.
    """
    facts = collect(folder)
    count = len(facts.shards)
    chosen = np.unique(np.linspace(0, count - 1, min(clips, count)).astype(int)).tolist() if count else []
    shown = []
    for number, index in enumerate(chosen):
        shown.append(_clip(facts.shards[index], facts.shards.entries[index], views))
        if progress is not None:
            progress(number + 1, len(chosen))
    title = f"{folder.resolve().name}: {count} clips"
    parts = [
        _summary(facts, folder),
        *shown,
        _distributions(facts),
        _rejected(facts),
        _times(facts),
        _commands(facts),
        _origin(facts),
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_CSS}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )
    write_text(out, page)
    return len(chosen)


def _summary(facts: Facts, folder: Path) -> str:
    done = facts.shards.entries
    images, size = sum(e.frames * e.views for e in done), sum(e.bytes for e in done)
    rows = {
        "folder": str(folder.resolve()),
        "clips": f"{len(done)}, and {len(facts.entries) - len(done)} rejected",
        "frames": str(sum(e.frames for e in done)),
        "images": str(images),
        "size": f"{size / 2**20:.1f} MiB, {size / max(images, 1) / 1024:.1f} KiB an image",
    }
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"


def _clip(reader: ShardReader, entry: Entry, views: int) -> str:
    """A contact sheet of one clip and an animation of its first view."""
    views = min(views, entry.views)
    block = clip_block(reader, entry, views, int(0.6 * (entry.frames - 1)))
    sheet = _embedded(assemble([block]), f"contact sheet of {entry.clip_id}")
    clip = _animation(reader, entry)
    reader.close()
    return (
        f"<h2>{html.escape(entry.clip_id)}: {html.escape(str(entry.attributes.get('motion')))}</h2>"
        f"{sheet}<figure><figcaption>view 0, with joints beside</figcaption>{clip}</figure>"
    )


def _animation(reader: ShardReader, entry: Entry) -> str:
    """The first view as an animated WebP: the picture, and the picture with its joints."""
    step = -(-entry.frames // _FRAMES)
    pictures = []
    for t in range(0, entry.frames, step):
        maps = reader.frame(0, t, ("rgb", "keypoints_2d", "visibility", "bbox"))
        drawn = with_joints(maps["rgb"], maps["keypoints_2d"], maps["visibility"], maps["bbox"])
        pictures.append(Image.fromarray(np.concatenate([maps["rgb"], drawn], axis=1)))
    rest = {"append_images": pictures[1:], "save_all": True, "loop": 0}
    duration = round(1000 * step / float(reader.attributes["fps"]))
    return _embedded(pictures[0], f"clip {entry.clip_id}", duration=duration, **rest)


def _embedded(image: Image.Image, name: str, **options: object) -> str:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=80, method=2, **options)
    data = base64.b64encode(stream.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img alt="{html.escape(name)}" {size} src="data:image/webp;base64,{data}">'


def _distributions(facts: Facts) -> str:
    out = "<h2>What there is</h2><div class=row>"
    out += "".join(bars(title, count) for title, count in facts.counts.items())
    out += "</div><h2>Poses</h2><div class=row>"
    if facts.poses:
        out += ranges("joint rotations, 5 % to 95 % and median", facts.poses, "°")
    out += "</div>"
    for title, group in (
        ("Body shapes", facts.betas),
        ("Cameras", facts.cameras),
        ("Lights", facts.lights),
        ("Quality of the cloth (mean of each garment and clip)", facts.quality),
    ):
        charts = "".join(histogram(name, values) for name, values in group.items())
        out += f"<h2>{title}</h2><div class=row>{charts or 'none'}</div>"
    return out


def _rejected(facts: Facts) -> str:
    rejected = [entry for entry in facts.entries if entry.status == "rejected"]
    reasons = Counter(reason.split(":")[0] for entry in rejected for reason in entry.reasons)
    rows = "".join(
        f"<tr><td>{html.escape(e.clip_id)}</td><td>{html.escape(str(e.attributes.get('motion')))}</td>"
        f"<td>{html.escape(str(e.attributes.get('outfit')))}</td><td>{html.escape('; '.join(e.reasons))}</td></tr>"
        for e in rejected
    )
    lost = sum(seconds for entry in rejected for seconds in entry.seconds.values())
    spent = f"<p>{lost:.0f} s were spent on them.</p>" if lost else ""
    charts = bars("reasons", reasons) if rejected else ""
    return f"<h2>Rejected: {len(rejected)}</h2>{spent}{charts}<table>{rows}</table>"


def _times(facts: Facts) -> str:
    total: Counter[str] = Counter()
    for entry in facts.entries:
        total.update({stage: float(seconds) for stage, seconds in entry.seconds.items()})
    images = sum(entry.frames * entry.views for entry in facts.shards.entries)
    each = {name: seconds / max(images, 1) for name, seconds in total.items()}
    charts = bars("seconds, all clips", total, "s") + bars("seconds an image", each, "s")
    return f"<h2>Where the time went</h2><div class=row>{charts if total else 'not recorded'}</div>"


def _commands(facts: Facts) -> str:
    """The commands that made the folder, each once, and the settings that each came to."""
    out, last = "<h2>Commands</h2>", {run.command: run for run in facts.runs}
    if not last:
        return out + "<p>Not recorded: not made by <code>synth render</code>, or before it kept them.</p>"
    for command, run in last.items():
        times = [other.started for other in facts.runs if other.command == command]
        again = f", {len(times)} times, first {times[0]}" if len(times) > 1 else ""
        out += (
            f"<pre class=command>$ {html.escape(command)}</pre><details><summary>{html.escape(run.started + again)}, "
            f"code {html.escape(run.commit)}: all settings</summary>"
            f"<pre>{html.escape(json.dumps(run.config, indent=1))}</pre></details>"
        )
    return out


def _origin(facts: Facts) -> str:
    """Config and spec of each clip: all that is needed to make it again."""
    out = "<h2>Where it came from</h2><p>A clip is a function of its spec, the commit and Blender's version; "
    out += "<code>synth regenerate CLIP_ID</code> makes it again.</p>"
    for clip_id, attributes in facts.origin:
        spec = json.dumps(json.loads(attributes["spec"]), indent=1)
        small = ", ".join(f"{name} {attributes[name]}" for name in ("commit", "bpy_version", "device", "body_model"))
        out += (
            f"<details><summary>{html.escape(clip_id)}: {html.escape(small)}</summary>"
            f"<h3>config</h3><pre>{html.escape(attributes['config'])}</pre>"
            f"<h3>spec</h3><pre>{html.escape(spec)}</pre></details>"
        )
    return out
