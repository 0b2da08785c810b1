"""Stage `fit`: the body fitted to markers on the card, several trials at once, against the CPU.

The trials are stretches of the two motions that come with the project, whose markers are put on the body and shaken by
2 mm: no file of captured markers is needed, and where the joints truly are is known.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ongpu.ledger import Ledger, Task, measure
from synth.body.lbs import joint_transforms, posed, skin
from synth.body.model import load_named
from synth.motion import amass, catalog
from synth.motion.c3d import MarkerMotion
from synth.motion.markers import LAYOUT, attach
from synth.motion.moshmarkers import MARKER_SETTINGS, fit_person
from synth.motion.problem import Constants
from synth.types import BodyModel, Motion

Array = np.ndarray
Z_TO_Y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def trials(body: BodyModel, count: int, frames: int) -> tuple[list[MarkerMotion], list[Array]]:
    """Markers of so many stretches, and the joints (T, 24, 3) they were put on [m]."""
    rng, places = np.random.default_rng(0), attach(body, tuple(LAYOUT))
    captured, joints = [], []
    for first, motion in _stretches(count, frames):
        transforms = joint_transforms(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)
        points = skin(places.points[None], places.weights, transforms) @ Z_TO_Y.T
        points += rng.normal(0, 0.002, points.shape)
        captured.append(
            MarkerMotion(fps=motion.fps, labels=places.labels, points=points, source=f"{motion.source} {first}")
        )
        joints.append(posed(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)[1])
    return captured, joints


def _stretches(count: int, frames: int) -> list[tuple[int, Motion]]:
    """Stretches of the embedded motions in which the floor explains all, begun at other frames if they run out."""
    found: list[tuple[int, Motion]] = []
    shift = 0
    while len(found) < count:
        for sequence in catalog.find("cmu"):
            motion = amass.read(sequence.path).motion
            for first, last in sequence.usable:
                starts = range(first + shift, last - frames, frames)
                found += [(start, motion.frames(start, start + frames)) for start in starts]
        shift += 37
    return found[:count]


def fitted(device: str, batch: int, count: int, frames: int, iterations: int) -> dict[str, Any]:
    """Time of a frame, and how far the joints are from where they were, heights and turns of the world taken out."""
    body = load_named("free", "male")
    captured, truth = trials(body, count, frames)
    settings = replace(MARKER_SETTINGS, device=device, batch=batch, iterations=iterations)
    known = Constants(betas=np.zeros(10), latent=np.zeros((len(LAYOUT), 3)))
    if device == "cuda":
        fit_person(captured[:1], body, replace(settings, iterations=25), known)  # libraries are loaded
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    fits = fit_person(captured, body, settings, known)
    spent = time.perf_counter() - started
    apart = [
        _apart(posed(body, f.betas, f.motion.global_orient, f.motion.body_pose, f.motion.transl)[1], joints)
        for f, joints in zip(fits, truth, strict=True)
    ]
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return {
        "trials": count,
        "frames": count * frames,
        "threads": torch.get_num_threads(),
        "ms_per_frame": round(1000 * spent / (count * frames), 3),
        "joints_off_mm": round(1000 * float(np.mean(apart)), 2),
        "markers_off_mm": round(1000 * float(np.mean([f.residual.mean() for f in fits])), 2),
        "memory_gib": None if memory is None else round(memory, 3),
    }


def _apart(found: Array, true: Array) -> Array:
    """Distances of joints, the world's level and tilt being a fit's own (Kabsch over the stretch)."""
    a, b = found - found.mean(axis=(0, 1)), true - true.mean(axis=(0, 1))
    left, _, right = np.linalg.svd(a.reshape(-1, 3).T @ b.reshape(-1, 3))
    turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return np.linalg.norm(a @ turn - b, axis=-1)


def fit_stage(task: Task, ledger: Ledger) -> None:
    """On the card with 1, 4, 16 and 64 trials at once; on the CPU with one."""
    count, frames, iterations = (2, 48, 25) if task.tiny else (64, 360, MARKER_SETTINGS.iterations)
    few = min(count, 16)
    cases = [(task.torch_device, batch, few if batch <= 16 else count) for batch in (16, 1, 4, 64) if batch <= count]
    if task.tiny:
        cases = [(task.torch_device, 1, count), (task.torch_device, 2, count)]
    if task.torch_device != "cpu":
        cases.append(("cpu", 1, few))
    for device, batch, number in cases:

        def case(device: str = device, batch: int = batch, number: int = number) -> dict[str, Any]:
            return fitted(device, batch, number, frames, iterations)

        measure(task, ledger, f"fit/{device}/batch {batch}", 30, case)


STAGES = {"fit": fit_stage}
