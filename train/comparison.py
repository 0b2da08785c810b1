"""`train table`: trains the lines of a table under one budget and sets their measures side by side.

Every seed begins with a frame model (`hmr`) of the same budget. Its encoder and regressor start the video models with
encoders of their own, and its features are what the others are trained and measured on.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.errors import SynthError
from synth.files import write_text
from train.checkpoint import load
from train.extract import encoder_of, extract
from train.measure import measure
from train.models.smoothing import OneEuro
from train.presets import CROP, model_options
from train.run import Run, choose_device, fit, model_needs
from train.variants import TABLES, Variant

__all__ = ["COLUMNS", "Budget", "compare", "markdown"]

log = logging.getLogger(__name__)

COLUMNS = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "accel_mm_per_frame2", "mrvpv_l2_m", "mrsv_l2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every line gets."""

    data: Path
    test: Path
    out: Path
    preset: str = "smoke"
    settings: dict[str, Any]
    seeds: int = 1
    device: str = "auto"
    body: str = "free"


def compare(table: str, budget: Budget, say: Callable[[str], None] = log.info) -> dict[str, list[dict[str, float]]]:
    """Train and measure every line; what an earlier call finished is not done again.

    Args:
        table: Name in `TABLES`.
        budget: What every line gets.
        say: Told what is being done.

    Returns:
        Measures of each seed by line.

    Raises:
        SynthError: no such table, or as `fit` and `measure`.
    """
    if table not in TABLES:
        raise SynthError(f"table {table!r} is unknown", f"Tables: {', '.join(TABLES)}")
    results: dict[str, list[dict[str, float]]] = {variant.name: [] for variant in TABLES[table]}
    for seed in range(budget.seeds):
        frame = _trained(Variant(name="hmr", model="hmr"), budget, seed, None, say)
        for variant in TABLES[table]:
            say(f"seed {seed}: {variant.name}")
            results[variant.name].append(_measured(variant, budget, seed, frame, say))
    write_text(budget.out / f"{table}.json", json.dumps(results, indent=1, sort_keys=True) + "\n")
    write_text(budget.out / f"{table}.md", markdown(results) + "\n")
    return results


def _trained(variant: Variant, budget: Budget, seed: int, frame: Path | None, say: Callable[[str], None]) -> Path:
    """The variant's checkpoint, trained to the last step."""
    name = variant.trained_as or variant.name
    out = budget.out / f"seed-{seed}" / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    settings = {**budget.settings, "seed": seed}
    path = out / "last.pt"
    if path.exists():
        held = load(path, variant.model)
        if held["step"] == held["settings"]["steps"] and held["settings"]["steps"] == settings.get(
            "steps", held["step"]
        ):
            return path
    features: tuple[Path, ...] = ()
    if frame is not None:
        features = _features(variant, budget, seed, frame, budget.data, "train")
    run = Run(
        model=variant.model,
        data=(budget.data,),
        out=out,
        preset=budget.preset,
        options=variant.options,
        settings=settings,
        features=features,
        init=None if variant.model == "hmr" or variant.model == "tar" else frame,
        body=budget.body,
        device=budget.device,
    )
    return fit(run, resume=path.exists(), report=lambda p: say(f"  step {p.step}/{p.steps} {p.terms['total']:.4g}"))


def _features(variant: Variant, budget: Budget, seed: int, frame: Path, folder: Path, part: str) -> tuple[Path, ...]:
    options = model_options(budget.preset, variant.model) | dict(variant.options)
    kinds = model_needs(variant.model, options) & {"features", "feature_maps", "features_occluded"}
    if not kinds:
        return ()
    out = budget.out / f"seed-{seed}" / f"features-{part}"
    # One folder for all lines, so with all that any of them reads.
    extract(
        folder, out, encoder_of(frame, "", None), size=CROP[budget.preset], occluded=4,
        device=str(choose_device(budget.device)),
    )  # fmt: skip
    return (out,)


def _measured(variant: Variant, budget: Budget, seed: int, frame: Path, say: Callable[[str], None]) -> dict[str, float]:
    checkpoint = frame if variant.model == "hmr" else _trained(variant, budget, seed, frame, say)
    report = measure(
        checkpoint,
        (budget.test,),
        features=_features(variant, budget, seed, frame, budget.test, "test"),
        body=budget.body,
        device=budget.device,
        smooth=OneEuro() if variant.one_euro else None,
    )
    return dict(report.mean)


def markdown(results: dict[str, list[dict[str, float]]], columns: Sequence[str] = COLUMNS) -> str:
    """A table of means, with the standard deviation over the seeds where there are several."""
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, seeds in results.items():
        lines.append(f"| {name} | {' | '.join(_cell([seed[c] for seed in seeds if c in seed]) for c in columns)} |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.2f}"
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return f"{mean:.2f} ± {spread:.2f}"
