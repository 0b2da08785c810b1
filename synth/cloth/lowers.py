"""Patterns for what hangs from the waist: trousers, shorts, skirts."""

import numpy as np

from synth.cloth.figure import STEP, Cut, Figure, count, eased, level, mixed
from synth.cloth.pattern import Pattern, TrousersCounts, skirt_pattern, trousers_pattern
from synth.cloth.relax import relaxed
from synth.cloth.shell import closed, hung, united

__all__ = ["skirt", "trousers"]

Array = np.ndarray


def _held(placed: Array, waist: float) -> Array:
    """Pins of a waistband: firm in the top 2 cm, none from 5 cm on."""
    return np.clip((0.05 - (waist - placed[:, 1])) / 0.03, 0.0, 1.0)


def trousers(figure: Figure, cut: Cut) -> tuple[Array, Pattern, Array]:
    """Trousers or shorts: hips and two legs, each half of the body a solid of its own so that the legs stay apart."""
    waist, hem = figure.joint("spine1")[1] + 0.005, figure.level(cut.hem)
    whole = figure.field([-0.30, hem - 0.08, -0.20], [0.30, waist + 0.10, 0.30], arms=False)
    x, y, _ = whole.axes()
    middle = whole.values[np.argmin(np.abs(x.ravel()))]
    crotch = float(y.ravel()[(middle < 0).any(axis=1)].min())
    hips = closed(whole.with_values(np.maximum(whole.values, crotch - 0.01 - y)), 0.05)
    leg = whole.with_values(np.maximum(np.maximum(whole.values, 0.004 - x), y - crotch - 0.02))
    leg = whole.with_values(np.maximum(leg.values, figure.joint("left_ankle")[1] + 0.02 - y))
    leg = closed(leg, 0.015)
    hanging = hung(leg.with_values(np.maximum(leg.values, y - crotch + 0.06)), cut.taper)
    half = united(hips, leg.with_values(np.minimum(leg.values, hanging.values)), 0.015).smoothed(STEP).sampler()

    underneath = hips.smoothed(STEP).sampler()

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        side = np.where(part == 0, np.where(points[:, 0] < 0, -1.0, 1.0), np.where(part == 2, -1.0, 1.0))
        mirror = np.stack([side, np.ones_like(side), np.ones_like(side)], axis=1)
        value, slope = half(points * mirror)
        slope = slope * mirror
        # The seams in the middle stay there.
        slope[(part == 0) & (np.abs(points[:, 0]) < 1e-3), 0] = 0.0
        seam = part == 3
        value[seam], slope[seam] = underneath(points[seam])
        slope[seam, 0] = 0.0
        value = value - (0.006 + (cut.ease - 0.006) * eased((waist - 0.03 - points[:, 1]) / 0.12))
        # The legs keep apart, or they would be caught in each other.
        apart = 0.005 - side * points[:, 0]
        caught = np.isin(part, (1, 2)) & (apart > value)
        value[caught], slope[caught] = apart[caught], (mirror * [-1.0, 0.0, 0.0])[caught]
        return value, slope

    counts = TrousersCounts(
        front=count(0.96 / 2, cut.edge, multiple=4),
        rise=count(0.26, cut.edge),
        crotch=count(0.145, cut.edge, multiple=2),
        leg=count(crotch - hem, cut.edge),
    )
    ankle = figure.joint("left_ankle") * [1.0, 0.0, 1.0] + [0.0, hem, 0.0]
    centre = np.array([0.0, crotch - 0.01, figure.joint("pelvis")[2] + 0.04])
    pattern = trousers_pattern(counts, waist, centre, ankle, width=0.18, depth=0.13)
    placed = relaxed(pattern, surface, [level(waist), level(hem), level(hem)])
    return placed, pattern, _held(placed, waist)


def skirt(figure: Figure, cut: Cut) -> tuple[Array, Pattern, Array]:
    """A skirt: it lies on the waist and hips and flares from there."""
    waist, hem = figure.joint("spine1")[1] + 0.01, figure.level(cut.hem)
    body = figure.field([-0.44, hem - 0.08, -0.36], [0.44, waist + 0.10, 0.46], arms=False)
    _, y, _ = body.axes()
    below = body.with_values(np.maximum(body.values, y - waist + 0.02))
    fall = hung(closed(below, 0.12), cut.taper)
    shell = united(closed(body, 0.05), fall, 0.04).smoothed(0.012).sampler()
    skin = closed(body, 0.05).smoothed(STEP).sampler()

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        down = eased((waist - 0.01 - points[:, 1]) / 0.12)
        value, slope = mixed(skin, shell, points, down)
        return value - (0.006 + (cut.ease - 0.006) * down), slope

    pattern = skirt_pattern(
        front=count(1.15 / 2, cut.edge),
        length=count(1.03 * (waist - hem), cut.edge),
        waist=waist,
        hem=hem,
        middle=0.08,
        width=0.2,
        depth=0.15,
    )
    placed = relaxed(pattern, surface, [level(hem), level(waist)])
    return placed, pattern, _held(placed, waist)
