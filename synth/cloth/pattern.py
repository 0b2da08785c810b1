"""Garment meshes as tubes and panels of quads: which vertices there are and how they join, before they have a shape.

Rows run upwards (down the sleeve and leg for their tubes), columns around the body. Every face knows its cell (chart,
row, column) on the flat piece of fabric it is cut from.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

__all__ = ["FREE", "Pattern", "skirt_pattern", "trousers_pattern", "upper_pattern"]

Array = np.ndarray

FREE = -1
"""Curve of a vertex that lies on no hem."""


@dataclass(slots=True, kw_only=True)
class Pattern:
    """A garment under construction."""

    start: list[Array] = field(default_factory=list)
    """First guess of each vertex [m]."""
    curve: list[int] = field(default_factory=list)
    """Hem on which each vertex must lie, or FREE."""
    part: list[int] = field(default_factory=list)
    """Piece of the garment: 0 torso, 1 on the body's left (+X), 2 on its right, 3 seam between the legs."""
    faces: list[list[int]] = field(default_factory=list)
    cells: list[list[tuple[int, int, int]]] = field(default_factory=list)
    """Chart, row and column of each face's corners."""

    def block(self, points: Float[Array, "R C 3"], part: int = 0) -> Int[Array, "R C"]:
        """Add a grid of vertices and return their indices."""
        rows, columns = points.shape[:2]
        first = len(self.start)
        self.start.extend(points.reshape(-1, 3))
        self.curve.extend([FREE] * (rows * columns))
        self.part.extend([part] * (rows * columns))
        return first + np.arange(rows * columns).reshape(rows, columns)

    def sheet(self, index: Int[Array, "R C"], chart: int, row: int = 0, column: int = 0) -> None:
        """Join a grid of vertices by quads, on a chart from this cell on."""
        for r in range(index.shape[0] - 1):
            for c in range(index.shape[1] - 1):
                corners = ((r, c), (r + 1, c), (r + 1, c + 1), (r, c + 1))
                self.faces.append([int(index[i, j]) for i, j in corners])
                self.cells.append([(chart, row + i, column + j) for i, j in corners])

    def lay(self, index: Int[Array, " N"], curve: int) -> None:
        """Put vertices on a hem."""
        for vertex in index.ravel():
            self.curve[int(vertex)] = curve


def _ring(count: int, centre: Float[Array, " 3"], first: Float[Array, " 3"], second: Float[Array, " 3"]) -> Array:
    """Points of an ellipse, from `first` through `second`."""
    angle = 2 * np.pi * np.arange(count) / count
    return centre + np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second


def _tube(
    rows: int, around: Float[Array, "N 3"], start: Float[Array, " 3"], end: Float[Array, " 3"]
) -> Float[Array, "R N 3"]:
    """Rings from one centre to another, both included."""
    along = np.linspace(0.0, 1.0, rows)[:, None, None]
    return around[None] + start + along * (end - start)


def _wrapped(index: Int[Array, "R C"]) -> Int[Array, "R C1"]:
    """A tube cut open: the first column once more at the end."""
    return np.concatenate([index, index[:, :1]], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperCounts:
    """How many edges each line of a shirt or dress has."""

    front: int
    """Across the front (and the back), from side to side."""
    under: int
    """Under each arm; even."""
    body: int
    """From the hem to the armpit."""
    armhole: int
    """From the armpit to the shoulder."""
    shoulder: int
    """Along each shoulder."""
    sleeve: int
    """Along each sleeve; 0 for none, so that the armholes are hems."""


def upper_pattern(
    counts: UpperCounts,
    hem: float,
    armpit: Float[Array, " 3"],
    top: Float[Array, " 3"],
    collar: Float[Array, "3 3"],
    sleeve: Float[Array, "2 3"],
    depth: float,
) -> Pattern:
    """A shirt or dress: a tube to the armpits, front and back panels to the shoulders, two sleeves.

    Hems: 0 bottom, 1 neck, 2 and 3 left and right sleeve. Charts: 0 front, 1 back, 2 and 3 sleeves.

    Args:
        counts: Edges along each line.
        hem: Height of the bottom hem [m].
        armpit: Left armpit (x, y, and z of the body's middle) [m].
        top: Left end of the shoulder line [m].
        collar: Middle of the neckline, and the ways from there to its left side and to its front [m].
        sleeve: Axis of the left sleeve, from shoulder to hem [m].
        depth: Half the torso's depth [m].
    """
    n, half = counts.front, counts.under // 2
    pattern = Pattern()
    around = _ring(2 * n, np.zeros(3), np.array([armpit[0], 0, 0]), np.array([0, 0, depth]))
    middle = np.array([0.0, 0.0, armpit[2]])
    heights = np.array([0.0, hem, 0.0]) + middle, np.array([0.0, armpit[1], 0.0]) + middle
    torso = pattern.block(_tube(counts.body + 1, around, *heights))
    pattern.lay(torso[0], 0)
    loop = _wrapped(torso)
    pattern.sheet(loop[:, : n + 1], chart=0)
    pattern.sheet(loop[:, n:], chart=1)
    sides = []
    for start, sign in ((half, 1.0), (n + half, -1.0)):
        base = loop[-1:, start : start + n - counts.under + 1]
        foot = np.array([pattern.start[i] for i in base[0]])
        lift = np.linspace(0.0, 1.0, counts.armhole + 1)[1:, None, None]
        panel = foot + lift * (_top_row(counts, top, collar, sign) - foot)
        sides.append(np.concatenate([base, pattern.block(panel)]))
    front, back = sides
    _join_shoulders(pattern, front, back, counts.shoulder)
    pattern.sheet(front, chart=0, row=counts.body, column=half)
    pattern.sheet(back, chart=1, row=counts.body, column=half)
    ring = torso[-1]
    left = np.concatenate([ring[: half + 1], front[1:, 0], back[-2:0:-1, -1], ring[2 * n - half :]])
    right = np.concatenate([ring[n : n - half : -1], front[:, -1], back[-2::-1, 0], ring[n + half - 1 : n : -1]])
    # The right ring runs the same way as the left one (under, front, top, back); seen from outside it is mirrored.
    for side, (loop0, sign) in enumerate(((left, 1.0), (right, -1.0))):
        if counts.sleeve:
            _sleeve(pattern, loop0, sleeve * [sign, 1, 1], counts.sleeve, side)
        else:
            pattern.lay(loop0, 2 + side)
    return _compact(pattern)


def _top_row(
    counts: UpperCounts, top: Float[Array, " 3"], collar: Float[Array, "3 3"], sign: float
) -> Float[Array, "C 3"]:
    """First guess of the shoulders and neckline of the front (sign 1, from the left) or back (-1, from the right)."""
    neck = counts.front - counts.under - 2 * counts.shoulder
    angle = np.linspace(0.0, np.pi, neck + 1)[:, None]
    round_ = collar[0] + sign * (np.cos(angle) * collar[1] + np.sin(angle) * collar[2])
    tip = top * [sign, 1.0, 1.0]
    share = np.linspace(0.0, 1.0, counts.shoulder + 1)[:-1, None]
    first = tip + share * (round_[0] - tip)
    return np.concatenate([first, round_, first[::-1] * [-1.0, 1.0, 1.0]])


def _join_shoulders(pattern: Pattern, front: Array, back: Array, shoulder: int) -> None:
    """Make the panels share their shoulder vertices, and put the rest of the top rows on the neckline."""
    width = front.shape[1] - 1
    for column in [*range(shoulder + 1), *range(width - shoulder, width + 1)]:
        back[-1, width - column] = front[-1, column]
    pattern.lay(front[-1, shoulder : width - shoulder + 1], 1)
    pattern.lay(back[-1, shoulder : width - shoulder + 1], 1)


def _sleeve(pattern: Pattern, armhole: Int[Array, " S"], axis: Float[Array, "2 3"], rows: int, side: int) -> None:
    """Add a tube of rings that starts at the armhole, its seam under the arm."""
    along = axis[1] - axis[0]
    along = along / np.linalg.norm(along)
    forward = np.array([0.0, 0.0, 1.0])
    below = np.cross(along, forward) * np.sign(along[0])
    around = _ring(len(armhole), np.zeros(3), 0.08 * below, 0.08 * forward)
    rings = pattern.block(_tube(rows + 1, around, axis[0], axis[1])[1:], part=1 + side)
    pattern.lay(rings[-1], 2 + side)
    tube = _wrapped(np.concatenate([armhole[None], rings]))
    pattern.sheet(tube if side == 0 else tube[::-1], chart=2 + side)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrousersCounts:
    """How many edges each line of trousers or shorts has."""

    front: int
    """Across the front (and the back), from side to side; even."""
    rise: int
    """From the crotch to the waist."""
    crotch: int
    """Between the legs, from front to back."""
    leg: int
    """Along each leg."""


def trousers_pattern(
    counts: TrousersCounts,
    waist: float,
    crotch: Float[Array, " 3"],
    ankle: Float[Array, " 3"],
    width: float,
    depth: float,
) -> Pattern:
    """Trousers or shorts: a tube from waist to crotch that forks into two legs.

    Hems: 0 waist, 1 and 2 left and right leg. Charts: 0-1 front of the left and
    right half, 2-3 their backs.

    Args:
        counts: Edges along each line.
        waist: Height of the waist [m].
        crotch: Lowest point of the seam [m].
        ankle: End of the left leg's axis [m].
        width: Half the hips' width [m].
        depth: Half the hips' depth [m].
    """
    n, quarter = counts.front, counts.front // 2
    pattern = Pattern()
    # Column 0 is the left side; the front's middle is at n/2, the right side at n, the back's middle at 3n/2.
    around = _ring(2 * n, np.array([0, 0, crotch[2]]), np.array([width, 0, 0]), np.array([0, 0, depth]))
    low, high = np.array([0, crotch[1] + 0.06, 0]), np.array([0, waist, 0])
    hips = pattern.block(_tube(counts.rise + 1, around, low, high))
    pattern.lay(hips[-1], 0)
    bridge = np.linspace(depth, -depth, counts.crotch + 1)[1:-1]
    sag = np.stack([0 * bridge, 0 * bridge + crotch[1], bridge + crotch[2]], axis=1)
    seam = pattern.block(sag[None], part=3)[0]
    fork = hips[0]
    # Each leg's ring starts at the inner middle of the front and runs over the outside to the back and the seam.
    left = np.concatenate([fork[quarter::-1], fork[: 3 * quarter - 1 : -1], seam[::-1]])
    right = np.concatenate([fork[quarter : 3 * quarter + 1], seam[::-1]])
    for side, (ring, sign) in enumerate(((left, 1.0), (right, -1.0))):
        _leg(pattern, ring, ankle * [sign, 1, 1], counts, side, crotch)
    loop = _wrapped(hips)
    pattern.sheet(loop[:, : quarter + 1], chart=0, row=counts.leg)
    pattern.sheet(loop[:, quarter : n + 1], chart=1, row=counts.leg, column=quarter)
    pattern.sheet(loop[:, n : 3 * quarter + 1], chart=3, row=counts.leg, column=n)
    pattern.sheet(loop[:, 3 * quarter :], chart=2, row=counts.leg, column=3 * quarter)
    return _compact(pattern)


def _leg(pattern: Pattern, fork: Array, ankle: Array, counts: TrousersCounts, side: int, crotch: Array) -> None:
    """Add one leg below the fork, cut along its inner and outer side into a front and a back."""
    n, quarter = counts.front, counts.front // 2
    size = len(fork)
    # Angles so that the front's middle and the back's middle sit inside, the outer side opposite.
    angle = np.linspace(0.0, 2 * np.pi, size + 1)[:-1] + np.pi * counts.crotch / size
    inward = -np.sign(ankle[0])
    around = 0.08 * np.stack([inward * np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    top = np.array([ankle[0], crotch[1] - 0.02, crotch[2]])
    rings = pattern.block(_tube(counts.leg + 1, around, top, ankle)[1:], part=1 + side)
    pattern.lay(rings[-1], 1 + side)
    tube = np.concatenate([fork[None], rings])[::-1]
    half = counts.crotch // 2
    # Columns of the flat pieces: the fork's own columns, the seam's vertices beyond the middle.
    wrapped = np.concatenate([tube[:, size - half :], tube[:, : size - half + 1]], axis=1)
    front, back = wrapped[:, : half + quarter + 1], wrapped[:, half + quarter :]
    if side == 0:
        pattern.sheet(front[:, ::-1], chart=0, column=0)
        pattern.sheet(back[:, ::-1], chart=2, column=2 * n - (back.shape[1] - 1))
    else:
        pattern.sheet(front, chart=1, column=quarter - half)
        pattern.sheet(back, chart=3, column=n)


def skirt_pattern(
    front: int, length: int, waist: float, hem: float, middle: float, width: float, depth: float
) -> Pattern:
    """A skirt: one tube. Hems: 0 bottom, 1 waist. Charts: 0 front, 1 back.

    Args:
        front: Edges across the front (and the back).
        length: Edges from hem to waist.
        waist: Height of the waist [m].
        hem: Height of the hem [m].
        middle: Depth (z) of the body's middle [m].
        width: Half the hips' width [m].
        depth: Half the hips' depth [m].
    """
    pattern = Pattern()
    around = _ring(2 * front, np.array([0, 0, middle]), np.array([width, 0, 0]), np.array([0, 0, depth]))
    tube = pattern.block(_tube(length + 1, around, np.array([0, hem, 0]), np.array([0, waist, 0])))
    pattern.lay(tube[0], 0)
    pattern.lay(tube[-1], 1)
    loop = _wrapped(tube)
    pattern.sheet(loop[:, : front + 1], chart=0)
    pattern.sheet(loop[:, front:], chart=1)
    return pattern


def _compact(pattern: Pattern) -> Pattern:
    """Drop vertices that no face uses (the back's shoulder vertices, replaced by the front's)."""
    used = sorted({vertex for face in pattern.faces for vertex in face})
    place = {old: new for new, old in enumerate(used)}
    return Pattern(
        start=[pattern.start[i] for i in used],
        curve=[pattern.curve[i] for i in used],
        part=[pattern.part[i] for i in used],
        faces=[[place[i] for i in face] for face in pattern.faces],
        cells=pattern.cells,
    )
