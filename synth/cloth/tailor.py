"""Make the garments: own patterns laid over the free body's hull in A-pose. Lengths in metres, SMPL's frame (Y up)."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt8

from garments import catalog
from garments.garment import Garment
from synth.body import lbs
from synth.body.joints import JOINT_NAMES
from synth.body.shape import rest_pose
from synth.cloth.pattern import (
    Pattern,
    TrousersCounts,
    UpperCounts,
    skirt_pattern,
    trousers_pattern,
    upper_pattern,
)
from synth.cloth.relax import Curve, flattened, relaxed
from synth.cloth.shell import Field, Sampler, closed, distance_field, hung, united
from synth.errors import SynthError
from synth.types import BodyModel

__all__ = ["CUTS", "Cut", "tailored"]

Array = np.ndarray

_STEP = 0.008
"""Of the distance fields [m]."""
_ARM_PARTS = [
    1 + i for i, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in ("shoulder", "elbow", "wrist", "hand")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Measures of one garment."""

    edge: float = 0.0235
    """Wanted length of the mesh's edges [m]."""
    ease: float = 0.018
    """Distance from the body where the garment lies on it [m]."""
    taper: float = 0.06
    """How far it draws in per metre of fall; negative flares."""
    sleeve: float = 0.75
    """Length of the sleeve as a share of the upper arm."""
    hem: float = 0.0
    """Height of the hem: 0 at the hip joint, 1 at the knee, 2 at the ankle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """One kind of garment: how it is made and what it is."""

    make: Callable[["_Figure", Cut], tuple[Array, Pattern, Array]]
    cut: Cut
    layer: int
    covers: str
    loose: bool
    fabric: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Figure:
    """The body that garments are made on."""

    vertices: Float[Array, "V 3"]
    faces: Int[Array, "F 3"]
    face_parts: UInt8[Array, " F"]
    joints: Float[Array, "24 3"]

    def joint(self, name: str) -> Float[Array, " 3"]:
        return self.joints[JOINT_NAMES.index(name)]

    def field(self, low: list[float], high: list[float], arms: bool = True) -> Field:
        """Distance to the body; without arms the shoulders are open, so it holds only below them."""
        faces = self.faces if arms else self.faces[~np.isin(self.face_parts, _ARM_PARTS)]
        return distance_field(self.vertices, faces, np.array(low), np.array(high), _STEP)

    def level(self, hem: float) -> float:
        """Height that a cut's `hem` means [m]."""
        marks = [self.joint(name)[1] for name in ("left_hip", "left_knee", "left_ankle")]
        return float(np.interp(hem, [0.0, 1.0, 2.0], marks))


def tailored(name: str, body: BodyModel, cut: Cut | None = None) -> tuple[Garment, dict[str, float]]:
    """Make a garment.

    Args:
        name: One of CUTS.
        body: The body it is made on: the free neutral one.
        cut: Its measures, by default those in CUTS.

    Returns:
        The garment and its parameters.

    Raises:
        SynthError: no pattern of that name.
    """
    if name not in _MODELS:
        raise SynthError(f"garment {name!r}: no pattern of that name", f"Patterns: {', '.join(_MODELS)}")
    model = _MODELS[name]
    cut = cut or model.cut
    origin, betas = np.zeros((1, 3)), np.zeros(body.shapedirs.shape[2])
    vertices, joints = lbs.posed(body, betas, origin, rest_pose()[None], origin)
    figure = _Figure(vertices=vertices[0], faces=body.faces, face_parts=body.face_parts, joints=joints[0])
    placed, pattern, held = model.make(figure, cut)
    hang = _smooth((placed[:, 1].max() - placed[:, 1]) / np.ptp(placed[:, 1])) if model.loose else 0.0
    garment = Garment(
        name=name,
        layer=model.layer,
        covers=model.covers,
        vertices=placed,
        faces=np.array(pattern.faces),
        uv=flattened(placed, pattern),
        pins=held,
        goals=np.maximum(0.9 - 0.3 * hang, held),
        loose=model.loose,
        fabric=catalog.fabrics()[model.fabric],
        source="made for this project around its own free body",
        licence="CC0-1.0",
    )
    return garment, {field.name: getattr(cut, field.name) for field in fields(cut)}


def _smooth(x: Array) -> Array:
    """From 0 to 1 without a kink."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _plane(normal: Array, offset: float) -> Curve:
    """A flat hem."""
    return lambda points: (points @ normal - offset, np.broadcast_to(normal, points.shape))


def _level(height: float) -> Curve:
    """A horizontal hem."""
    return _plane(np.array([0.0, 1.0, 0.0]), height)


def _count(length: float, edge: float, least: int = 2, multiple: int = 1) -> int:
    """Edges along a line."""
    return max(least, multiple * round(length / edge / multiple))


def _mixed(first: Sampler, second: Sampler, points: Array, share: Array) -> tuple[Array, Array]:
    """From one surface (share 0) to another (share 1)."""
    (a, da), (b, db) = first(points), second(points)
    return a + share * (b - a), da + share[:, None] * (db - da)


def _arm(figure: _Figure, side: str) -> tuple[Array, Array]:
    """Shoulder and elbow."""
    return figure.joint(f"{side}_shoulder"), figure.joint(f"{side}_elbow")


def _upper_shell(figure: _Figure, torso: Field, whole: Field) -> Field:
    """A torso's solid with the upper arms joined to it."""
    x, y, z = whole.axes()
    grid = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    arms = []
    for side in ("left", "right"):
        shoulder, elbow = _arm(figure, side)
        along = elbow - shoulder
        length = np.linalg.norm(along)
        along = along / length
        place = (grid - shoulder) @ along
        axis = np.clip(place, -0.02, length + 0.1)[..., None] * along
        capsule = np.linalg.norm(grid - shoulder - axis, axis=-1) - 0.10
        # Sleeves widen by 12 mm towards the elbow.
        arms.append(np.maximum(whole.values, capsule) - 0.012 * _smooth(place / length))
    sleeves = closed(whole.with_values(np.minimum(*arms)), 0.03)
    return united(torso, sleeves, 0.04).smoothed(_STEP)


def _torso_solid(figure: _Figure, whole: Field) -> Field:
    """The body without head and arms."""
    x, y, _ = whole.axes()
    side, top = figure.joint("left_shoulder")[0] - 0.005, figure.joint("neck")[1] + 0.01
    return whole.with_values(np.maximum(np.maximum(whole.values, np.abs(x) - side), y - top))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Neckline:
    """A round neckline close to the neck: an upwards widening cone around the neck, cut with the body.

    Of a cylinder the cut would be ill-defined where the neck's back runs along it.
    """

    centre: Float[Array, " 3"]
    side: Float[Array, " 3"]
    """From the centre to the left [m]."""
    forward: Float[Array, " 3"]
    """From the centre to the front [m]."""

    def __call__(self, points: Float[Array, "N 3"]) -> tuple[Float[Array, " N"], Float[Array, "N 3"]]:
        half = np.linalg.norm(self.forward)
        axis = np.cross(self.forward, self.side)
        axis /= np.linalg.norm(axis)
        gap = points - self.centre
        across, along = self.side / (self.side @ self.side), self.forward / half**2
        a, b = gap @ across, gap @ along
        radius = np.sqrt(a * a + b * b) + 1e-9
        slope = (a / radius)[:, None] * across + (b / radius)[:, None] * along
        return (radius - 1) * half - gap @ axis, slope * half - axis


def _neckline(figure: _Figure, skin: Sampler) -> _Neckline:
    """Find where the neckline goes: from just below the neck joint's height behind to 6 cm lower in front."""
    ends = []
    for drop, depths in ((0.002, np.arange(-0.2, 0.1, 0.002)), (0.062, np.arange(0.2, -0.1, -0.002))):
        height = figure.joint("neck")[1] - drop
        line = np.stack([0 * depths, 0 * depths + height, depths], axis=1)
        ends.append(line[np.argmax(skin(line)[0] < 0)])
    back, front = ends
    return _Neckline(centre=(back + front) / 2, side=np.array([0.06, 0.0, 0.0]), forward=(front - back) / 2)


def _upper(figure: _Figure, cut: Cut, dress: bool) -> tuple[Array, Pattern, Array]:
    """A T-shirt, or a dress with a skirt below its waist."""
    neck, hem = figure.joint("neck"), figure.level(cut.hem)
    wide = 0.44 if dress else 0.48
    low = [-wide, hem - 0.12, -0.36 if dress else -0.22]
    high = [wide, float(neck[1]) + 0.10, 0.46 if dress else 0.30]
    whole = figure.field(low, high)
    solid = _torso_solid(figure, whole)
    if dress:
        _, y, _ = whole.axes()
        waist = figure.joint("spine1")[1] + 0.03
        bodice = hung(closed(solid, 0.06), 0.30)
        below = figure.field(low, high, arms=False)
        below = below.with_values(np.maximum(below.values, y - waist))
        torso = united(bodice, hung(closed(below, 0.12), cut.taper), 0.06)
    else:
        torso = hung(closed(solid, 0.06), cut.taper)
    shell = _upper_shell(figure, torso.smoothed(0.01), whole).sampler()
    skin = whole.with_values(solid.values).smoothed(_STEP).sampler()
    neckline = _neckline(figure, skin)

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        away = np.where(points[:, 1] < neck[1] - 0.16, 1.0, _smooth(neckline(points)[0] / 0.07))
        value, slope = _mixed(skin, shell, points, away)
        return value - (0.007 + (cut.ease - 0.007) * away), slope

    arms = [_arm(figure, side) for side in ("left", "right")]
    hems = [_level(hem), neckline]
    for shoulder, elbow in arms:
        along = (elbow - shoulder) / np.linalg.norm(elbow - shoulder)
        hems.append(_plane(along, float(shoulder @ along + cut.sleeve * np.linalg.norm(elbow - shoulder))))
    placed, pattern = _upper_mesh(figure, cut, neckline, hem, surface, hems, 1.25 if dress else 1.10)
    collar = np.abs(neckline(placed)[0])
    near = (placed[:, 1] > neck[1] - 0.16) & (np.abs(placed[:, 0]) < 0.14)
    return placed, pattern, np.where(near, 0.5 * np.clip((0.04 - collar) / 0.03, 0, 1), 0.0)


def _upper_mesh(
    figure: _Figure,
    cut: Cut,
    neckline: _Neckline,
    hem: float,
    surface: Callable[..., tuple[Array, Array]],
    hems: list[Curve],
    girth: float,
) -> tuple[Array, Pattern]:
    """Choose the number of edges and lay the pattern over the shell."""
    (shoulder, elbow), chest = _arm(figure, "left"), figure.joint("spine3")
    under = _count(0.094, cut.edge, multiple=2)
    shoulders = _count(0.16, cut.edge)
    neck = _count(0.20, cut.edge, multiple=2)
    # Across the front there are the shoulders, the neck between them and half of each underarm.
    counts = UpperCounts(
        front=max(_count(girth / 2, cut.edge, multiple=2), 2 * shoulders + neck + under - 2),
        under=under,
        body=_count(chest[1] - 0.02 - hem, cut.edge),
        armhole=_count(0.19, cut.edge),
        shoulder=shoulders,
        sleeve=_count(0.015 + (cut.sleeve - 0.35) * float(np.linalg.norm(elbow - shoulder)), cut.edge),
    )
    pattern = upper_pattern(
        counts,
        hem=hem,
        armpit=np.array([0.17, chest[1], chest[2] + 0.05]),
        top=shoulder + np.array([0.0, 0.05, 0.0]),
        collar=np.stack([neckline.centre, 1.2 * neckline.side, neckline.forward]),
        sleeve=np.stack([shoulder + 0.2 * (elbow - shoulder), shoulder + cut.sleeve * (elbow - shoulder)]),
        depth=0.12,
    )
    return relaxed(pattern, surface, hems), pattern


def _held(placed: Array, waist: float) -> Array:
    """Pins of a waistband: firm in the top 2 cm, none from 5 cm on."""
    return np.clip((0.05 - (waist - placed[:, 1])) / 0.03, 0.0, 1.0)


def _trousers(figure: _Figure, cut: Cut) -> tuple[Array, Pattern, Array]:
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
    half = united(hips, leg.with_values(np.minimum(leg.values, hanging.values)), 0.015).smoothed(_STEP).sampler()

    underneath = hips.smoothed(_STEP).sampler()

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
        value = value - (0.006 + (cut.ease - 0.006) * _smooth((waist - 0.03 - points[:, 1]) / 0.12))
        # The legs keep apart, or they would be caught in each other.
        apart = 0.005 - side * points[:, 0]
        caught = np.isin(part, (1, 2)) & (apart > value)
        value[caught], slope[caught] = apart[caught], (mirror * [-1.0, 0.0, 0.0])[caught]
        return value, slope

    counts = TrousersCounts(
        front=_count(0.96 / 2, cut.edge, multiple=4),
        rise=_count(0.26, cut.edge),
        crotch=_count(0.145, cut.edge, multiple=2),
        leg=_count(crotch - hem, cut.edge),
    )
    ankle = figure.joint("left_ankle") * [1.0, 0.0, 1.0] + [0.0, hem, 0.0]
    centre = np.array([0.0, crotch - 0.01, figure.joint("pelvis")[2] + 0.04])
    pattern = trousers_pattern(counts, waist, centre, ankle, width=0.18, depth=0.13)
    placed = relaxed(pattern, surface, [_level(waist), _level(hem), _level(hem)])
    return placed, pattern, _held(placed, waist)


def _skirt(figure: _Figure, cut: Cut) -> tuple[Array, Pattern, Array]:
    """A skirt: it lies on the waist and hips and flares from there."""
    waist, hem = figure.joint("spine1")[1] + 0.01, figure.level(cut.hem)
    body = figure.field([-0.44, hem - 0.08, -0.36], [0.44, waist + 0.10, 0.46], arms=False)
    _, y, _ = body.axes()
    below = body.with_values(np.maximum(body.values, y - waist + 0.02))
    fall = hung(closed(below, 0.12), cut.taper)
    shell = united(closed(body, 0.05), fall, 0.04).smoothed(0.012).sampler()
    skin = closed(body, 0.05).smoothed(_STEP).sampler()

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        down = _smooth((waist - 0.01 - points[:, 1]) / 0.12)
        value, slope = _mixed(skin, shell, points, down)
        return value - (0.006 + (cut.ease - 0.006) * down), slope

    pattern = skirt_pattern(
        front=_count(1.15 / 2, cut.edge),
        length=_count(1.03 * (waist - hem), cut.edge),
        waist=waist,
        hem=hem,
        middle=0.08,
        width=0.2,
        depth=0.15,
    )
    placed = relaxed(pattern, surface, [_level(hem), _level(waist)])
    return placed, pattern, _held(placed, waist)


_MODELS = {
    "tshirt": _Model(
        make=partial(_upper, dress=False), cut=Cut(), layer=1, covers="upper", loose=False, fabric="jersey"
    ),
    "trousers": _Model(
        make=_trousers,
        cut=Cut(edge=0.0255, ease=0.010, taper=0.13, hem=1.93),
        layer=0,
        covers="lower",
        loose=False,
        fabric="cotton",
    ),
    "shorts": _Model(
        make=_trousers,
        cut=Cut(ease=0.010, taper=0.02, hem=0.85),
        layer=0,
        covers="lower",
        loose=False,
        fabric="cotton",
    ),
    "skirt": _Model(
        make=_skirt, cut=Cut(ease=0.012, taper=-0.16, hem=0.85), layer=0, covers="lower", loose=True, fabric="cotton"
    ),
    "dress": _Model(
        make=partial(_upper, dress=True),
        cut=Cut(edge=0.025, ease=0.014, taper=-0.14, sleeve=0.6, hem=0.9),
        layer=0,
        covers="full",
        loose=True,
        fabric="cotton",
    ),
}

CUTS: dict[str, Cut] = {name: model.cut for name, model in _MODELS.items()}
"""The garments there are patterns for, and their measures."""
