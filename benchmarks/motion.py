"""Motion in numbers: fits against what they did not see, speed, contrast search, coverage. The last line is JSON.

    python benchmarks/motion.py

The fits need CMU's 01_01 as C3D and AMC and 02_*.amc with their ASF: set RAIMENT_SHARED_DATA to a folder with `cmu/`,
or fetch them (`synth motion fetch cmu --subject 01 --subject 02`; C3D by hand). What is missing is null in the JSON.
Times are CPU seconds of one thread. Lower is better but for coverage_gain.
"""

import json
import os
import resource
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch

from synth.body.lbs import joint_transforms, shaped
from synth.body.model import load_named
from synth.geometry.rotations import canonical_rotvec
from synth.motion import amass, asfamc, c3d, catalog, contrast, mining, mosh, moshmarkers, sampler
from synth.motion.clips import realise
from synth.motion.interpolate import pose_distances
from synth.motion.quality import measured
from synth.types import BodyModel, Motion

Array = np.ndarray

DATA = Path(os.environ.get("RAIMENT_SHARED_DATA", "data")) / "cmu"
MINUTES, RATE = 10, 120
PLAIN = 6000
"""Frames a side of the plain matrix: all of it would take 41 GB."""
CLIPS = 24


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    numbers: dict[str, float | None] = dict.fromkeys(
        ["heldout_marker_mm", "amc_vs_c3d_mm", "amc_vs_c3d_deg", "fit_ms_per_frame"]
    )
    if (DATA / "01_01.c3d").is_file():
        numbers |= fits(load_named("free", "male"))
    else:
        print(f"{DATA}/01_01.c3d is not there: no fits")
    numbers |= search()
    mining_at_size()
    numbers |= gain()
    print(json.dumps(numbers))


def fits(body: BodyModel) -> dict[str, float | None]:
    """Fit walks and jumps, one trial from its markers and from its skeleton."""
    trials = [asfamc.read(DATA / "02.asf", path) for path in sorted(DATA.glob("02_*.amc"))]
    begun = time.process_time()
    results = mosh.fit_person(trials, body)
    frames = sum(map(len, trials))
    ms = 1e3 * (time.process_time() - begun) / max(frames, 1)
    for trial, result in zip(trials, results, strict=True):
        print(f"{trial.source} (AMC, {len(trial)} frames): {measured(result, body)}")
    print(f"AMC: {ms:.2f} ms a frame, {frames} frames of {len(trials)} trials, one shape")
    markers = c3d.read(DATA / "01_01.c3d")
    begun = time.process_time()
    (seen,) = moshmarkers.fit_person([markers], body)
    marker_ms = 1e3 * (time.process_time() - begun) / len(markers)
    print(f"01_01 (C3D, {len(markers)} frames): {measured(seen, body)}, {marker_ms:.2f} ms a frame")
    (copied,) = mosh.fit_person([asfamc.read(DATA / "01.asf", DATA / "01_01.amc")], body)
    print(f"01_01 (AMC): {measured(copied, body)}")
    # The second half only: the places of CMU's joints on the body were measured on the first.
    half = slice(len(markers) // 2, None)
    (at, turn), (other, other_turn) = (_placed(fit.motion, body, fit.betas, half) for fit in (seen, copied))
    apart = 1e3 * np.linalg.norm(at - other, axis=-1)
    cosine = (np.einsum("tjab,tjab->tj", turn, other_turn) - 1.0) / 2.0
    angle = np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))
    print(f"AMC against C3D, second half: {apart.mean():.1f} mm, {angle.mean():.1f} degrees (world, all 24 joints)")
    begun = time.process_time()
    errors = moshmarkers.held_out_errors(markers.frames(0, len(markers), 4), body)
    held = 1e3 * np.array([np.nanmean(error) for error in errors.values()])
    worst = sorted(zip(held.round(1).tolist(), errors, strict=True))[-4:]
    print(f"held-out markers (30 Hz): mean {held.mean():.1f} mm, worst {worst}, {time.process_time() - begun:.0f} s")
    return {
        "heldout_marker_mm": round(float(held.mean()), 2),
        "amc_vs_c3d_mm": round(float(apart.mean()), 2),
        "amc_vs_c3d_deg": round(float(angle.mean()), 2),
        "fit_ms_per_frame": round(ms, 2),
        "fit_markers_ms_per_frame": round(marker_ms, 2),
    }


def _placed(motion: Motion, body: BodyModel, betas: Array, part: slice) -> tuple[Array, Array]:
    """Joints [m] and their rotations in the world."""
    moved = joint_transforms(body, betas, motion.global_orient, motion.body_pose, motion.transl)[part]
    rest = shaped(body, betas)[1]
    return (moved[..., :3, :3] @ rest[..., None])[..., 0] + moved[..., :3, 3], moved[..., :3, :3]


@cache
def _embedded() -> list[Array]:
    return [amass.read(sequence.path).motion.body_pose for sequence in catalog.find("cmu")]


def long_motion(seed: int, frames: int) -> Array:
    """Minutes of motion: stretches of the two embedded trials in some order, each held a little differently."""
    sources = _embedded()
    rng, parts = np.random.default_rng(seed), []
    while sum(map(len, parts)) < frames:
        source = sources[rng.integers(len(sources))]
        start = int(rng.integers(0, len(source) - 600))
        parts.append(source[start : start + 600] + rng.normal(0, 0.1, (1, 23, 3)))
    return np.concatenate(parts)[:frames]


def search() -> dict[str, float | None]:
    """All pairs of two long sequences; beside it plain NumPy on as much as it can hold."""
    first, second = (long_motion(seed, MINUTES * 60 * RATE) for seed in (1, 2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    found = contrast.contrasting_pair(first, second)
    seconds = time.process_time() - begun
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"contrast: {len(first)} x {len(second)} frames, {found}, {seconds:.2f} s, {memory:.0f} MB more")
    a, b = canonical_rotvec(first[:PLAIN]), canonical_rotvec(second[:PLAIN])
    begun = time.process_time()
    matrix = pose_distances(a, b)
    plain = divmod(int(np.argmax(matrix)), len(b))
    slow = time.process_time() - begun
    begun = time.process_time()
    quick = contrast.contrasting_pair(first[:PLAIN], second[:PLAIN])
    assert quick is not None
    assert quick[:2] == plain, "the search is not exact"
    whole = (len(first) / PLAIN) ** 2
    print(
        f"plain NumPy on {PLAIN} x {PLAIN}: the same pair, {slow:.2f} s and {matrix.nbytes / 1e6:.0f} MB against "
        f"{time.process_time() - begun:.2f} s; all of it: {slow * whole:.0f} s, {matrix.nbytes * whole / 1e9:.0f} GB"
    )
    return {"contrast_search_s": round(seconds, 2), "contrast_search_mb": round(memory, 1)}


def mining_at_size(sequences: int = 2600, frames: int = 480) -> None:
    """Pairs of a database of CMU's number of sequences, of simulated motion; the loss by thinning, on a part."""
    made = [long_motion(seed, frames)[::12] for seed in range(sequences)]
    begun = time.process_time()
    pairs = mining.mine(made, 20)
    seconds = time.process_time() - begun
    exact = mining.mine(made[:60], 5, grain=0.0)
    thin = mining.mine(made[:60], 5)
    loss = [e.distance - t.distance for e, t in zip(exact, thin, strict=True)]
    print(
        f"mining: 20 pairs of {sequences} sequences in {seconds:.1f} s, {pairs[0].distance:.2f} to "
        f"{pairs[-1].distance:.2f} rad; thinning to {mining.GRAIN} rad loses {max(loss):.3f} rad at most"
    )


def gain() -> dict[str, float | None]:
    """Poses of originals alone, and of the same originals with as many interpolated clips."""
    sequences, body = catalog.find("cmu"), load_named("free", "neutral")
    given = {"seed": 0, "frames": 30, "fps": 30.0, "body": body}
    plan = sampler.plan_motions(sequences, clips=2 * CLIPS, interpolated_share=0.5, **given)
    clips = {
        kind: [realise(spec, body, np.zeros(10))[0].body_pose for spec in plan if spec.kind == kind]
        for kind in ("original", "interpolated")
    }
    plain = np.concatenate(clips["original"])
    mixed = np.concatenate([plain, *clips["interpolated"]])
    covered = mining.coverage(plain), mining.coverage(mixed)
    rng = np.random.default_rng(0)
    probes = np.stack([_blend(plain, rng) for _ in range(400)])
    near = mining.nearest_distance(probes, plain), mining.nearest_distance(probes, mixed)
    spectra = [np.linalg.eigvalsh(np.cov(poses.reshape(len(poses), -1).T))[-10:] for poses in (plain, mixed)]
    volume = [float(np.sqrt(spectrum).prod()) for spectrum in spectra]
    print(
        f"coverage: {covered[0]} poses 1 rad apart in {CLIPS} originals, {covered[1]} with as many interpolated clips "
        f"added; blends of two poses are {near[0]:.2f} and {near[1]:.2f} rad from the nearest; volume of the "
        f"ten widest directions x {volume[1] / volume[0]:.2f}"
    )
    return {"coverage_gain": round(covered[1] / covered[0], 3)}


def _blend(poses: Array, rng: np.random.Generator) -> Array:
    i, j = rng.integers(len(poses), size=2)
    return poses[i] + rng.random() * (poses[j] - poses[i])


if __name__ == "__main__":
    main()
