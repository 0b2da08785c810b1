"""Whether a picture shows what its labels say: its edges lie along the outline of its own mask."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from synth.errors import SynthError
from synth.shards.checks import Findings
from synth.shards.read import ShardReader

Array = np.ndarray

__all__ = ["check_pictures"]

_STEPS = (-2, -1, 0, 1, 2)
_AWAY = ((0, 12), (0, -12), (12, 0), (-12, 0))
"""Shifts [px] at which the outline should meet no more edge than by chance."""

Outline = tuple[Int[Array, " N"], Int[Array, " N"]]
"""Rows and columns of a mask's outline."""


def check_pictures(reader: ShardReader, masks: Mapping[int, Sequence[Bool[Array, "H W"]]], findings: Findings) -> None:
    """The picture's edges lie along the outline of its own mask, not along that of another view or frame.

    Only clear cases are called faults: another outline must collect at least 15 % more edge than the own one, and the
    own one no more than the same outline elsewhere in the picture. Against a background of its own colour a person
    leaves no edge, and then nothing is said.

    Args:
        reader: The shard.
        masks: The person's stored mask in every frame, by view.
        findings: Where faults go.
    """
    outlines = {view: [_outline(mask) for mask in frames] for view, frames in masks.items()}
    for view, own in outlines.items():
        views, times, chance = defaultdict(list), defaultdict(list), []
        for t in range(len(own)):
            try:
                edges = _edges(_brightness(reader.jpeg(view, t), (reader.layout.width, reader.layout.height)))
            except (SynthError, OSError, ValueError) as error:
                detail = error.problem if isinstance(error, SynthError) else f"frame {t}: {error}"
                findings.fault("unreadable", f"views/{view}/rgb", detail)
                break
            for other, frames in outlines.items():
                views[other].append(_along(edges, frames[t]))
            if 2 <= t < len(own) - 2:
                for step in _STEPS:
                    times[step].append(_along(edges, own[t + step]))
            chance.append(np.mean([_along(edges, own[t], *shift) for shift in _AWAY]))
        _judge(view, views, times, float(np.mean(chance)) if chance else 0.0, findings)


def _judge(
    view: int, views: dict[int, list[float]], times: dict[int, list[float]], chance: float, findings: Findings
) -> None:
    means = {other: float(np.mean(scores)) for other, scores in views.items() if scores}
    best = max(means, key=lambda other: means[other], default=view)
    if best != view and means[best] > 1.15 * means[view] and means[view] < 1.15 * chance:
        detail = f"the picture's edges follow the outline of view {best}"
        findings.fault("views-swapped", f"views/{view}/rgb", detail)
        return
    steps = {step: float(np.mean(scores)) for step, scores in times.items() if scores}
    best = max(steps, key=lambda step: steps[step], default=0)
    if best != 0 and steps[best] > 1.1 * steps[0]:
        detail = f"the pictures' edges follow the outlines of {best:+d} frames"
        findings.fault("frames-out-of-step", f"views/{view}/rgb", detail)


def _brightness(jpeg: bytes, size: tuple[int, int]) -> Float[Array, "H W"]:
    """Decode a JPEG's brightness only, which takes half the time; its size and mode are checked first.

    Raises:
        ValueError: another size, or not a colour JPEG.
        OSError: damaged.
    """
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        if picture.size != size or picture.mode != "RGB":
            raise ValueError(f"expected an RGB picture of {size}, got {picture.mode} {picture.size}")
        picture.draft("L", picture.size)
        return np.asarray(picture.convert("L"), dtype=np.float32)


def _edges(grey: Float[Array, "H W"]) -> Float[Array, "H W"]:
    """Strength of the edge at each pixel: the difference of brightness across it, in both directions."""
    edges = np.zeros_like(grey)
    edges[:, 1:-1] = np.abs(grey[:, 2:] - grey[:, :-2])
    edges[1:-1] += np.abs(grey[2:] - grey[:-2])
    return edges


def _outline(mask: Bool[Array, "H W"]) -> Outline:
    """Pixels on both sides of the mask's edge."""
    outline = np.zeros_like(mask)
    across, down = mask[:, 1:] ^ mask[:, :-1], mask[1:] ^ mask[:-1]
    outline[:, 1:] |= across
    outline[:, :-1] |= across
    outline[1:] |= down
    outline[:-1] |= down
    rows, columns = np.nonzero(outline)
    return rows, columns


def _along(edges: Float[Array, "H W"], outline: Outline, down: int = 0, right: int = 0) -> float:
    """Mean strength of edge along an outline, moved by some pixels (around the border); 0 if it is empty."""
    rows, columns = outline
    if len(rows) == 0:
        return 0.0
    if down or right:
        rows, columns = (rows + down) % edges.shape[0], (columns + right) % edges.shape[1]
    return float(edges[rows, columns].mean())
