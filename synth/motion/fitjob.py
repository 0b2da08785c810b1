"""Fitting many files: person by person, kept when they are there already, each with a report of how well it went."""

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from synth.errors import SynthError
from synth.files import replacing, write_text
from synth.motion import amass, catalog, mosh, moshmarkers
from synth.motion.c3d import MarkerMotion
from synth.motion.contact import grounded
from synth.motion.correspondence import TARGETS
from synth.motion.fitting import Constants, FitSettings
from synth.motion.intake import Skipped, Trial, read
from synth.motion.quality import measured
from synth.motion.skeleton import SkeletonMotion
from synth.types import BodyModel

Array = np.ndarray
Captured = SkeletonMotion | MarkerMotion

REPORT = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person's files are read and fitted with."""

    asf: Path | None = None
    fps: float = 120.0
    unit: float | None = None
    iterations: int = 150
    device: str = "cpu"
    again: bool = False
    """Fit what is there already, too."""
    held_out: bool = True
    """Measure the error of markers that the fit does not see."""
    batch: int = 1
    """Trials of a person that are solved together."""


HELD_OUT_HZ = 15.0
"""Rate at which the error of held-out markers is measured, for it takes five fits."""


def fit_trials(
    trials: Sequence[Trial],
    body: BodyModel,
    options: Options,
    tell: Callable[[str], None] = lambda line: None,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Skipped]:
    """Fit one person's files of one kind and write AMASS npz files, a report and `usable.toml` beside them.

    The shape is found from all files together and kept as AMASS does (`<person>_<kind>_stagei.npz`): a file that is
    added later gets the same. A file that cannot be read is set aside, and so is one whose fit fails.

    Args:
        trials: From `synth.motion.intake.Intake.people`.
        body: Model of the person's gender.
        options: How.
        tell: Takes a line about each file as it is done.
        advance: Takes how many files are done with, as they are.

    Returns:
        What was set aside.
    """
    skipped: list[Skipped] = []
    wanted = [trial for trial in trials if options.again or not trial.out.is_file()]
    for trial in trials:
        if trial not in wanted:
            tell(f"{trial.out}: kept")
            advance(1)
    captured: list[tuple[Trial, Captured]] = []
    for trial in wanted:
        try:
            motion = read(trial.path, asf=options.asf, fps=options.fps, unit=options.unit)
            if isinstance(motion, MarkerMotion):
                moshmarkers.labels_of([motion])
            else:
                mosh.capture(motion.frames(0, 2), body)
            captured.append((trial, motion))
        except (SynthError, OSError, MemoryError) as error:
            skipped.append(Skipped(path=trial.path, reason=str(error).removeprefix(f"{trial.path}: ")))
            advance(1)
    if captured:
        skipped += _fit(captured, body, options, tell, advance)
    return skipped


def _fit(
    captured: list[tuple[Trial, Captured]],
    body: BodyModel,
    options: Options,
    tell: Callable[[str], None],
    advance: Callable[[int], None],
) -> list[Skipped]:
    first = captured[0][0]
    stage = first.out.with_name(f"{first.person}_{first.path.suffix[1:].lower()}_stagei.npz")
    motions = [motion for _, motion in captured]
    markers = [m for m in motions if isinstance(m, MarkerMotion)]
    labels = moshmarkers.labels_of(markers) if markers else tuple(TARGETS)
    constants = None if options.again else _read_stage(stage, labels, body)
    if constants is None:
        constants = _constants(motions, body, options)
        _write_stage(stage, labels, constants, body)
    skipped = []
    for k in range(0, len(captured), options.batch):
        batch = captured[k : k + options.batch]
        begun = perf_counter()
        try:
            fits = _fitted([motion for _, motion in batch], constants, labels, body, options)
        except SynthError as error:
            skipped += [Skipped(path=trial.path, reason=str(error)) for trial, _ in batch]
        else:
            spent = (perf_counter() - begun) / sum(len(motion) for _, motion in batch)
            for (trial, motion), found in zip(batch, fits, strict=True):
                tell(_write(trial, motion, found, spent, body, options))
        advance(len(batch))
    return skipped


def _settings(motion: Captured, options: Options) -> FitSettings:
    base = moshmarkers.MARKER_SETTINGS if isinstance(motion, MarkerMotion) else FitSettings()
    return replace(base, iterations=options.iterations, device=options.device, batch=options.batch)


def _constants(motions: list[Captured], body: BodyModel, options: Options) -> Constants:
    markers = [m for m in motions if isinstance(m, MarkerMotion)]
    skeletons = [m for m in motions if isinstance(m, SkeletonMotion)]
    if markers:
        return moshmarkers.person(markers, body, _settings(markers[0], options))
    return mosh.person(skeletons, body, _settings(skeletons[0], options))


def _fitted(
    motions: list[Captured], constants: Constants, labels: Sequence[str], body: BodyModel, options: Options
) -> list[mosh.Fit]:
    """Fits of some trials of one person, solved together."""
    settings = _settings(motions[0], options)
    markers = [m for m in motions if isinstance(m, MarkerMotion)]
    if markers:
        return moshmarkers.fit_person(markers, body, settings, constants, labels)
    return mosh.fit_person([m for m in motions if isinstance(m, SkeletonMotion)], body, settings, constants)


def _write(trial: Trial, motion: Captured, found: mosh.Fit, spent: float, body: BodyModel, options: Options) -> str:
    """Write a fit and what is to be said of it; `spent` is in seconds a frame."""
    report: dict[str, Any] = measured(found, body) | {"held_out_marker_mm": None}
    if options.held_out and isinstance(motion, MarkerMotion):
        report["held_out_marker_mm"] = _held_out(motion, body, _settings(motion, options))
    stretches = grounded(found.lowest, found.motion.fps)
    amass.write(trial.out, found.motion, found.betas, body.gender, model=body.name, source=trial.path.name)
    note_usable(trial.out.with_name(catalog.USABLE), trial.out.stem, stretches)
    report |= {"frames": len(motion), "ms_per_frame": round(1e3 * spent, 2), "source": trial.path.name}
    _note(trial.out.with_name(REPORT), trial.out.stem, report)
    usable = sum(last - start for start, last in stretches) / len(motion)
    told = f"{trial.out}: {len(motion)} frames, points {report['residual_mm']:.1f} mm off, resting feet "
    told += (
        f"{report['contact_mm']:.1f} mm off the floor, sliding {report['skating_mm_s']:.0f} mm/s, deepest "
        f"{report['sinking_mm']:.0f} mm, {usable:.0%} usable, {1e3 * spent:.1f} ms a frame"
    )
    held = report["held_out_marker_mm"]
    return told if held is None else f"{told}, held-out markers {held:.1f} mm"


def _held_out(motion: MarkerMotion, body: BodyModel, settings: FitSettings) -> float | None:
    """Mean error of markers that a fit does not see [mm]; None if there is not enough to hold anything out."""
    step = max(1, round(motion.fps / HELD_OUT_HZ))
    motion = motion.frames(0, len(motion), step) if len(motion) > 8 * step else motion
    if len(motion) < 8:
        return None
    errors = moshmarkers.held_out_errors(motion, body, settings).values()
    seen = [np.nanmean(error) for error in errors if not np.isnan(error).all()]
    return round(1e3 * float(np.mean(seen)), 2) if seen else None


def note_usable(path: Path, stem: str, stretches: list[tuple[int, int]]) -> None:
    """Set the entry of one motion in usable.toml."""
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    table[stem] = {"stretches": [list(stretch) for stretch in stretches]}
    lines = [f'["{name}"]\nstretches = {entry["stretches"]}\n' for name, entry in sorted(table.items())]
    heading = "# Stretches [first, last + 1) that the floor explains: no climbing, no hanging.\n"
    write_text(path, heading + "".join(lines))


def _note(path: Path, stem: str, entry: dict[str, Any]) -> None:
    """Set the entry of one motion in report.json."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        table = {}
    table[stem] = entry
    write_text(path, json.dumps(table, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _read_stage(path: Path, labels: Sequence[str], body: BodyModel) -> Constants | None:
    """Shape and latent places found before, if they are of this body and hold every point."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            known = [str(label) for label in arrays["labels"]]
            betas, latent = arrays["betas"].astype(np.float64), arrays["latent"].astype(np.float64)
            same = str(arrays["body"]) == body.sha256
    except (OSError, ValueError, KeyError):
        return None
    if not same or not set(labels) <= set(known) or latent.shape != (len(known), 3):
        return None
    return Constants(betas=betas, latent=latent[[known.index(label) for label in labels]])


def _write_stage(path: Path, labels: Sequence[str], constants: Constants, body: BodyModel) -> None:
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            labels=np.array(labels),
            betas=constants.betas,
            latent=constants.latent,
            gender=np.array(body.gender),
            body=np.array(body.sha256),
        )
