"""One HTML page about a run, with nothing to fetch from elsewhere."""

import html
import time
from collections import Counter

from render_farm.board import Board
from render_farm.records import DriverReport, Failure

__all__ = ["page"]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;
text-align:left;vertical-align:top}td.n,th.n{text-align:right}.bar{display:flex;height:1.4rem;border-radius:.3rem;
overflow:hidden;background:#eee}.done{background:#2a7}.rejected{background:#bb4}.quarantined{background:#c43}
.failing{background:#e92}code{font-size:.9em}h2{margin-top:2rem}
"""


def page(state: Board, out: str, price: float = 0.0) -> str:
    """The page.

    Args:
        state: Where the store stands.
        out: Its name.
        price: Of a slot's hour.
    """
    body = [
        f"<h1>{html.escape(out)}</h1><p>{time.strftime('%Y-%m-%d %H:%M:%S %z')}</p>",
        _progress(state),
        _runs(state.drivers, price),
        _curves(state.drivers),
        _failures("In quarantine", state.quarantined),
        _failures("Failed, to be tried again", state.failing),
        _rejected(state.rejected),
    ]
    title = f"<title>{html.escape(out)}: {len(state.done)} of {state.jobs} jobs</title>"
    return f"<!doctype html><meta charset=utf-8>{title}<style>{_STYLE}</style>{''.join(body)}\n"


def _progress(state: Board) -> str:
    counts = {
        "done": len(state.done),
        "rejected": len(state.rejected),
        "quarantined": len(state.quarantined),
        "failing": len(state.failing),
    }
    parts = "".join(
        f'<div class="{kind}" style="width:{100 * count / max(state.jobs, 1):.2f}%"></div>'
        for kind, count in counts.items()
    )
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return (
        f'<div class="bar">{parts}</div><p>{state.jobs} jobs: {said}, {len(state.running)} running. '
        f"{state.images_done} of {state.images} images. "
        f"{state.seconds_lost / 3600:.2f} slot-hours were lost on refused clips and failures.</p>"
    )


def _runs(drivers: list[DriverReport], price: float) -> str:
    rows = []
    for driver in drivers:
        seconds = max(driver.updated - driver.started, 1e-9)
        cells = [
            time.strftime("%m-%d %H:%M:%S", time.localtime(driver.started)),
            html.escape(f"{driver.driver} ({driver.cluster})"),
            f"{seconds:.0f}",
            f"{driver.done}",
            f"{driver.rerun}",
            f"{driver.images}",
            f"{driver.images / seconds:.2f}",
            f"{driver.slot_seconds / 3600:.2f}" + (f" ({driver.slot_seconds / 3600 * price:.2f})" if price else ""),
            "ended" if driver.ended else "works" if driver.alive else "lost",
        ]
        rows.append(cells)
    heads = ["start", "driver", "seconds", "done", "tried again", "images", "images/s", "slot-hours", "state"]
    return "<h2>Runs of submit</h2>" + _table(heads, rows)


def _curves(drivers: list[DriverReport]) -> str:
    """Images over time, one line a run."""
    points = [(d.started + t, images, d.driver) for d in drivers for t, images in d.history]
    if len(points) < 2:
        return ""
    start, end = min(p[0] for p in points), max(p[0] for p in points)
    top = max(max(p[1] for p in points), 1)
    lines = []
    for driver in drivers:
        steps = " ".join(
            f"{40 + 700 * (driver.started + t - start) / max(end - start, 1e-9):.1f},{180 - 160 * images / top:.1f}"
            for t, images in driver.history
        )
        lines.append(f'<polyline points="{steps}" fill="none" stroke="#2a7" stroke-width="2"/>')
    return (
        f'<h2>Images</h2><svg viewBox="0 0 760 210" width="100%">'
        f'<path d="M40 20V180H740" fill="none" stroke="#999"/><text x="0" y="25" font-size="12">{top}</text>'
        f'<text x="0" y="185" font-size="12">0</text>'
        f'<text x="690" y="200" font-size="12">{(end - start) / 60:.1f} min</text>{"".join(lines)}</svg>'
    )


def _failures(title: str, table: dict[str, list[Failure]]) -> str:
    if not table:
        return ""
    reasons = Counter(failures[-1].reason for failures in table.values())
    summary = _table(["jobs", "reason"], [[str(n), html.escape(reason)] for reason, n in reasons.most_common(20)])
    rows = [
        [
            f"<code>{clip_id}</code>",
            str(len(failures)),
            html.escape(failures[-1].host),
            html.escape(failures[-1].reason),
        ]
        for clip_id, failures in list(table.items())[:200]
    ]
    return f"<h2>{title}: {len(table)}</h2>{summary}{_table(['job', 'failures', 'last on', 'reason'], rows)}"


def _rejected(table: dict[str, tuple[str, ...]]) -> str:
    if not table:
        return ""
    rows = [[f"<code>{c}</code>", html.escape("; ".join(reasons))] for c, reasons in list(table.items())[:200]]
    return f"<h2>Refused by the quality gate: {len(table)}</h2>{_table(['job', 'reason'], rows)}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
