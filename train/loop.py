"""The training loop: steps, logs, checkpoints. Neither Lightning nor Accelerate.

Both were considered. What they would save here (precision, clipping, several processes) is some forty lines; what is
asked beyond, a resumed run that equals an uninterrupted one and a second optimiser in the same step, their loops make
harder. Everything random is a function of (seed, step, process), so a checkpoint needs no generator's state.
"""

import csv
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from synth.errors import SynthError
from synth.files import replacing, write_text
from synth.rng import generator
from synth.spec import to_plain
from train import checkpoint
from train.batch import Batch, State, TemporalModel, last
from train.body import BodyLayer
from train.clips import Clips, stack
from train.draw import progress_picture
from train.inference import on_cpu
from train.processes import Processes
from train.sampling import BatchOrder, TupleConcat

__all__ = ["Loop", "Progress", "Settings", "loader"]

log = logging.getLogger(__name__)

AMP = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    """Or "cosine", down to nothing at the last step."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    amp: str = "none"
    """Precision of the network's forward pass: "none" (single), "bf16" or "fp16"."""
    seed: int = 0
    workers: int = 0
    """Processes that read."""
    log_every: int = 20
    save_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise SynthError(f"--{name.replace('_', '-')}: {getattr(self, name)} is not positive")
        for name, known in (("amp", tuple(AMP)), ("schedule", ("constant", "cosine"))):
            if getattr(self, name) not in known:
                raise SynthError(f"--{name}: {getattr(self, name)!r} is not one of {', '.join(known)}")


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


def loader(
    sources: Sequence[Clips],
    settings: Settings,
    *,
    start: int = 0,
    weights: Sequence[int] | None = None,
    process: int = 0,
    processes: int = 1,
    pin: bool = False,
) -> DataLoader[Batch]:
    """Batches from step `start` to the last one, in the order that follows from the seed."""
    order = BatchOrder(
        [len(source) for source in sources],
        settings.batch,
        settings.steps,
        weights=weights,
        seed=settings.seed,
        start=start,
        process=process,
        processes=processes,
    )
    dataset: Any = TupleConcat(sources)
    # A generator of its own: the default one would be drawn from, and a resumed run would differ.
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=settings.workers,
        collate_fn=stack,
        pin_memory=pin,
        generator=torch.Generator(),
        persistent_workers=settings.workers > 0,
    )


class Loop:
    """One training run in a folder: `last.pt`, `log.csv`, `pictures/`.

    Args:
        model: To be trained, with fresh or copied weights.
        sources: Folders of clips.
        body: The shards' body model.
        settings: How to train.
        out: The run's folder.
        weights: Share of each source.
        about: Plain values kept in the checkpoint, such as where the data lies.
        device: Where to train.
        processes: This process among those of the run.
    """

    def __init__(
        self,
        model: TemporalModel,
        sources: Sequence[Clips],
        body: BodyLayer,
        settings: Settings,
        out: Path,
        *,
        weights: Sequence[int] | None = None,
        about: dict[str, Any] | None = None,
        device: torch.device | str = "cpu",
        processes: Processes | None = None,
    ) -> None:
        self.device, self.processes = torch.device(device), processes or Processes()
        self.model, self.body = model.to(self.device), body.to(self.device)
        with torch.no_grad():
            self.processes.share(list(model.state_dict().values()))
        self.sources, self.settings, self.out, self.weights = sources, settings, out, weights
        self.about = about or {}
        self.step = 0
        self.optimizer = torch.optim.Adam(
            model.parameter_groups(settings.lr), weight_decay=settings.weight_decay, fused=True
        )
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        adversary = model.adversary
        self.adversary_optimizer = None
        if adversary is not None:
            self.adversary_optimizer = torch.optim.Adam(adversary.parameters(), lr=settings.lr_adversary, fused=True)
        dtype = AMP[settings.amp]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)
        self.dtype = dtype

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.out / "last.pt"

    def resume(self) -> None:
        """Go on from the run's checkpoint.

        Raises:
            SynthError: there is none, it is of another model, or it was made with other options or settings.
        """
        held = checkpoint.load(self.path, self.model.name)
        free = ("steps", "workers", "log_every", "save_every")
        for name, now in (("options", to_plain(self.model.config)), ("settings", to_plain(self.settings))):
            then = held.get(name, {})
            if different := [k for k in now if k not in free and then.get(k) != now[k]]:
                key = different[0]
                hint = "Resume with the same options, or choose another --out folder"
                raise SynthError(f"{self.path}: was trained with {key} {then.get(key)!r}, not {now[key]!r}", hint)
        if held.get("about", {}).get("clips") != self.about.get("clips"):
            raise SynthError(f"{self.path}: was trained on other clips", "Resume with the same --data")
        self.model.load_state_dict(held["state"])
        self.optimizer.load_state_dict(held["optimizer"])
        if self.adversary_optimizer is not None:
            self.adversary_optimizer.load_state_dict(held["adversary_optimizer"])
        self.scaler.load_state_dict(held["scaler"])
        self.step = int(held["step"])
        self._cut_log()

    def save(self) -> None:
        """Write the checkpoint, from the first process only."""
        if not self.processes.first:
            return
        second = self.adversary_optimizer
        checkpoint.save(
            self.path,
            self.model,
            step=self.step,
            body={"name": self.body.name, "sha256": list(self.body.sha256)},
            optimizer=self.optimizer.state_dict(),
            adversary_optimizer=None if second is None else second.state_dict(),
            scaler=self.scaler.state_dict(),
            settings=to_plain(self.settings),
            about=self.about,
        )

    def run(self, report: Callable[[Progress], None] | None = None) -> dict[str, float]:
        """Train to the last step.

        Args:
            report: Called every `log_every` steps.

        Returns:
            Mean of each loss over the last report's steps.

        Raises:
            SynthError: a loss is not finite; the last checkpoint stays as it was.
        """
        settings, processes = self.settings, self.processes
        batches = loader(
            self.sources,
            settings,
            start=self.step,
            weights=self.weights,
            process=processes.rank,
            processes=processes.count,
            pin=self.device.type == "cuda",
        )
        self.model.train()
        meter = _Meter(settings)
        terms: dict[str, float] = {}
        for batch in _timed(batches, meter):
            values = self.one_step(batch.to(self.device, non_blocking=True))
            meter.add(values)
            if self.step % settings.log_every == 0 or self.step == settings.steps:
                progress = meter.report(self.step)
                terms = progress.terms
                self._check(terms)
                self._write_log(progress)
                if report is not None and processes.first:
                    report(progress)
            if self.step % settings.save_every == 0 or self.step == settings.steps:
                self._check({name: float(value) for name, value in values.items()})
                self.save()
                self._draw(batch)
        return terms

    def one_step(self, batch: Batch) -> dict[str, Tensor]:
        """Forward, backward and update of the model, then of its discriminator.

        Returns:
            The losses, detached.
        """
        seed = generator(self.settings.seed, "dropout", self.step, self.processes.rank).integers(2**62)
        torch.manual_seed(int(seed))
        factor = self._rate_factor()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            output = self.model(batch)
        state = State(step=self.step, body=self.body)
        _frozen(self.model.adversary, True)
        terms = self.model.loss(output, batch, state)
        values = {name: value.detach() for name, value in terms.items()}
        if self.device.type == "cpu":
            self._check({name: float(value) for name, value in values.items()})
        self._update(self.optimizer, terms["total"])
        _frozen(self.model.adversary, False)
        if self.adversary_optimizer is not None:
            loss = self.model.adversary_loss(output, batch, state)
            values["discriminator"] = loss.detach()
            self._update(self.adversary_optimizer, loss)
        self.step += 1
        if self.scaler.is_enabled():
            self.scaler.update()
        return values

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.processes.average_gradients(parameters)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self.scaler.step(optimizer)

    def _rate_factor(self) -> float:
        settings = self.settings
        rise = min(1.0, (self.step + 1) / settings.warmup) if settings.warmup else 1.0
        if settings.schedule == "constant":
            return rise
        return rise * 0.5 * (1.0 + math.cos(math.pi * self.step / settings.steps))

    def _check(self, terms: dict[str, float]) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            name = next((n for n in bad if n != "total"), bad[0])
            kept = f"{self.path} is as it was" if self.path.exists() else "nothing was saved"
            hint = "Use a smaller --lr, or --amp none; `synth verify` checks the labels"
            raise SynthError(f"step {self.step}: the loss {name!r} is {terms[name]}; {kept}", hint)

    def _write_log(self, progress: Progress) -> None:
        if not self.processes.first:
            return
        row = {"step": progress.step, **{k: f"{v:.6g}" for k, v in progress.terms.items()}}
        row |= {"samples_per_s": f"{progress.samples_per_s:.2f}", "loader_share": f"{progress.loader_share:.4f}"}
        path = self.out / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    @torch.no_grad()
    def _draw(self, batch: Batch) -> None:
        """Put a picture of the batch's predictions beside the log: pictures/step-000100.png."""
        if not self.processes.first:
            return
        few = batch.clips(slice(0, 4)).to(self.device)
        self.model.eval()
        prediction = last(self.model(few))
        self.model.train()
        shown = (
            few if prediction.betas.shape[1] == few.length else few.frames(slice(few.length // 2, few.length // 2 + 1))
        )
        prediction = on_cpu(self.body.complete(prediction, shown, vertices=True))
        picture = progress_picture(few, prediction, self.body.triangles)
        with replacing(self.out / "pictures" / f"step-{self.step:06d}.png") as part:
            Image.fromarray(picture).save(part, format="PNG")

    def _cut_log(self) -> None:
        """Drop what was logged after the checkpoint: those steps will be done again."""
        path = self.out / "log.csv"
        if not path.exists() or not self.processes.first:
            return
        head, *rows = path.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= self.step]
        write_text(path, "\n".join([head, *kept]) + "\n")


def _frozen(module: nn.Module | None, frozen: bool) -> None:
    """Keep the model's loss from computing gradients of the discriminator's weights."""
    if module is not None:
        module.requires_grad_(not frozen)


class _Meter:
    """Means of losses, and where the time goes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sums: dict[str, Tensor] = {}
        self.count, self.waited, self.since = 0, 0.0, time.perf_counter()

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if self.count else value
        self.count += 1

    def report(self, step: int) -> Progress:
        terms = {name: float(value) / self.count for name, value in self.sums.items()}
        now = time.perf_counter()
        seconds = max(now - self.since, 1e-9)
        progress = Progress(
            step=step,
            steps=self.settings.steps,
            terms=terms,
            samples_per_s=self.count * self.settings.batch / seconds,
            loader_share=min(1.0, self.waited / seconds),
            seconds_left=(self.settings.steps - step) * seconds / self.count,
        )
        self.sums, self.count, self.waited, self.since = {}, 0, 0.0, now
        return progress


def _timed(batches: DataLoader[Batch], meter: _Meter) -> Iterator[Batch]:
    """The batches; the time waited for each goes to the meter."""
    iterator = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        meter.waited += time.perf_counter() - started
        if batch is None:
            return
        yield batch
