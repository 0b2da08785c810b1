"""Motion in numbers: fits against what they did not see, speed, contrast search, coverage. The last line is JSON.

    python benchmarks/motion.py

The fits need CMU's 01_01 as C3D and AMC and 02_*.amc with their ASF: set RAIMENT_SHARED_DATA to a folder with `cmu/`,
or fetch them (`synth motion fetch cmu --subject 01 --subject 02`; C3D by hand). What is missing is null in the JSON.
Times are CPU seconds of one thread. Lower is better but for coverage_gain.

heldout_marker_mm: no place of a marker and no shape that goes into it was found from what it is measured on. The places
are a textbook's (`benchmarks/textbook.py`), found better on the first half of the frames, together with the shape; in
the second half the pose is found from four fifths of the markers, five times, and the others are predicted.
contrast_search_mb: peak memory of a process that searches, less that of one that only makes the two motions.
"""

import argparse
import json
import os
import time
from functools import cache
from pathlib import Path

import contrast_mining
import numpy as np
import textbook
import torch

from synth.body.lbs import joint_transforms, shaped
from synth.body.model import load_named
from synth.geometry.rotations import canonical_rotvec
from synth.motion import amass, asfamc, c3d, catalog, contrast, mining, mosh, moshmarkers, sampler
from synth.motion.clips import realise
from synth.motion.interpolate import pose_distances
from synth.motion.quality import measured, skating_at
from synth.types import BodyModel, Motion

Array = np.ndarray

DATA = Path(os.environ.get("RAIMENT_SHARED_DATA", "data")) / "cmu"
MINUTES, RATE = 10, 120
PLAIN = 6000
"""Frames a side of the plain matrix: all of it would take 41 GB."""
CLIPS = 24


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=2600, help="of the database that is mined; 0: none")
    sequences = parser.parse_args().sequences
    torch.set_num_threads(1)
    numbers: dict[str, float | None] = dict.fromkeys(
        ["heldout_marker_mm", "amc_vs_c3d_mm", "amc_vs_c3d_deg", "fit_ms_per_frame"]
    )
    if (DATA / "01_01.c3d").is_file():
        numbers |= fits(load_named("free", "male"))
    else:
        print(f"{DATA}/01_01.c3d is not there: no fits")
    numbers |= search()
    if sequences:
        contrast_mining.measure(sequences, min(40, sequences), 300)
    resampling()
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
    held = held_out(markers.frames(0, len(markers), 8), body)
    return {
        "heldout_marker_mm": round(held, 2),
        "amc_vs_c3d_mm": round(float(apart.mean()), 2),
        "amc_vs_c3d_deg": round(float(angle.mean()), 2),
        "fit_ms_per_frame": round(ms, 2),
    }


def held_out(markers: c3d.MarkerMotion, body: BodyModel) -> float:
    """Mean error of markers that a fit does not see [mm], for places that come from elsewhere."""
    rough = textbook.layout()
    first = markers.frames(0, len(markers) // 2)
    layouts = {
        "a textbook's, found better on the first half": moshmarkers.learned_layout(first, body, rough),
        "a textbook's as they are": rough,
        "the project's, refined on all of this trial": None,
    }
    means = []
    for name, layout in layouts.items():
        begun = time.process_time()
        errors = moshmarkers.held_out_errors(markers, body, layout=layout)
        each = 1e3 * np.array([np.nanmean(error) for error in errors.values()])
        worst = sorted(zip(each.round(1).tolist(), errors, strict=True))[-4:]
        spent = time.process_time() - begun
        print(
            f"held-out markers ({markers.fps:g} Hz), places {name}: mean {each.mean():.1f} mm, median "
            f"{np.median(each):.1f}, worst {worst}, {spent:.0f} s"
        )
        means.append(float(each.mean()))
    return means[0]


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
    begun = time.process_time()
    found = contrast.contrasting_pair(first, second)
    seconds = time.process_time() - begun
    memory = contrast_mining.apart(peak, True) - contrast_mining.apart(peak, False)
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


def peak(searched: bool) -> float:
    """Peak memory of this process once it has made two long motions and, if wanted, searched them [MB]."""
    first, second = (long_motion(seed, MINUTES * 60 * RATE) for seed in (1, 2))
    if searched:
        contrast.contrasting_pair(first, second)
    return contrast_mining.peak_memory()


def resampling() -> None:
    """How fast resting feet slide in the motions that come with the project, as they are and at other rates."""
    for sequence in catalog.find("cmu"):
        recording = amass.read(sequence.path)
        body = load_named("free", recording.gender)
        slides = skating_at(recording.motion, body, recording.betas, (recording.motion.fps, 60.0, 30.0, 25.0, 24.0))
        told = ", ".join(f"{rate:g} Hz {1e3 * value:.1f}" for rate, value in slides.items())
        print(f"{sequence.name}: resting feet slide at [mm/s]: {told}")


def gain() -> dict[str, float | None]:
    """Poses of originals alone; with as many clips between poses added; and as many clips, half of them such."""
    sequences, body = catalog.find("cmu"), load_named("free", "neutral")
    given = {"seed": 0, "frames": 30, "fps": 30.0, "body": body}
    covered: dict[str, int] = {}
    for pairs in sampler.PAIRS:
        rng = np.random.default_rng(0)
        plan = sampler.plan_motions(sequences, clips=2 * CLIPS, interpolated_share=0.5, pairs=pairs, **given)
        clips = {
            kind: [realise(spec, body, np.zeros(10))[0].body_pose for spec in plan if spec.kind == kind]
            for kind in ("original", "interpolated")
        }
        plain = np.concatenate(clips["original"])
        probes = np.stack([_blend(plain, rng) for _ in range(400)])
        half = [*clips["original"][: CLIPS // 2], *clips["interpolated"][: CLIPS // 2]]
        for name, chosen in (
            (f"{CLIPS} originals", clips["original"]),
            (f"{CLIPS} originals + {CLIPS} {pairs}", [*clips["original"], *clips["interpolated"]]),
            (f"{CLIPS // 2} originals + {CLIPS // 2} {pairs}", half),
        ):
            poses = np.concatenate(chosen)
            covered[name] = mining.coverage(poses)
            print(
                f"coverage of {name}: {covered[name]} poses 1 rad apart; a blend of two captured poses is "
                f"{mining.nearest_distance(probes, poses):.2f} rad from the nearest pose; clips are "
                f"{mining.spread(chosen):.2f} rad from the nearest other clip; volume of the ten widest directions "
                f"{mining.volume(poses):.3g}"
            )
    return {"coverage_gain": round(covered[f"{CLIPS} originals + {CLIPS} drawn"] / covered[f"{CLIPS} originals"], 3)}


def _blend(poses: Array, rng: np.random.Generator) -> Array:
    i, j = rng.integers(len(poses), size=2)
    return poses[i] + rng.random() * (poses[j] - poses[i])


if __name__ == "__main__":
    main()
