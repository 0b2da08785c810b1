"""`train table`: trains the lines of a table under one budget and sets their measures side by side.

Every seed begins with a frame model (`hmr`) of the same budget. Its encoder and regressor start the models with
encoders of their own, and its features are what the others are trained and measured on. So every other line has had two
budgets; "hmr, trained on" has had them too. All are measured with windows laid in the same way
(`train.evaluate.WINDOWS`), at the weights that validate best where the data have a validation part, else at the last.
"""

import json
import logging
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.errors import SynthError
from synth.files import write_text
from synth.shards.split import read_split
from train.checkpoint import load
from train.extract import encoder_of, extract, extract_predictions
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
    test: Path | None = None
    """Folder to measure on; None: the test part of `data`, which must be split then."""
    out: Path
    preset: str = "smoke"
    settings: dict[str, Any]
    seeds: int = 1
    device: str = "auto"
    body: str = "free"
    windows: str = "overlap"
    """How windows are laid over a view when measuring, the same for all lines."""


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
    if budget.test is None:
        read_split(budget.data)
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
    """The variant's last checkpoint."""
    out = _folder(budget, seed, variant.trained_as or variant.name)
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
        init=None if variant.model == "smoothnet" else frame,
        body=budget.body,
        device=budget.device,
    )
    started = time.perf_counter()
    path = fit(run, resume=path.exists(), report=lambda p: say(f"  step {p.step}/{p.steps} {p.terms['total']:.4g}"))
    write_text(path.with_name("seconds.json"), f"{_seconds(path) + time.perf_counter() - started:.1f}\n")
    return path


def _folder(budget: Budget, seed: int, name: str) -> Path:
    return budget.out / f"seed-{seed}" / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _seconds(path: Path) -> float:
    """How long the training of a checkpoint took, all calls together."""
    file = path.with_name("seconds.json")
    return float(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else 0.0


def _chosen(path: Path) -> Path:
    """The weights that validated best, else the last ones."""
    best = path.with_name("best.pt")
    return best if best.exists() else path


def _features(variant: Variant, budget: Budget, seed: int, frame: Path, folder: Path, part: str) -> tuple[Path, ...]:
    options = model_options(budget.preset, variant.model) | dict(variant.options)
    kinds = model_needs(variant.model, options) & {"features", "feature_maps", "features_occluded"}
    if not kinds:
        return ()
    if variant.model == "smoothnet":
        out = budget.out / f"seed-{seed}" / f"predictions-{part}"
        extract_predictions(folder, out, frame, device=str(choose_device(budget.device)))
        return (out,)
    out = budget.out / f"seed-{seed}" / f"features-{part}"
    # One folder for all lines, so with all that any of them reads.
    extract(
        folder, out, encoder_of(frame, "", None), size=CROP[budget.preset], occluded=4,
        device=str(choose_device(budget.device)),
    )  # fmt: skip
    return (out,)


def _measured(variant: Variant, budget: Budget, seed: int, frame: Path, say: Callable[[str], None]) -> dict[str, float]:
    """The variant's measures and the seconds that its training took; kept in its folder."""
    trained = variant.trained_as or variant.name
    last = frame if trained == "hmr" else _trained(variant, budget, seed, _chosen(frame), say)
    checkpoint = _chosen(last)
    test, part = (budget.data, "test") if budget.test is None else (budget.test, "all")
    known: dict[str, Any] = {"test": str(test), "windows": budget.windows, "step": int(load(last)["step"])}
    kept = _folder(budget, seed, variant.name) / "measures.json"
    if kept.exists():
        held = json.loads(kept.read_text(encoding="utf-8"))
        if all(held[name] == value for name, value in known.items()):
            return held["measures"]
    report = measure(
        checkpoint,
        (test,),
        features=_features(variant, budget, seed, _chosen(frame), test, "train" if budget.test is None else "test"),
        body=budget.body,
        device=budget.device,
        windows=budget.windows,
        split=part,
        smooth=OneEuro() if variant.one_euro else None,
    )
    measures = {**report.mean, "train_seconds": _seconds(last)}
    write_text(kept, json.dumps({**known, "notes": dict(report.notes), "measures": measures}, indent=1) + "\n")
    return measures


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
