"""How to train, apart from a model's own options, and what a run says of itself."""

from dataclasses import dataclass, field

import torch

from synth.errors import SynthError

__all__ = ["AMP", "SCHEDULES", "Progress", "Settings"]

AMP = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of the forward pass by name."""
SCHEDULES = ("constant", "cosine", "plateau")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train; the model's own options are apart."""

    steps: int = 100_000
    batch: int = 16
    """Windows in a step, of all processes together."""
    lr: float = 5e-5
    lr_adversary: float = 1e-4
    weight_decay: float = 0.0
    warmup: int = 0
    """Steps over which the rate rises from nothing."""
    schedule: str = "constant"
    """Or "cosine", down to nothing at the last step, or "plateau", down by `plateau_factor` when nothing improves."""
    plateau_factor: float = 0.6
    patience: int = 5
    """Validations without improvement that "plateau" waits for; the next one lowers the rate (HPOF, section 3.4)."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    amp: str = "none"
    """Precision of the network's forward pass: "none" (single), "bf16" or "fp16"."""
    seed: int = 0
    workers: int = 0
    """Processes that read."""
    log_every: int = 20
    save_every: int = 1000
    validate_every: int = 1000
    """Steps between two validations, the "epoch" of the plateau schedule."""
    validate_views: int = 64
    """Views of the validation part that are measured, spread evenly; 0 for all."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise SynthError(f"--{name.replace('_', '-')}: {getattr(self, name)} is not positive")
        for name, known in (("amp", tuple(AMP)), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise SynthError(f"--{name}: {getattr(self, name)!r} is not one of {', '.join(known)}")
        if not 0 < self.plateau_factor < 1 or self.patience < 0:
            raise SynthError("plateau: expected a factor between 0 and 1 and a patience of 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is reported every `log_every` steps."""

    step: int
    steps: int
    terms: dict[str, float]
    """Mean of each loss since the last report."""
    samples_per_s: float
    loader_share: float
    """Share of the time spent waiting for data."""
    seconds_left: float
    validation: dict[str, float] = field(default_factory=dict)
    """Measures of a validation since the last report, if there was one."""
