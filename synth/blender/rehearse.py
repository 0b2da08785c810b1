"""A short run of the pipeline's own simulation, for looking at: no camera, no light, no shard."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.blender.simulate import solve
from synth.body.lbs import posed
from synth.cloth import preview
from synth.cloth.dress import dress
from synth.cloth.lead_in import with_lead_in
from synth.cloth.settings import SolverSettings
from synth.cloth.simulate import judged
from synth.errors import SynthError
from synth.motion import amass, catalog
from synth.motion.resample import resample
from synth.spec import GarmentSpec
from synth.types import BodyModel, DressedGarment, Motion, Quality

Array = np.ndarray

__all__ = ["Rehearsal", "rehearse", "stretch"]

_RATE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rehearsal:
    """What came of it, lead-in left out."""

    body: BodyModel
    body_vertices_world: Float[Array, "T V 3"]
    dressed: tuple[DressedGarment, ...]
    """The garments as they were put on; their skinned motion has the lead-in too."""
    garment_vertices_world: dict[str, Array]
    """Repaired vertices (T, Vg, 3) by name [m]."""
    quality: dict[str, Quality]
    """What the gate says."""

    def layers(self, count: int) -> list[list[preview.Layer]]:
        """So many frames, evenly spread, ready to be drawn (`preview.moving`)."""
        frames = len(self.body_vertices_world)
        shown = np.unique(np.linspace(0, frames - 1, min(count, frames)).astype(int)).tolist()
        return [self._layers(t) for t in shown]

    def _layers(self, t: int) -> list[preview.Layer]:
        layers = [preview.bare(preview.upright(self.body_vertices_world[t]), self.body.faces)]
        for k, worn in enumerate(self.dressed):
            vertices = np.nan_to_num(self.garment_vertices_world[worn.garment.name][t])
            layers.append(preview.clothed(worn.garment, preview.upright(vertices), k))
        return layers


def stretch(name: str, first: int, frames: int) -> Motion:
    """Frames of the first motion of that name, at 30 Hz.

    Args:
        name: As for `synth render --sequences`.
        first: First frame, in the recording's own rate.
        frames: How many at 30 Hz.

    Raises:
        SynthError: no such motion, or it has no such frames.
    """
    found = catalog.find(name)[0]
    last = first + int(np.ceil(frames * found.fps / _RATE))
    if last > found.frames:
        raise SynthError(
            f"{found.name}: frames {first}-{last} asked for, it has {found.frames}", "Start earlier or take fewer"
        )
    motion = resample(amass.read(found.path, name=found.name, start=first, stop=last).motion, _RATE)
    return motion.frames(0, min(frames, len(motion)))


def rehearse(
    body: BodyModel,
    betas: Float[Array, " B"],
    outfit: tuple[GarmentSpec, ...],
    motion: Motion,
    solver: str = "cloth",
    quality: int = 10,
) -> Rehearsal:
    """Dress a body, lead in, simulate once, repair and judge: what `synth render` does, without retries.

    It empties Blender's scene.

    Args:
        body: Who moves.
        betas: Its shape.
        outfit: The garments, innermost first.
        motion: What it does.
        solver: "cloth", "softbody" or "skinned".
        quality: Sub-steps per 1/30 s.
    """
    whole, lead = with_lead_in(motion, body, betas)
    dressed = dress(body, betas, outfit, whole)
    vertices, _ = posed(body, betas, whole.global_orient, whole.body_pose, whole.transl)
    with Path(os.devnull).open("wb") as sink:
        settings = SolverSettings(solver=solver, quality=quality)
        solved = solve(dressed, vertices, body.faces, whole.fps, settings, log=sink.fileno())
    worn, verdict = judged(dressed, solved, vertices, body.faces, whole.fps, lead, body.face_parts)
    return Rehearsal(
        body=body,
        body_vertices_world=vertices[lead:],
        dressed=dressed,
        garment_vertices_world=worn,
        quality=verdict,
    )
