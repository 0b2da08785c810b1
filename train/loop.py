"""The training loop: steps, logs, checkpoints. Neither Lightning nor Accelerate.

Both were considered. What they would save here (precision, clipping, several processes) is some forty lines; what is
asked beyond, a resumed run that equals an uninterrupted one and a second optimiser in the same step, their loops make
harder. Everything random is a function of (seed, step, process), so a checkpoint needs no generator's state.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from synth.errors import SynthError
from synth.rng import generator
from synth.spec import to_plain
from train import checkpoint
from train.batch import Batch, State, TemporalModel
from train.body import BodyLayer
from train.clips import Clips, stack
from train.journal import Journal, Meter, timed
from train.processes import Processes
from train.real.adversary import motion_batch
from train.real.motions import MotionStream
from train.sampling import BatchOrder, TupleConcat
from train.schedule import Plateau, rate_factor
from train.settings import AMP, Progress, Settings
from train.showcase import Showcase
from train.validate import MONITORED, validate

__all__ = ["Loop", "Progress", "Settings", "loader"]

log = logging.getLogger(__name__)


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
    """One training run in a folder: `last.pt`, `log.csv`, `pictures/`; validated, also `best.pt` and `validation.csv`.

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
        validation: Folders of clips to validate on, with windows of one frame; they are never trained on.
        tensorboard: Also write events for TensorBoard.
        motions: Recorded motions for the discriminator; without, it learns from the labels.
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
        validation: Sequence[Clips] = (),
        tensorboard: bool = False,
        motions: MotionStream | None = None,
    ) -> None:
        self.device, self.processes = torch.device(device), processes or Processes()
        self.model, self.body = model.to(self.device), body.to(self.device)
        with torch.no_grad():
            self.processes.share(list(model.state_dict().values()))
        self.sources, self.settings, self.out, self.weights = sources, settings, out, weights
        self.about, self.validation = about or {}, validation
        self.motions = motions
        self.journal = Journal(out, self.processes.first, tensorboard)
        self.showcase = Showcase(sources, validation, model.window)
        self.plateau = Plateau(factor=settings.plateau_factor, patience=settings.patience)
        self.trained = torch.zeros(2, dtype=torch.float64, device=self.device)
        """Sum of the total losses since the last validation, and how many."""
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

    @property
    def best_path(self) -> Path:
        """The checkpoint of the best validation; there is none without validation."""
        return self.out / "best.pt"

    def resume(self) -> None:
        """Go on from the run's checkpoint.

        Raises:
            SynthError: there is none, it is of another model, or it was made with other options or settings.
        """
        held = checkpoint.load(self.path, self.model.name)
        free = ("steps", "workers", "log_every", "save_every")  # do not change what is learned
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
        self.plateau = Plateau(**held["plateau"])
        self.trained = torch.tensor(held["trained"], dtype=torch.float64, device=self.device)
        self.step = int(held["step"])
        self.journal.cut(self.step)

    def save(self, path: Path | None = None, **more: Any) -> None:
        """Write the checkpoint, from the first process only.

        Args:
            path: Another file than `path`.
            more: Plain values to keep in it.
        """
        if not self.processes.first:
            return
        second = self.adversary_optimizer
        checkpoint.save(
            path or self.path,
            self.model,
            step=self.step,
            body={"name": self.body.name, "sha256": list(self.body.sha256)},
            optimizer=self.optimizer.state_dict(),
            adversary_optimizer=None if second is None else second.state_dict(),
            scaler=self.scaler.state_dict(),
            settings=to_plain(self.settings),
            about=self.about,
            plateau=self.plateau.state(),
            trained=self.trained.tolist(),
            **more,
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
        meter = Meter(settings)
        terms: dict[str, float] = {}
        measures: dict[str, float] = {}
        for batch in timed(batches, meter):
            values = self.one_step(batch.to(self.device, non_blocking=True))
            meter.add(values)
            if self._due(settings.validate_every):
                measures = self._validate()
            if self._due(settings.log_every):
                progress = meter.report(self.step, measures)
                terms, measures = progress.terms, {}
                self._check(terms)
                self.journal.log(progress)
                if report is not None and processes.first:
                    report(progress)
            if self._due(settings.save_every):
                self._check({name: float(value) for name, value in values.items()})
                self.save()
                if processes.first:
                    self.journal.picture(self.step, self.showcase.draw(self.model, self.body, self.device))
        self.journal.close()
        return terms

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _validate(self) -> dict[str, float]:
        """Measure on the validation part, keep the best weights, tell the plateau; without one, the mean loss tells.

        The first process measures; the others get its value, so that all go on with the same rate.
        """
        measures: dict[str, float] = {}
        if self.validation and self.processes.first:
            measures = validate(self.model, self.validation, self.body, self.device, self.settings.validate_views)
        value = self.trained[0] / self.trained[1].clamp_min(1.0)
        if measures:
            value = value.new_tensor(measures[MONITORED])
        self.processes.share([value])
        self.trained = torch.zeros_like(self.trained)
        rate = self.rates[0] * rate_factor(self.settings, self.step - 1, self.plateau)
        best = self.plateau.update(float(value), self.step)
        if measures:
            self.journal.validation(self.step, measures, rate, best)
            if best:
                self._check(measures)
                self.save(self.best_path, validation=measures)
        return measures

    def one_step(self, batch: Batch) -> dict[str, Tensor]:
        """Forward, backward and update of the model, then of its discriminator.

        Returns:
            The losses, detached.
        """
        seed = generator(self.settings.seed, "dropout", self.step, self.processes.rank).integers(2**62)
        torch.manual_seed(int(seed))
        factor = rate_factor(self.settings, self.step, self.plateau)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            output = self.model(batch)
        motions = None
        if self.motions is not None:
            motions = motion_batch(self.motions, self.step, len(batch)).to(self.device)
        state = State(step=self.step, body=self.body, motions=motions)
        _frozen(self.model.adversary, True)
        terms = self.model.loss(output, batch, state)
        values = {name: value.detach() for name, value in terms.items()}
        if self.device.type == "cpu":
            self._check({name: float(value) for name, value in values.items()})
        self.trained += torch.stack([terms["total"].detach().double(), self.trained.new_ones(())])
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

    def _check(self, terms: dict[str, float]) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            name = next((n for n in bad if n != "total"), bad[0])
            kept = f"{self.path} is as it was" if self.path.exists() else "nothing was saved"
            hint = "Use a smaller --lr, or --amp none; `synth verify` checks the labels"
            raise SynthError(f"step {self.step}: the loss {name!r} is {terms[name]}; {kept}", hint)


def _frozen(module: nn.Module | None, frozen: bool) -> None:
    """Keep the model's loss from computing gradients of the discriminator's weights."""
    if module is not None:
        module.requires_grad_(not frozen)
