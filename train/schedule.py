"""The learning rate over the steps of a run."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from train.settings import Settings

__all__ = ["Plateau", "rate_factor"]


@dataclass(slots=True, kw_only=True)
class Plateau:
    """Lowers the rate when a value stops falling; part of a checkpoint.

    Source: HPOF, section 3.4: times 0.6 "if the estimation does not improve for more than 5 epochs".
    """

    factor: float = 0.6
    patience: int = 5
    best: float = math.inf
    best_step: int = 0
    waited: int = 0
    """Values since the best one or since the last time the rate was lowered."""
    scale: float = 1.0
    """What the rate is multiplied by now."""

    def update(self, value: float, step: int) -> bool:
        """Take in a value, the lower the better.

        Returns:
            Whether it is the best so far.
        """
        if value < self.best:
            self.best, self.best_step, self.waited = value, step, 0
            return True
        self.waited += 1
        if self.waited > self.patience:
            self.scale, self.waited = self.scale * self.factor, 0
        return False

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint; `Plateau(**state)` is the same again."""
        return asdict(self)


def rate_factor(settings: Settings, step: int, plateau: Plateau) -> float:
    """What the learning rate is multiplied by at a step, counted from 0."""
    rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "plateau":
        return rise * plateau.scale
    if settings.schedule == "cosine":
        return rise * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
    return rise
