"""From a motion to a dressed body in motion that has passed the gate, or the reasons why there is none."""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Integer

from synth.body.lbs import posed
from synth.cloth import contact
from synth.cloth.choice import best_solver
from synth.cloth.dress import dress
from synth.cloth.lead_in import with_lead_in
from synth.cloth.quality import assess, covered_at_rest
from synth.cloth.rate import thinned
from synth.cloth.repair import repair
from synth.cloth.settings import SolverSettings
from synth.spec import ClipSpec, SimulationSpec
from synth.types import BodyModel, DressedGarment, Motion, Quality, SimulatedClip

Array = np.ndarray
OnFrame = Callable[[int, int], None]

__all__ = ["Rejected", "Solve", "judged", "rungs", "simulate"]

_LOOKED_AT = 2
"""Cloth against cloth is looked at in every so many frames; what was found holds until the next."""

_log = logging.getLogger(__name__)


class Rejected(Exception):  # noqa: N818
    """No try gave cloth that looks worn: an outcome to be recorded with its reasons, not a fault.

    Args:
        reasons: What was wrong with each try.
    """

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return "; ".join(self.reasons)


@runtime_checkable
class Solve(Protocol):
    """What simulates an outfit (`synth.blender.simulate.solve`)."""

    def __call__(  # noqa: D102
        self,
        dressed: tuple[DressedGarment, ...],
        body_vertices_world: Float[Array, "S V 3"],
        faces: Int[Array, "F 3"],
        fps: float,
        settings: SolverSettings,
        on_frame: OnFrame | None = None,
    ) -> dict[str, Array]: ...


def rungs(simulation: SimulationSpec, garment: str) -> tuple[SolverSettings, ...]:
    """The ladder of tries of a garment: each time it is refused it goes one up.

    As asked; then, so often as retries allow, with twice the sub-steps of the try before and two rounds of collision in
    each; then the same once more with cloth that lies close, or, of the soft body, by the cloth solver as asked. "auto"
    starts with the solver that was measured to pass the gate best for the garment (`synth.cloth.choice`), and ends with
    the other one.

    Args:
        simulation: Solver, sub-steps, retries.
        garment: Its name.
    """
    if simulation.solver == "skinned":
        return (SolverSettings(solver="skinned", quality=simulation.quality),)
    first = best_solver(garment) if simulation.solver == "auto" else simulation.solver
    ladder = [
        SolverSettings(solver=first, quality=simulation.quality * 2**k, collisions=1 if k == 0 else 2)
        for k in range(simulation.retries + 1)
    ]
    if simulation.solver == "softbody":
        ladder.append(SolverSettings(solver="cloth", quality=simulation.quality))
    elif simulation.retries and first == "cloth":
        ladder.append(dataclasses.replace(ladder[-1], close=True))
    if simulation.solver == "auto":
        other = {"cloth": "softbody", "softbody": "cloth"}[first]
        ladder.append(dataclasses.replace(ladder[-1], solver=other, close=False))
    return tuple(ladder)


def _outfit(settings: Mapping[str, SolverSettings]) -> SolverSettings:
    """One try: each garment's settings; said in short where all are alike."""
    alike = set(settings.values())
    return alike.pop() if len(alike) == 1 else SolverSettings(by_garment=tuple(settings.items()))


def simulate(
    spec: ClipSpec, body: BodyModel, motion: Motion, solve: Solve, on_frame: OnFrame | None = None, every: int = 1
) -> SimulatedClip:
    """Dress the body, lead in from the A-pose, let the cloth move, repair it, and judge it.

    Args:
        spec: Gives the shape, the outfit and how to simulate.
        body: The body model.
        motion: The motion at the rate at which cloth is simulated (`synth.cloth.rate`).
        solve: Simulates an outfit.
        on_frame: Called with (frames done, frames in all) of the present try.
        every: Of the frames of `motion` the clip keeps the first and every so many further.

    Returns:
        The frames of `motion` that are kept; the lead-in is gone.

    Raises:
        Rejected: no try passed the gate.
    """
    betas = np.asarray(spec.body.betas, dtype=np.float64)
    if not spec.outfit:
        motion = thinned(motion, 0, every)
        vertices, joints = posed(body, betas, motion.global_orient, motion.body_pose, motion.transl)
        return SimulatedClip(
            betas=betas,
            motion=motion,
            body_vertices_world=vertices,
            joints_world=joints,
            garments=(),
            garment_vertices_world={},
            quality={},
        )
    whole, lead = with_lead_in(motion, body, betas)
    dressed = dress(body, betas, spec.outfit, whole)
    vertices, joints = posed(body, betas, whole.global_orient, whole.body_pose, whole.transl)
    names = tuple(garment.name for garment in spec.outfit)
    # The first frame stays: it shows what the garments cover.
    kept = np.concatenate([[0], np.arange(lead, len(whole), every)])
    shown = tuple(dataclasses.replace(worn, skinned_world=worn.skinned_world[kept]) for worn in dressed)
    refused: list[str] = []
    ladders = {name: list(rungs(spec.simulation, name)) for name in names}
    for tried in itertools.count(1):
        settings = _outfit({name: ladder[0] for name, ladder in ladders.items()})
        solved = solve(dressed, vertices, body.faces, whole.fps, settings, on_frame)
        solved = {name: moved[kept] for name, moved in solved.items()}
        worn, quality = judged(shown, solved, vertices[kept], body.faces, whole.fps / every, 1, body.face_parts)
        reasons = [reason for judged in quality.values() for reason in judged.reasons]
        if not reasons:
            return SimulatedClip(
                betas=betas,
                motion=thinned(whole, lead, every),
                body_vertices_world=vertices[kept[1:]],
                joints_world=joints[kept[1:]],
                garments=tuple(_from_frame(garment, 1) for garment in shown),
                garment_vertices_world=worn,
                quality=quality,
                solvers={name: settings.of(name).solver for name in names},
                tries=tried,
            )
        for name in names:
            own = settings.of(name)
            refused += [f"{reason} [{own}]" for reason in quality[name].reasons]
        _log.info("%s: %s: %s", spec.clip_id, settings, "; ".join(reasons))
        wrong = [name for name in names if quality[name].reasons]
        if any(len(ladders[name]) == 1 for name in wrong):
            raise Rejected(tuple(refused))
        # What passed stays as it was: more sub-steps are not better cloth, only another fall of its folds.
        for name in wrong:
            ladders[name].pop(0)
    raise AssertionError("unreachable")


def _from_frame(worn: DressedGarment, start: int) -> DressedGarment:
    return dataclasses.replace(worn, skinned_world=worn.skinned_world[start:])


def judged(
    dressed: tuple[DressedGarment, ...],
    solved: dict[str, Array],
    body_vertices_world: Float[Array, "S V 3"],
    faces: Int[Array, "F 3"],
    fps: float,
    lead: int,
    face_parts: Integer[Array, " F"] | None = None,
) -> tuple[dict[str, Array], dict[str, Quality]]:
    """Repair and assess the frames after the lead-in.

    Args:
        dressed: The garments, innermost first.
        solved: Their simulated vertices, lead-in included [m].
        body_vertices_world: The body in the same frames [m].
        faces: The body's triangles.
        fps: Frame rate [Hz].
        lead: Frames of the lead-in.
        face_parts: Body part (1-24) of each of these.

    Returns:
        The repaired garments without the lead-in [m], and what the gate says of each.
    """
    rest, shown = body_vertices_world[0], body_vertices_world[lead:]
    worn = repair(dressed, {name: moved[lead:] for name, moved in solved.items()}, shown, faces, rest)
    quality, touching = {}, contact.contacts(dressed, worn, every=_LOOKED_AT)
    for garment in dressed:
        name = garment.garment.name
        covered = covered_at_rest(garment, rest, faces)
        found = assess(_from_frame(garment, lead), worn[name], shown, faces, fps, covered, face_parts=face_parts)
        shares = {key: np.repeat(share, _LOOKED_AT)[: len(shown)] for key, share in touching[name].items()}
        found = dataclasses.replace(found, **shares)
        further = contact.reasons(garment.garment, {key: getattr(found, key) for key in contact.MEASURES})
        quality[name] = dataclasses.replace(found, reasons=(*found.reasons, *further))
    return worn, quality
