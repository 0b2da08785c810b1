"""From a motion to a dressed body in motion that has passed the gate, or the reasons why there is none."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from synth.body.lbs import posed
from synth.cloth import contact
from synth.cloth.dress import dress
from synth.cloth.lead_in import with_lead_in
from synth.cloth.quality import assess, covered_at_rest
from synth.cloth.repair import repair
from synth.cloth.settings import SolverSettings
from synth.spec import ClipSpec, SimulationSpec
from synth.types import BodyModel, DressedGarment, Motion, Quality, SimulatedClip

Array = np.ndarray
OnFrame = Callable[[int, int], None]

__all__ = ["Rejected", "Solve", "attempts", "judged", "simulate"]

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


def attempts(simulation: SimulationSpec) -> tuple[SolverSettings, ...]:
    """The tries, in order: as asked, then with twice the sub-steps each time, at last by the cloth solver."""
    if simulation.solver == "skinned":
        return (SolverSettings(solver="skinned", quality=simulation.quality),)
    tries = [
        SolverSettings(solver=simulation.solver, quality=simulation.quality * 2**k)
        for k in range(simulation.retries + 1)
    ]
    if simulation.solver != "cloth":
        tries.append(SolverSettings(solver="cloth", quality=simulation.quality))
    return tuple(tries)


def simulate(
    spec: ClipSpec, body: BodyModel, motion: Motion, solve: Solve, on_frame: OnFrame | None = None
) -> SimulatedClip:
    """Dress the body, lead in from the A-pose, let the cloth move, repair it, and judge it.

    Args:
        spec: Gives the shape, the outfit and how to simulate.
        body: The body model.
        motion: The motion to be rendered.
        solve: Simulates an outfit.
        on_frame: Called with (frames done, frames in all) of the present try.

    Returns:
        The frames of `motion`; the lead-in is gone.

    Raises:
        Rejected: no try passed the gate.
    """
    betas = np.asarray(spec.body.betas, dtype=np.float64)
    if not spec.outfit:
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
    refused: list[str] = []
    for settings in attempts(spec.simulation):
        solved = solve(dressed, vertices, body.faces, whole.fps, settings, on_frame)
        worn, quality = judged(dressed, solved, vertices, body.faces, whole.fps, lead)
        reasons = [reason for judged in quality.values() for reason in judged.reasons]
        if not reasons:
            return SimulatedClip(
                betas=betas,
                motion=whole.frames(lead, len(whole)),
                body_vertices_world=vertices[lead:],
                joints_world=joints[lead:],
                garments=tuple(_from_frame(garment, lead) for garment in dressed),
                garment_vertices_world=worn,
                quality=quality,
            )
        refused += [f"{reason} [{settings.solver}, quality {settings.quality}]" for reason in reasons]
        _log.info("%s: %s, quality %d: %s", spec.clip_id, settings.solver, settings.quality, "; ".join(reasons))
    raise Rejected(tuple(refused))


def _from_frame(worn: DressedGarment, start: int) -> DressedGarment:
    return dataclasses.replace(worn, skinned_world=worn.skinned_world[start:])


def judged(
    dressed: tuple[DressedGarment, ...],
    solved: dict[str, Array],
    body_vertices_world: Float[Array, "S V 3"],
    faces: Int[Array, "F 3"],
    fps: float,
    lead: int,
) -> tuple[dict[str, Array], dict[str, Quality]]:
    """Repair and assess the frames after the lead-in.

    Args:
        dressed: The garments, innermost first.
        solved: Their simulated vertices, lead-in included [m].
        body_vertices_world: The body in the same frames [m].
        faces: The body's triangles.
        fps: Frame rate [Hz].
        lead: Frames of the lead-in.

    Returns:
        The repaired garments without the lead-in [m], and what the gate says of each.
    """
    rest, shown = body_vertices_world[0], body_vertices_world[lead:]
    worn = repair(dressed, {name: moved[lead:] for name, moved in solved.items()}, shown, faces, rest)
    quality, touching = {}, contact.contacts(dressed, worn)
    for garment in dressed:
        name = garment.garment.name
        covered = covered_at_rest(garment, rest, faces)
        found = assess(_from_frame(garment, lead), worn[name], shown, faces, fps, covered)
        further = contact.reasons(garment.garment, touching[name])
        quality[name] = dataclasses.replace(found, reasons=(*found.reasons, *further))
    return worn, quality
