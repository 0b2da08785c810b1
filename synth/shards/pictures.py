"""Whether a picture shows what its labels say: its edges lie along the outline of its own mask."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
_BESIDE = ((0, 1), (0, -1), (1, 0), (-1, 0), (0, 2), (0, -2), (2, 0), (-2, 0))
"""Shifts [px] at which it should meet less than where it is."""
_SAMPLED = 8
"""Frames of a view in which all but the neighbouring frames are tried."""
_PLAIN = 1.0
"""Brightness (of 255) that a picture varies by at least."""

Outline = tuple[Int[Array, " _"], Int[Array, " _"]]
"""Rows and columns of a mask's outline."""


def check_pictures(reader: ShardReader, masks: Mapping[int, Sequence[Bool[Array, "H W"]]], findings: Findings) -> None:
    """The picture's edges lie along the outline of its own mask, not along that of another view or frame.

    Only clear cases are called faults: another outline must collect at least 15 % more edge than the own one (30 % if
    turned over), and the own one no more than the same outline elsewhere in the picture. Against a background of its
    own colour a person leaves no edge, and then nothing is said.

    Args:
        reader: The shard.
        masks: The person's stored mask in every frame, by view.
        findings: Where faults go.
    """
    outlines = {view: [_outline(mask) for mask in frames] for view, frames in masks.items()}
    for view, own in outlines.items():
        evidence, sampled = Evidence(view=view), set(_spread(len(own)))
        for t in range(len(own)):
            try:
                grey = _brightness(reader.jpeg(view, t), (reader.layout.width, reader.layout.height))
            except (SynthError, OSError, ValueError) as error:
                detail = error.problem if isinstance(error, SynthError) else f"frame {t}: {error}"
                findings.fault("unreadable", f"views/{view}/rgb", detail)
                break
            edges = _edges(grey)
            if 2 <= t < len(own) - 2:
                for step in _STEPS:
                    evidence.times[step].append(_along(edges, own[t + step]))
            if t in sampled:
                evidence.plain.append(bool(grey.std() < _PLAIN))
                evidence.add(edges, t, outlines)
        evidence.judge(findings)


def _spread(count: int) -> list[int]:
    """Some of so many frames, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(int)).tolist() if count else []


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Strength of edge along outlines in the pictures of one view, frame by frame."""

    view: int
    plain: list[bool] = field(default_factory=list)
    """Whether a picture shows nothing."""
    views: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Along the outline of each view."""
    times: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Along that of neighbouring frames."""
    turned: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Along the own one turned over, or that of the frame as far from the end."""
    beside: dict[tuple[int, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Along the own one moved by a pixel or two."""
    chance: list[float] = field(default_factory=list)

    def add(self, edges: Float[Array, "H W"], t: int, outlines: Mapping[int, Sequence[Outline]]) -> None:
        """Look at one frame."""
        own = outlines[self.view]
        for other, frames in outlines.items():
            self.views[other].append(_along(edges, frames[t]))
        self.chance.append(float(np.mean([_along(edges, own[t], *shift) for shift in _AWAY])))
        self.turned["mirrored-picture"].append(_along(edges[:, ::-1], own[t]))
        self.turned["picture-upside-down"].append(_along(edges[::-1], own[t]))
        self.turned["frames-reversed"].append(_along(edges, own[len(own) - 1 - t]))
        for shift in _BESIDE:
            self.beside[shift].append(_along(edges, own[t], *shift))

    def judge(self, findings: Findings) -> None:
        """Name what the picture's edges follow instead of the outline, if anything clearly."""
        where = f"views/{self.view}/rgb"
        if self.plain and all(self.plain):
            findings.fault("plain-picture", where, "the pictures show nothing")
        if not self.chance:
            return
        own, chance = float(np.mean(self.views[self.view])), float(np.mean(self.chance))
        found = {name: float(np.mean(scores)) for name, scores in self.turned.items()}
        others = [float(np.mean(scores)) for view, scores in self.views.items() if view != self.view]
        if others and max(others) > 1.15 * own and own < 1.15 * chance:
            found["views-swapped"] = max(others)
        name = max(found, key=lambda name: found[name])
        if name == "views-swapped" or found[name] > 1.3 * max(own, chance):
            findings.fault(name, where, "the picture's edges follow the outline so changed, not the own one")
            return
        shift = max(self.beside, key=lambda shift: np.mean(self.beside[shift]))
        if own > 1.3 * chance and np.mean(self.beside[shift]) > 1.02 * own:
            detail = f"the pictures' edges follow the outline {shift[1]:+d} px to the right, {shift[0]:+d} px down"
            findings.fault("picture-shifted", where, detail)
            return
        steps = {step: float(np.mean(scores)) for step, scores in self.times.items() if scores}
        step = max(steps, key=lambda step: steps[step], default=0)
        if step != 0 and steps[step] > 1.1 * steps[0]:
            detail = f"the pictures' edges follow the outlines of {step:+d} frames"
            findings.fault("frames-out-of-step", where, detail)


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
