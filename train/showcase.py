"""Which clips are drawn beside every checkpoint: always the same ones, so that pictures of a run can be compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from synth.errors import SynthError
from train.augment import Change
from train.batch import Batch, TemporalModel, last
from train.body import BodyLayer
from train.clips import Clips, stack
from train.data import Place
from train.draw import progress_picture
from train.inference import on_cpu

Array = np.ndarray

__all__ = ["Showcase"]

_COUNT = 4


class Showcase:
    """Four windows, half of them out of the validation part if there is one; without it, of the first source only.

    Args:
        sources: What is trained on.
        validation: What is validated on.
        window: Frames the model sees.
    """

    def __init__(self, sources: Sequence[Clips], validation: Sequence[Clips], window: int) -> None:
        self.window = window
        self.chosen = [*sources[:1], *validation[:1]]
        self._held: list[Batch] | None = None

    def batches(self) -> list[Batch]:
        """A window each: their pictures may differ in size, and maps are not needed."""
        if self._held is None:
            each = _COUNT // len(self.chosen)
            self._held = [stack([sample]) for source in self.chosen for sample in self._samples(source, each)]
        return self._held

    def _samples(self, source: Clips, count: int) -> list[dict[str, Any]]:
        pictured = source.pictured()
        if pictured is None:  # real data: windows as they are
            return [source[int(i)] for i in _spread(len(source), count)]
        shards = pictured.windows.shards.entries
        long = [(s, v) for s, e in enumerate(shards) if e.frames >= self.window for v in range(e.views)]
        places = [Place(*long[i], 0) for i in _spread(len(long), count)]
        return [pictured.sample(place, Change(), self.window) for place in places]

    @torch.no_grad()
    def draw(self, model: TemporalModel, body: BodyLayer, device: torch.device) -> UInt8[Array, "H W 3"]:
        """Each window's middle frame, and beside it the predicted mesh with the labels' keypoints.

        Args:
            model: Is put into evaluation mode and back.
            body: On `device`.
            device: Where the network runs.
        """
        training = model.training
        model.eval()
        rows = []
        for batch in self.batches():
            few = batch.to(device)
            prediction, middle = last(model(few)), few.length // 2
            whole = prediction.betas.shape[1] == few.length
            shown = few if whole else few.frames(slice(middle, middle + 1))
            prediction = on_cpu(body.complete(prediction, shown, vertices=True))
            rows.append(progress_picture(batch, prediction, body.triangles))
        model.train(training)
        if not rows:
            raise SynthError(f"no clip has {self.window} frames", "Use a smaller --set window")
        width = max(row.shape[1] for row in rows)
        return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _spread(size: int, count: int) -> list[int]:
    """Up to `count` of `size` numbers, evenly."""
    return sorted(set(np.linspace(0, size - 1, min(size, count)).round().astype(int).tolist())) if size else []
