"""Patterns for what is worn above the waist, and for dresses and coats that go on below it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synth.cloth.figure import STEP, Cut, Figure, count, eased, level, mixed, plane
from synth.cloth.pattern import Pattern, UpperCounts, upper_pattern
from synth.cloth.relax import Curve, relaxed
from synth.cloth.shell import Field, Sampler, closed, hung, united

__all__ = ["CREW", "SCOOP", "Collar", "upper"]

Array = np.ndarray

_CLOSE = 0.018
"""Up to this ease [m] a garment stands off alike everywhere; a wider one does so below the shoulders only, where it
hangs free of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collar:
    """Where a neckline runs."""

    width: float
    """Half of it, at the level of its middle [m]."""
    behind: float
    """How far below the neck's joint it lies behind [m]."""
    front: float
    """How far below the neck's joint it lies in front [m]."""


CREW = Collar(width=0.06, behind=0.002, front=0.062)
SCOOP = Collar(width=0.07, behind=0.03, front=0.11)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Neckline:
    """A round neckline: an upwards widening cone around the neck, cut with the body.

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


def _arm(figure: Figure, side: str, cut: Cut) -> tuple[Array, Array]:
    """The shoulder, and the joint that the sleeve's length is counted to: elbow, or wrist for a long one."""
    return figure.joint(f"{side}_shoulder"), figure.joint(f"{side}_{'elbow' if cut.sleeve <= 1 else 'wrist'}")


def _sleeve_share(figure: Figure, side: str, cut: Cut) -> float:
    """Where the sleeve ends between the two joints of `_arm`."""
    if cut.sleeve <= 1:
        return cut.sleeve
    shoulder, elbow, wrist = (figure.joint(f"{side}_{name}") for name in ("shoulder", "elbow", "wrist"))
    upper_arm, forearm = np.linalg.norm(elbow - shoulder), np.linalg.norm(wrist - elbow)
    return float((upper_arm + (cut.sleeve - 1) * forearm) / (upper_arm + forearm))


def _upper_shell(figure: Figure, cut: Cut, torso: Field, whole: Field) -> Field:
    """A torso's solid with the arms, as far as there are sleeves, joined to it."""
    x, y, z = whole.axes()
    grid = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    # Short sleeves widen by 12 mm towards their end; long ones keep to the forearm, or the cuff would be a bell.
    beyond, flare = (0.1, 0.012) if cut.sleeve <= 1 else (0.03, 0.0)
    arms = []
    for side in ("left", "right"):
        shoulder, end = _arm(figure, side, cut)
        along = end - shoulder
        length = np.linalg.norm(along)
        along = along / length
        place = (grid - shoulder) @ along
        axis = np.clip(place, -0.02, length + beyond)[..., None] * along
        capsule = np.linalg.norm(grid - shoulder - axis, axis=-1) - 0.10
        arms.append(np.maximum(whole.values, capsule) - flare * eased(place / length))
    sleeves = closed(whole.with_values(np.minimum(*arms)), 0.03)
    return united(torso, sleeves, 0.04).smoothed(STEP)


def _torso_solid(figure: Figure, whole: Field) -> Field:
    """The body without head and arms."""
    x, y, _ = whole.axes()
    side, top = figure.joint("left_shoulder")[0] - 0.005, figure.joint("neck")[1] + 0.01
    return whole.with_values(np.maximum(np.maximum(whole.values, np.abs(x) - side), y - top))


def _neckline(figure: Figure, skin: Sampler, collar: Collar) -> _Neckline:
    """Find where the neckline goes: the body's surface behind and in front, at the collar's heights."""
    ends = []
    for drop, depths in ((collar.behind, np.arange(-0.2, 0.1, 0.002)), (collar.front, np.arange(0.2, -0.1, -0.002))):
        height = figure.joint("neck")[1] - drop
        line = np.stack([0 * depths, 0 * depths + height, depths], axis=1)
        ends.append(line[np.argmax(skin(line)[0] < 0)])
    back, front = ends
    return _Neckline(centre=(back + front) / 2, side=np.array([collar.width, 0.0, 0.0]), forward=(front - back) / 2)


def _armhole(figure: Figure, sign: float) -> Curve:
    """The edge of a garment without sleeves: a ball beside the shoulder, cut with the torso."""
    centre = (figure.joint("left_shoulder") + np.array([0.063, -0.03, 0.0])) * [sign, 1.0, 1.0]

    def curve(points: Array) -> tuple[Array, Array]:
        gap = points - centre
        length = np.linalg.norm(gap, axis=1) + 1e-9
        return length - 0.128, gap / length[:, None]

    return curve


def _torso(figure: Figure, cut: Cut, dress: bool, whole: Field, solid: Field, box: tuple[Array, Array]) -> Field:
    """What the garment lies on, sleeves aside: it falls from chest and seat, a dress anew from the waist."""
    if not dress:
        return hung(closed(solid, 0.06), cut.taper)
    _, y, _ = whole.axes()
    waist = figure.joint("spine1")[1] + 0.03
    bodice = hung(closed(solid, 0.06), 0.30)
    below = figure.field(*box, arms=False)
    below = below.with_values(np.maximum(below.values, y - waist))
    return united(bodice, hung(closed(below, 0.12), cut.taper), 0.06)


def _box(figure: Figure, cut: Cut, dress: bool) -> tuple[Array, Array]:
    """Corners of the space that holds the garment [m]."""
    neck, hem = figure.joint("neck"), figure.level(cut.hem)
    long = cut.hem > 0.4 and not dress
    wide = 0.44 if dress else 0.48
    if cut.sleeve > 1:
        wide = 0.62
    low = np.array([-wide, hem - 0.12, -0.36 if dress else -0.30 if long else -0.22])
    return low, np.array([wide, float(neck[1]) + 0.10, 0.46 if dress else 0.40 if long else 0.30])


def upper(
    figure: Figure, cut: Cut, dress: bool, collar: Collar = CREW, neck_edges: float = 0.20
) -> tuple[Array, Pattern, Array]:
    """A shirt, jacket or coat, or a dress with a skirt below its waist.

    Args:
        figure: The body.
        cut: The measures.
        dress: Whether it draws in at the waist and flares anew from there.
        collar: The neckline.
        neck_edges: As many edges go along half the neckline as fit into this length [m].

    Returns:
        Vertices [m], the pattern, and the pins.
    """
    neck, hem = figure.joint("neck"), figure.level(cut.hem)
    box = _box(figure, cut, dress)
    whole = figure.field(*box)
    solid = _torso_solid(figure, whole)
    torso = _torso(figure, cut, dress, whole, solid, box).smoothed(0.01)
    shell = (_upper_shell(figure, cut, torso, whole) if cut.sleeve else torso).sampler()
    skin = whole.with_values(solid.values).smoothed(STEP).sampler()
    neckline = _neckline(figure, skin, collar)
    hips, shoulder = neck[1] - 0.16, figure.joint("left_shoulder")[1]

    def surface(points: Array, part: Array) -> tuple[Array, Array]:
        away = np.where(points[:, 1] < hips, 1.0, eased(neckline(points)[0] / 0.07))
        value, slope = mixed(skin, shell, points, away)
        wide = max(cut.ease - _CLOSE, 0.0) * eased((shoulder + 0.02 - points[:, 1]) / 0.16)
        return value - (0.007 + (min(cut.ease, _CLOSE) - 0.007) * away) - wide, slope

    hems = [level(hem), neckline]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        start, end = _arm(figure, side, cut)
        along = (end - start) / np.linalg.norm(end - start)
        share = _sleeve_share(figure, side, cut) * np.linalg.norm(end - start)
        hems.append(plane(along, float(start @ along + share)) if cut.sleeve else _armhole(figure, sign))
    placed, pattern = _upper_mesh(figure, cut, neckline, hem, surface, hems, 1.25 if dress else 1.10, neck_edges)
    edge = np.abs(neckline(placed)[0])
    near = (placed[:, 1] > neck[1] - 0.16) & (np.abs(placed[:, 0]) < 0.14)
    return placed, pattern, np.where(near, 0.5 * np.clip((0.04 - edge) / 0.03, 0, 1), 0.0)


def _upper_mesh(
    figure: Figure,
    cut: Cut,
    neckline: _Neckline,
    hem: float,
    surface: Callable[..., tuple[Array, Array]],
    hems: list[Curve],
    girth: float,
    neck_edges: float,
) -> tuple[Array, Pattern]:
    """Choose the number of edges and lay the pattern over the shell."""
    (shoulder, end), chest = _arm(figure, "left", cut), figure.joint("spine3")
    share = _sleeve_share(figure, "left", cut)
    armless = not cut.sleeve
    under = count(0.094, cut.edge, multiple=2)
    shoulders = count(0.075 if armless else 0.16, cut.edge)
    neck = count(neck_edges, cut.edge, multiple=2)
    # The wider a garment, the deeper its armholes.
    deeper = 3 * max(cut.ease - _CLOSE, 0.0)
    upper_arm = float(np.linalg.norm(figure.joint("left_elbow") - shoulder))
    # Across the front there are the shoulders, the neck between them and half of each underarm.
    counts = UpperCounts(
        front=max(count(girth / 2, cut.edge, multiple=2), 2 * shoulders + neck + under - 2),
        under=under,
        body=count(chest[1] - 0.02 - deeper - hem, cut.edge),
        armhole=count((0.225 if armless else 0.19) + deeper, cut.edge),
        shoulder=shoulders,
        sleeve=0
        if armless
        else count(0.015 + share * float(np.linalg.norm(end - shoulder)) - 0.35 * upper_arm, cut.edge),
    )
    pattern = upper_pattern(
        counts,
        hem=hem,
        armpit=np.array([0.17, chest[1], chest[2] + 0.05]),
        top=shoulder + np.array([-0.045 if armless else 0.0, 0.05, 0.0]),
        collar=np.stack([neckline.centre, 1.2 * neckline.side, neckline.forward]),
        sleeve=np.stack([shoulder + 0.2 * (end - shoulder), shoulder + share * (end - shoulder)]),
        depth=0.12,
    )
    return relaxed(pattern, surface, hems), pattern
