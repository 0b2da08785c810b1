"""The gate: does a simulated garment still look worn? Numbers per frame, and the reason for each rejection."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from synth.cloth.slip import slipped
from synth.cloth.stretch import stretching
from synth.geometry.triangles import ClosestPoint, SurfacePoints, vertex_normals, winding
from synth.types import DressedGarment, Quality

Array = np.ndarray

__all__ = ["LIMITS", "Limits", "assess", "beside", "covered_at_rest", "garment_surface", "in_front", "on_border"]

_LEAVE_BORDER = 0.999
"""A closest point with this much of its weight on an open border: the query point is beside the cloth."""
_FRONT = (0.001, 0.02)
"""Skin this far in front of the cloth [m] shows through it; further off it is another limb."""
_TWICE = 1.5
"""A point that the skin goes round more often than this lies in two limbs at once."""
_MANY = 0.2
"""A garment with a larger share inside, or of skin in front, is refused whatever the reason; nothing is looked into."""
_OUT = 0.002
"""Skin that this far in front of itself [m] is inside the body lies in another limb."""
_STILL = 0.5
"""A body slower than this [m/s] counts as moving this fast, or cloth that settles would look like an explosion: what
falls by 5 cm is at 1 m/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The worst a frame may be; `..._loose` is for garments that may swing away from the body.

    Held against garments in motion that were looked at and labelled sound or broken (`tests/cloth/labels.json`): all
    sound ones must pass, all broken ones be refused by at least one limit. docs/garments.md says how far each measure
    of sound and broken garments lies from its limit.
    """

    penetration: float = 0.03
    """Share of the garment's vertices more than 1 mm inside the body, but not where the body goes through itself."""
    mean_penetration: float = 0.01
    """The same, mean over the clip."""
    deep_penetration: float = 0.01
    """Share of the garment's vertices more than 5 mm inside the body."""
    depth: float = 0.045
    """Deepest vertex [m]."""
    poke_through: float = 0.04
    """Share of the covered body that stands in front of the garment, outside any other limb."""
    strain: float = 0.15
    strain_loose: float = 0.20
    """Mean absolute edge strain."""
    strain_99: float = 1.1
    """What 99 % of the edges stay below."""
    strain_max: float = 4.0
    stretch_energy: float = 2.3
    """Over that of the fabric at 15 % strain. A sound tank top in a deep squat has 2.06; no broken garment depends on
    it."""
    slipped: float = 0.32
    """Share of the vertices over a wrong part of the body; not asked of a loose garment."""
    coverage: float = 0.75
    """Least share of the body covered at rest that still is; not asked of a loose garment."""
    drift: float = 0.10
    """Centroid's distance from where skinning puts it [m]; not asked of a loose garment. Sound trousers ride up by 8 cm
    in a deep squat."""
    speed_ratio: float = 8.0
    speed_ratio_loose: float = 16.0
    """Fastest garment vertex over fastest body vertex."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if not getattr(self, spec.name) > 0:
                raise ValueError(f"{spec.name}: expected a positive limit, got {getattr(self, spec.name)}")


LIMITS = Limits()


def on_border(triangles: Int[Array, "F 3"], count: int) -> Bool[Array, " V"]:
    """Vertices on an open border of a mesh of `count` vertices."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    pairs, uses = np.unique(edges, axis=0, return_counts=True)
    mask = np.zeros(count, dtype=bool)
    mask[pairs[uses == 1].ravel()] = True
    return mask


def garment_surface(vertices: Float[Array, "Vg 3"], triangles: Int[Array, "F 3"]) -> ClosestPoint:
    """A garment's surface, to be asked for closest points."""
    return ClosestPoint(vertices, triangles, candidates=6)


def beside(hits: SurfacePoints, triangles: Int[Array, "F 3"], border: Bool[Array, " Vg"]) -> Bool[Array, " N"]:
    """Whether the closest point lies on the garment's open border, where its sides mean nothing."""
    weight = (hits.barycentric * border[triangles[hits.face]]).sum(axis=1)
    return weight > _LEAVE_BORDER


def covered_at_rest(
    worn: DressedGarment, body_vertices_world: Float[Array, "V 3"], faces: Int[Array, "F 3"]
) -> Int[Array, " C"]:
    """Body vertices under the garment in its first frame.

    Args:
        worn: The garment; its skinned first frame is the one looked at.
        body_vertices_world: The body in that frame [m].
        faces: The body's triangles.
    """
    triangles = worn.garment.triangles
    start = worn.skinned_world[0].astype(np.float64)
    low, high = start.min(axis=0) - 0.02, start.max(axis=0) + 0.02
    near = np.flatnonzero(((body_vertices_world > low) & (body_vertices_world < high)).all(axis=1))
    hits = garment_surface(start, triangles)(body_vertices_world[near])
    facing = np.einsum("ni,ni->n", vertex_normals(body_vertices_world, faces)[near], hits.normal) > 0
    under = (hits.distance < 0) & (hits.distance > -0.12) & facing
    return near[under & ~beside(hits, triangles, on_border(triangles, len(start)))]


def in_front(
    hits: SurfacePoints, body_normals: Float[Array, "C 3"], aside: Bool[Array, " C"]
) -> tuple[Bool[Array, " C"], Bool[Array, " C"]]:
    """Which of the body's vertices show through the garment, and which lie under it.

    Skin counts as in front only if it faces the way the cloth does: an arm that presses on the side of the shirt faces
    it, and hides nothing it should not.

    Args:
        hits: Closest points of the garment to the body's vertices.
        body_normals: Unit normals of these vertices.
        aside: Whether the closest point lies on the garment's open border.

    Returns:
        (in front, covered)
    """
    same_way = np.einsum("ni,ni->n", body_normals, hits.normal) > 0.2
    front = (hits.distance > _FRONT[0]) & (hits.distance < _FRONT[1]) & same_way & ~aside
    covered = ~aside & ((hits.distance <= 0) | ~same_way)
    return front, covered


def assess(
    worn: DressedGarment,
    vertices_world: Float[Array, "T Vg 3"],
    body_vertices_world: Float[Array, "T V 3"],
    faces: Int[Array, "F 3"],
    fps: float,
    covered: Int[Array, " C"],
    limits: Limits = LIMITS,
    face_parts: Integer[Array, " F"] | None = None,
) -> Quality:
    """Measure one garment in the frames to be rendered, and judge it.

    Args:
        worn: The garment; its skinned motion covers the same T frames.
        vertices_world: Simulated vertices [m].
        body_vertices_world: The body [m].
        faces: The body's triangles.
        fps: Frame rate [Hz].
        covered: Body vertices under the garment at rest (`covered_at_rest`).
        limits: The worst a frame may be.
        face_parts: Body part (1-24) of each of the body's faces; without, nothing is said about slipping.

    Returns:
        All but what `synth.cloth.contact` measures (zeros here).

    Raises:
        ValueError: the arrays differ in their number of frames.
    """
    frames = len(vertices_world)
    if not len(worn.skinned_world) == len(body_vertices_world) == frames:
        raise ValueError(f"{worn.garment.name}: garment, skinned garment and body differ in their number of frames")
    finite = np.isfinite(vertices_world).all(axis=(1, 2))
    # The measures of a frame that is not a number are NaN; the reason is given once, for the first such frame.
    measured = {name: np.full(frames, np.nan) for name in _MEASURES} | stretching(worn, vertices_world)
    triangles = worn.garment.triangles
    border = on_border(triangles, vertices_world.shape[1])
    for t in np.flatnonzero(finite):
        vertices, body = vertices_world[t].astype(np.float64), body_vertices_world[t].astype(np.float64)
        skin = ClosestPoint(body, faces)(vertices)
        depth = _avoidable(-skin.distance, vertices, body, faces)
        measured["penetration"][t] = np.mean(depth > 0.001)
        measured["deep_penetration"][t] = np.mean(depth > 0.005)
        measured["depth"][t] = max(0.0, float(depth.max()))
        measured["slipped"][t] = (
            0.0 if face_parts is None else slipped(worn.garment.region, skin.face, skin.distance, face_parts)
        )
        hits = garment_surface(vertices, triangles)(body[covered])
        normals = vertex_normals(body, faces)[covered]
        front, under = in_front(hits, normals, beside(hits, triangles, border))
        front &= ~_buried(body[covered], normals, front, body, faces)
        measured["poke_through"][t] = front.mean() if len(covered) else 0.0
        measured["coverage"][t] = under.mean() if len(covered) else 1.0
    measured["drift"] = np.linalg.norm(vertices_world.mean(axis=1) - worn.skinned_world.mean(axis=1), axis=1)
    measured["speed_ratio"] = _speed_ratio(vertices_world, body_vertices_world, fps)
    cloth_on_cloth = {name: np.zeros(frames) for name in ("crumpled", "itself", "layers")}
    return Quality(**measured, **cloth_on_cloth, reasons=tuple(_reasons(worn, measured, finite, limits)))


_MEASURES = (
    *("penetration", "deep_penetration", "depth", "poke_through", "coverage", "slipped"),
    *("drift", "speed_ratio"),
)


def _avoidable(
    depth: Float[Array, " Vg"],
    vertices: Float[Array, "Vg 3"],
    body_vertices: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
) -> Float[Array, " Vg"]:
    """The depth under the skin [m]; none where the body went through itself, for cloth can be outside of it nowhere."""
    inside = np.flatnonzero(depth > 0.001)
    if len(inside) > _MANY * len(depth):
        return depth
    twice = winding(vertices[inside], body_vertices, faces) > _TWICE
    depth = depth.copy()
    depth[inside[twice]] = 0.0
    return depth


def _buried(
    skin: Float[Array, "C 3"],
    normals: Float[Array, "C 3"],
    asked: Bool[Array, " C"],
    body_vertices: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
) -> Bool[Array, " C"]:
    """Which of the points asked about are skin that lies in another limb and is not seen."""
    result = np.zeros(len(skin), dtype=bool)
    if asked.sum() > _MANY * len(asked):
        return result
    result[asked] = winding(skin[asked] + _OUT * normals[asked], body_vertices, faces) > _TWICE - 1
    return result


def _speed_ratio(
    vertices_world: Float[Array, "T Vg 3"], body_vertices_world: Float[Array, "T V 3"], fps: float
) -> Float[Array, " T"]:
    """Fastest garment vertex over fastest body vertex, per frame; the first frame has the second's."""
    if len(vertices_world) < 2:
        return np.zeros(len(vertices_world))
    cloth, body = (
        np.linalg.norm(np.diff(positions, axis=0), axis=2).max(axis=1) * fps
        for positions in (vertices_world, body_vertices_world)
    )
    ratio = cloth / np.maximum(body, _STILL)
    return np.concatenate([ratio[:1], ratio])


def _reasons(
    worn: DressedGarment, measured: dict[str, Float[Array, " T"]], finite: Bool[Array, " T"], limits: Limits
) -> list[str]:
    """What speaks against the garment, the worst frame of each kind."""
    name, loose = worn.garment.name, worn.garment.loose
    if not finite.all():
        return [f"{name}: frame {int(np.argmin(finite))}: the solver blew up (coordinates are not finite)"]
    checks = [
        ("penetration", limits.penetration, 100, " %", "of vertices > 1 mm inside the body"),
        ("deep_penetration", limits.deep_penetration, 100, " %", "of vertices > 5 mm inside the body"),
        ("depth", limits.depth, 1000, " mm", "deep inside the body"),
        ("poke_through", limits.poke_through, 100, " %", "of the covered skin shows through"),
        ("strain", limits.strain_loose if loose else limits.strain, 100, " %", "mean strain of the edges"),
        ("strain_99", limits.strain_99, 100, " %", "strain of the worst hundredth of the edges"),
        ("strain_max", limits.strain_max, 100, " %", "strain of an edge"),
        ("stretch_energy", limits.stretch_energy * _energy_unit(worn), 1, " J/m2", "stretch energy"),
        (
            "speed_ratio",
            limits.speed_ratio_loose if loose else limits.speed_ratio,
            1,
            "",
            "times as fast as the body: it flies off",
        ),
    ]
    if not loose:
        checks.append(("drift", limits.drift, 100, " cm", "from where the body carries it: it slips"))
        checks.append(
            ("slipped", limits.slipped, 100, " %", "of it lies over a wrong part of the body: it slipped off")
        )
    found = []
    for key, limit, scale, unit, said in checks:
        worst = int(np.argmax(measured[key]))
        if measured[key][worst] > limit:
            value = scale * measured[key][worst]
            found.append(f"{name}: frame {worst}: {value:.1f}{unit} {said} (limit {scale * limit:g}{unit})")
    mean = measured["penetration"].mean()
    if mean > limits.mean_penetration:
        found.append(
            f"{name}: {100 * mean:.1f} % of vertices > 1 mm inside the body on average "
            f"(limit {100 * limits.mean_penetration:g} %)"
        )
    worst = int(np.argmin(measured["coverage"]))
    if not loose and measured["coverage"][worst] < limits.coverage:
        found.append(
            f"{name}: frame {worst}: covers {100 * measured['coverage'][worst]:.0f} % of what it covered at rest "
            f"(limit {100 * limits.coverage:g} %)"
        )
    return found


def _energy_unit(worn: DressedGarment) -> float:
    """Stretch energy of the fabric at 15 % strain [J/m2]."""
    return 0.5 * worn.garment.fabric.stretch * 0.15**2
