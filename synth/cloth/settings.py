"""How a garment's fabric and the wanted accuracy become the two solvers' numbers.

Blender's solvers are no measuring instruments: they are tuned around vertices of some 0.3 kg. Motion depends on the
ratios of stiffness, mass and air drag, so mass keeps its proportion to the fabric's density and stays near that size.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from garments.garment import Fabric, Garment
from synth.cloth.quality import on_border

Array = np.ndarray

__all__ = [
    "SOLVERS",
    "ClothSettings",
    "ColliderSettings",
    "SoftBodySettings",
    "SolverSettings",
    "cloth_distance",
    "cloth_settings",
    "collider_settings",
    "collider_share",
    "goal_weights",
    "pace",
    "softbody_settings",
    "time_scale",
    "vertex_mass",
]

SOLVERS = ("cloth", "softbody", "skinned")
PACE = (4.0, 0.75, 2.5)
"""The sub-steps asked for are those of a body whose fastest point moves at the first of these [m/s]; they grow and
shrink with that speed between the other two."""

_PANEL, _REACH = 2 / 3, 0.12
"""Share of its goal that a vertex keeps this far [m] from the next opening."""
_REFERENCE_MASS = 0.3
"""Mass of a vertex that Blender's cloth settings are tuned around [kg]."""
_REFERENCE_VERTEX = 0.2 * 0.025**2
"""Mass of a vertex of 0.2 kg/m2 cotton in a mesh with edges of 25 mm [kg]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverSettings:
    """How a garment, or all garments of an outfit that have none of their own, are simulated."""

    solver: str = "cloth"
    """"cloth", "softbody" or "skinned"."""
    quality: int = 10
    """Sub-steps per 1/30 s at 4 m/s; garments that clothe the legs get twice as many."""
    collisions: int = 1
    """Rounds of collision in each of the cloth solver's sub-steps."""
    self_collision: bool = False
    close: bool = False
    """Cloth lies closer to what is beneath it, and slides: between limbs that press on each other it has more room, but
    what hangs loose may fold up."""
    by_garment: "tuple[tuple[str, SolverSettings], ...]" = ()
    """Garments with settings of their own: their names and these."""

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, got {self.solver!r}")
        if self.quality < 1 or self.collisions < 1:
            raise ValueError(f"quality, collisions: expected at least 1, got {self.quality}, {self.collisions}")

    def of(self, name: str) -> "SolverSettings":
        """The settings of a garment."""
        return dict(self.by_garment).get(name, self)

    def __str__(self) -> str:
        """Such as "cloth, quality 10 (skirt: cloth, quality 20, close)"."""
        others = "; ".join(f"{name}: {own}" for name, own in self.by_garment)
        own = f"{self.solver}, quality {self.quality}{', close' if self.close else ''}"
        return f"{own} ({others})" if others else own


@dataclass(frozen=True, slots=True, kw_only=True)
class ClothSettings:
    """Blender's cloth modifier, by its own names."""

    quality: int
    mass: float
    tension_stiffness: float
    compression_stiffness: float
    shear_stiffness: float
    bending_stiffness: float
    tension_damping: float = 5.0
    compression_damping: float = 5.0
    shear_damping: float = 5.0
    bending_damping: float = 0.5
    air_damping: float = 1.0
    time_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftBodySettings:
    """Blender's soft-body modifier, by its own names."""

    mass: float
    pull: float
    push: float
    bend: float
    damping: float = 0.5
    """Of the springs."""
    friction: float = 0.5
    """Of the air."""
    speed: float
    step_min: int
    step_max: int
    error_threshold: float = 0.1
    goal_min: float = 0.0
    goal_max: float = 1.0
    goal_default: float = 1.0
    goal_spring: float = 0.99
    goal_friction: float = 5.0
    use_stiff_quads: bool = True
    shear: float = 0.5
    """Of the springs across the quads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColliderSettings:
    """Blender's collision modifier on what the cloth must not enter, by its own names."""

    thickness_outer: float
    """[m]"""
    thickness_inner: float
    """[m]"""
    cloth_friction: float
    damping: float = 0.1


def collider_share(solver: str) -> float:
    """Share of the body's faces that the solver is given: the soft body tries every face for every vertex."""
    return 0.2 if solver == "softbody" else 1.0


def time_scale(fps: float) -> float:
    """Blender counts time in frames: without this factor gravity comes out as 0.00981 fps^2 [m/s2]."""
    return math.sqrt(1000.0) / fps


def vertex_mass(fabric: Fabric, area: float, vertices: int) -> float:
    """Mean mass of a vertex on Blender's scale [kg].

    Args:
        fabric: Gives the density.
        area: Of the garment [m2].
        vertices: How many share it.
    """
    return _REFERENCE_MASS * (fabric.density * area / vertices) / _REFERENCE_VERTEX


def pace(body_vertices_world: Float[Array, "S V 3"], fps: float) -> float:
    """Factor on the sub-steps: the speed of the body's fastest point over the one that they are meant for.

    Args:
        body_vertices_world: The body in every frame [m].
        fps: Frame rate [Hz].
    """
    usual, least, most = PACE
    if len(body_vertices_world) < 2:
        return least
    fastest = max(
        float(np.linalg.norm(after - before, axis=1).max()) for before, after in itertools.pairwise(body_vertices_world)
    )
    return float(np.clip(fastest * fps / usual, least, most))


def _substeps(settings: SolverSettings, garment: Garment, fps: float, speed: float) -> int:
    """Sub-steps a frame. Legs move fastest and their cloth is pressed between them: twice as many."""
    return max(1, math.ceil(settings.quality * speed * (1 if garment.covers == "upper" else 2) * 30.0 / fps - 1e-9))


def cloth_settings(
    garment: Garment, area: float, fps: float, settings: SolverSettings, speed: float = 1.0
) -> ClothSettings:
    """The cloth solver's numbers for one garment.

    Args:
        garment: Its fabric's stiffnesses are in Blender's units already.
        area: Of the fitted garment [m2].
        fps: Frame rate of the simulation [Hz].
        settings: The try.
        speed: Of the motion (`pace`).
    """
    fabric = garment.fabric
    return ClothSettings(
        quality=_substeps(settings, garment, fps, speed),
        mass=float(np.clip(vertex_mass(fabric, area, len(garment.vertices)), 0.05, 2.0)),
        tension_stiffness=fabric.stretch,
        compression_stiffness=fabric.stretch,
        shear_stiffness=fabric.shear,
        bending_stiffness=fabric.bend,
        time_scale=time_scale(fps),
    )


def softbody_settings(
    garment: Garment, area: float, fps: float, settings: SolverSettings, speed: float = 1.0
) -> SoftBodySettings:
    """The soft-body solver's numbers for one garment.

    A spring's force is pull / (1 - pull) (likewise a goal's): at 0.8 it is four times that at the 0.5 which Blender
    starts from, and the cloth folds instead of stretching to its goals. Springs are explicit, so the fabric's stiffness
    moves them within a band, and a vertex never weighs less than half a unit.

    Args:
        garment: Its fabric.
        area: Of the fitted garment [m2].
        fps: Frame rate of the simulation [Hz].
        settings: The try.
        speed: Of the motion (`pace`).
    """
    fabric = garment.fabric
    spring = _spring(4.0 * (fabric.stretch / 15.0) ** 0.5)
    mass = float(np.clip(vertex_mass(fabric, area, len(garment.vertices)) / _REFERENCE_MASS, 0.5, 2.0))
    steps = _substeps(settings, garment, fps, speed)
    return SoftBodySettings(
        mass=mass,
        pull=spring,
        push=spring,
        shear=_spring((fabric.shear / 5.0) ** 0.5),
        bend=float(np.clip(0.5 * (fabric.bend / 0.5) ** 0.5, 0.1, 5.0)),
        speed=time_scale(fps),
        step_min=steps,
        step_max=5 * steps,
    )


def _spring(force: float) -> float:
    """Blender's 0-1 number for a spring of this force."""
    return float(np.clip(force / (1.0 + force), 0.4, 0.88))


def goal_weights(garment: Garment) -> Float[Array, " Vg"]:
    """How firmly each vertex keeps to the skinned garment under the soft-body solver: its goal, 1 where pinned.

    Openings and waistbands keep the garment's goals and hold it on the body; further in they fall to two thirds, and
    the cloth between may fold.
    """
    inwards = np.clip(_from_border(garment) / _REACH, 0.0, 1.0)
    return np.maximum(garment.goals * (1.0 - (1.0 - _PANEL) * inwards), garment.pins)


def _from_border(garment: Garment) -> Float[Array, " Vg"]:
    """Way along the edges from the nearest open border [m]; far where there is none."""
    first, second = garment.edges.T
    lengths = np.linalg.norm(garment.vertices[first] - garment.vertices[second], axis=1)
    count = len(garment.vertices)
    along = coo_matrix((lengths, (first, second)), shape=(count, count))
    openings = np.flatnonzero(on_border(garment.triangles, count))
    if not len(openings):
        return np.full(count, np.inf)
    return dijkstra(along, directed=False, indices=openings, min_only=True)


def cloth_distance(*, close: bool) -> float:
    """How far the cloth solver keeps a vertex from an obstacle's shell [m]."""
    return 0.002 if close else 0.005


def collider_settings(friction: float, solver: str, close: bool = False) -> ColliderSettings:
    """The body (or an inner garment) as an obstacle.

    Args:
        friction: The fabric's, Blender's 0-80 scale.
        solver: The soft-body solver is explicit and needs a thicker shell.
        close: Whether what it keeps out lies close (`SolverSettings.close`).
    """
    shell = 0.01 if solver == "softbody" else 0.001 if close else 0.003
    return ColliderSettings(
        thickness_outer=shell, thickness_inner=0.02, cloth_friction=min(friction, 1.0) if close else friction
    )
