"""The moving half of `synth garment preview`: a stretch of a motion, simulated, judged and drawn."""

import os

import click
import numpy as np
from jaxtyping import Float
from PIL import Image

from synth.body.lbs import posed
from synth.cloth import preview as draw
from synth.cloth.dress import dress
from synth.cloth.lead_in import with_lead_in
from synth.cloth.settings import SolverSettings
from synth.cloth.simulate import judged
from synth.errors import SynthError
from synth.motion import amass, catalog
from synth.motion.resample import resample
from synth.spec import GarmentSpec
from synth.types import BodyModel, Motion

Array = np.ndarray

__all__ = ["rehearsed"]

_RATE = 30.0
_SHOWN = 8


def rehearsed(
    body: BodyModel,
    betas: Float[Array, " B"],
    outfit: tuple[GarmentSpec, ...],
    motion_name: str,
    first: int,
    frames: int,
    solver: str,
    quality: int,
) -> Image.Image:
    """Simulate an outfit, say what the gate thinks of it, and draw eight frames from two sides.

    Raises:
        SynthError: no such motion, or it has no such frames.
    """
    from synth.blender.simulate import solve

    motion = _stretch(motion_name, first, frames)
    whole, lead = with_lead_in(motion, body, betas)
    dressed = dress(body, betas, outfit, whole)
    vertices, _ = posed(body, betas, whole.global_orient, whole.body_pose, whole.transl)
    with open(os.devnull, "wb") as sink:  # noqa: PTH123 - a device, not a file
        settings = SolverSettings(solver=solver, quality=quality)
        solved = solve(dressed, vertices, body.faces, whole.fps, settings, log=sink.fileno())
    worn, verdict = judged(dressed, solved, vertices, body.faces, whole.fps, lead)
    for name, found in verdict.items():
        click.echo(f"{name}: {'; '.join(found.reasons) or 'accepted'}")
    shown = np.unique(np.linspace(0, len(motion) - 1, min(_SHOWN, len(motion))).astype(int))
    return draw.moving([_layers(body, vertices[lead + t], dressed, worn, int(t)) for t in shown])


def _stretch(name: str, first: int, frames: int) -> Motion:
    """Frames of the first motion of that name, at 30 Hz."""
    found = catalog.find(name)[0]
    last = first + int(np.ceil(frames * found.fps / _RATE))
    if last > found.frames:
        raise SynthError(f"{found.name}: frames {first}-{last} asked for, it has {found.frames}", "Give other --first")
    return resample(amass.read(found.path, name=found.name, start=first, stop=last).motion, _RATE)


def _layers(body: BodyModel, vertices: Array, dressed: tuple, worn: dict[str, Array], t: int) -> list[draw.Layer]:
    layers = [draw.bare(draw.upright(vertices), body.faces)]
    for k, piece in enumerate(dressed):
        positions = np.nan_to_num(worn[piece.garment.name][t])
        layers.append(draw.clothed(piece.garment, draw.upright(positions), k))
    return layers
