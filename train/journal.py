"""What a run writes beside its checkpoints: log.csv, validation.csv, pictures/, and events for TensorBoard if asked."""

import csv
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from synth.errors import SynthError
from synth.files import replacing, write_text
from train.batch import Batch
from train.settings import Progress, Settings

Array = np.ndarray

__all__ = ["Journal", "Meter", "timed"]


class Journal:
    """The files of one run.

    Args:
        out: The run's folder.
        active: Off in all processes but the first: nothing is written.
        tensorboard: Also write events to `out`/tensorboard.

    Raises:
        SynthError: TensorBoard is asked for and not installed.
    """

    def __init__(self, out: Path, active: bool = True, tensorboard: bool = False) -> None:
        self.out, self.active = out, active
        self.events = _events(out / "tensorboard") if tensorboard and active else None

    def log(self, progress: Progress) -> None:
        """Append the losses and rates of the last steps."""
        speed = {"samples_per_s": progress.samples_per_s, "loader_share": progress.loader_share}
        row = {name: f"{value:.6g}" for name, value in progress.terms.items()}
        row |= {"samples_per_s": f"{progress.samples_per_s:.2f}", "loader_share": f"{progress.loader_share:.4f}"}
        self._append("log.csv", {"step": progress.step, **row})
        self._scalars("train", {**progress.terms, **speed}, progress.step)

    def validation(self, step: int, measures: Mapping[str, float], rate: float, best: bool) -> None:
        """Append the measures of a validation."""
        row = {"step": step, **{name: f"{value:.4f}" for name, value in measures.items()}}
        self._append("validation.csv", {**row, "lr": f"{rate:.6g}", "best": int(best)})
        self._scalars("validation", {**measures, "lr": rate}, step)

    def picture(self, step: int, picture: UInt8[Array, "H W 3"]) -> None:
        """Write pictures/step-000100.png."""
        if not self.active:
            return
        with replacing(self.out / "pictures" / f"step-{step:06d}.png") as part:
            Image.fromarray(picture).save(part, format="PNG")
        if self.events is not None:
            self.events.add_image("predictions", picture, step, dataformats="HWC")

    def cut(self, step: int) -> None:
        """Drop what was written after a checkpoint's step: those steps will be done again."""
        for name in ("log.csv", "validation.csv"):
            path = self.out / name
            if not path.exists() or not self.active:
                continue
            head, *rows = path.read_text(encoding="utf-8").splitlines()
            kept = [row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= step]
            write_text(path, "\n".join([head, *kept]) + "\n")

    def close(self) -> None:
        """Finish the events' file."""
        if self.events is not None:
            self.events.close()

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        if not self.active:
            return
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    def _scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(f"{group}/{name}", value, step)


def _events(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SynthError("--tensorboard: TensorBoard is not installed", "pip install 'raiment[tensorboard]'") from None
    return SummaryWriter(str(folder))


class Meter:
    """Means of losses, and where the time goes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sums: dict[str, Tensor] = {}
        self.count, self.waited, self.since = 0, 0.0, time.perf_counter()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take in the losses of a step."""
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if self.count else value
        self.count += 1

    def report(self, step: int, validation: dict[str, float]) -> Progress:
        """Means since the last report, and begin anew."""
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
            validation=validation,
        )
        self.sums, self.count, self.waited, self.since = {}, 0, 0.0, now
        return progress


def timed(batches: DataLoader[Batch], meter: Meter) -> Iterator[Batch]:
    """The batches; the time waited for each goes to the meter."""
    iterator = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        meter.waited += time.perf_counter() - started
        if batch is None:
            return
        yield batch
