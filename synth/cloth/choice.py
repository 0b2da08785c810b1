"""Which solver suits which garment, as measured (`solvers.toml`, written by `benchmarks/solvers.py --table`)."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["best", "best_solver", "measured"]

Figures = dict[str, dict[str, float | int]]
"""What was measured with each solver."""

USUAL = "cloth"
"""For garments that nobody has measured."""


@cache
def measured() -> dict[str, Figures]:
    """By garment and solver: "clips", of them "accepted" (share, first try), "wrinkle" [deg], "penetration" (share)."""
    plain: dict[str, Any] = tomllib.loads((files("synth.cloth") / "solvers.toml").read_text(encoding="utf-8"))
    return plain


def best(figures: Figures) -> str:
    """The solver that passes the gate most often; of several the one that folds the cloth most.

    The gate measures against the skinned garment, and what moves least keeps closest to it: between two that pass,
    folds are what cloth is simulated for.

    Args:
        figures: By solver.
    """
    return max(figures, key=lambda solver: (figures[solver]["accepted"], figures[solver]["wrinkle"], solver == USUAL))


def best_solver(garment: str) -> str:
    """The solver that `--solver auto` takes for a garment at the first try."""
    figures = measured().get(garment)
    return best(figures) if figures else USUAL
