"""Small charts as SVG text: histograms, bars, ranges. No script, no style from outside."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["bars", "histogram", "ranges"]

_WIDTH, _HEIGHT, _ROW = 260, 90, 17


def _figure(title: str, body: str, width: int, height: int) -> str:
    title = html.escape(title)
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{title}">{body}</svg></figure>'
    )


def _text(x: float | int, y: float | int, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{html.escape(text)}</text>'


def histogram(title: str, values: Sequence[float] | np.ndarray, bins: int = 20) -> str:
    """Draw how often values occur; says so if there are none. Below it the smallest, the mean and the largest."""
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return _figure(f"{title}: none", "", _WIDTH, 20)
    counts, _ = np.histogram(values, bins=bins)
    step = _WIDTH / bins
    body = "".join(
        f'<rect x="{k * step + 0.5:.1f}" y="{_HEIGHT - h:.1f}" width="{step - 1:.1f}" height="{h:.1f}"/>'
        for k, h in enumerate(counts / counts.max() * (_HEIGHT - 4))
    )
    labels = (
        (0, f"{values.min():.3g}", "start"),
        (_WIDTH / 2, f"mean {values.mean():.3g} ± {values.std():.2g}", "middle"),
        (_WIDTH, f"{values.max():.3g}", "end"),
    )
    body += "".join(_text(x, _HEIGHT + 14, text, anchor) for x, text, anchor in labels)
    return _figure(f"{title} (n = {len(values)})", body, _WIDTH, _HEIGHT + 20)


def bars(title: str, values: Mapping[str, float | int], unit: str = "") -> str:
    """Draw one horizontal bar for each name, the longest first."""
    if not values:
        return _figure(f"{title}: none", "", _WIDTH, 20)
    top = max(max(values.values()), 1e-12)
    body = ""
    for row, (name, value) in enumerate(sorted(values.items(), key=lambda item: -item[1])):
        y = row * _ROW
        body += f'<rect x="170" y="{y + 3}" width="{max(value / top * 130, 1):.1f}" height="{_ROW - 6}"/>'
        body += _text(165, y + 13, name if len(name) < 28 else name[:26] + "…", "end")
        body += _text(305, y + 13, f"{value:.6g} {unit}")
    return _figure(title, body, 380, len(values) * _ROW + 4)


def ranges(title: str, rows: Mapping[str, np.ndarray], unit: str) -> str:
    """Draw for each name the range from the 5th to the 95th percentile, with the median."""
    top = max((float(np.percentile(v, 95)) for v in rows.values() if len(v)), default=1.0) or 1.0
    body = ""
    for row, (name, values) in enumerate(rows.items()):
        low, middle, high = np.percentile(values, (5, 50, 95)) / top * 200
        y = row * _ROW
        body += f'<rect x="{130 + low:.1f}" y="{y + 5}" width="{max(high - low, 1):.1f}" height="{_ROW - 10}"/>'
        body += f'<rect class="mark" x="{130 + middle - 1:.1f}" y="{y + 2}" width="2" height="{_ROW - 4}"/>'
        body += _text(124, y + 13, name, "end")
        body += _text(336, y + 13, f"to {high / 200 * top:.3g} {unit}")
    return _figure(title, body, 420, len(rows) * _ROW + 4)
