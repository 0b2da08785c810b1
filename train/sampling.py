"""Which window is read when: a pure function of seed and step, so that a resumed run reads what it would have read.

Nothing needs to be kept in a checkpoint but the number of steps, and the number of loader processes does not matter.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import ConcatDataset, Sampler

from synth.rng import generator

__all__ = ["BatchOrder", "TupleConcat"]


class BatchOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (window, draw) pairs: each source's windows in random order, again and again, sources mixed by weight.

    `draw` counts how often the window has come before; augmentation follows from it.

    Args:
        sizes: Windows of each source; they are numbered one source after the other.
        batch: Windows in a batch, of all processes together.
        steps: Batches from the beginning of the run to its end.
        weights: Share of each source, whole numbers; sizes if None.
        seed: Of the order.
        start: Batches already done.
        process: Number of this process.
        processes: How many share a batch.

    Raises:
        ValueError: sizes or weights are not positive, or the batch does not divide among the processes.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch: int,
        steps: int,
        *,
        weights: Sequence[int] | None = None,
        seed: int = 0,
        start: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        if not sizes or min(sizes) < 1 or (weights is not None and (len(weights) != len(sizes) or min(weights) < 1)):
            raise ValueError(f"sizes, weights: expected positive numbers for each source, got {sizes}, {weights}")
        if batch % processes:
            raise ValueError(f"batch: {batch} windows do not divide among {processes} processes")
        self.sizes, self.batch, self.steps, self.seed = tuple(sizes), batch, steps, seed
        self.start, self.process, self.processes = start, process, processes
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.pattern = None if weights is None or len(sizes) == 1 else _pattern(tuple(weights))
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        own = self.batch // self.processes
        for step in range(self.start, self.steps):
            first = step * self.batch + self.process * own
            yield [self.at(position) for position in range(first, first + own)]

    def at(self, position: int) -> tuple[int, int]:
        """Window and draw at a position of the endless sequence."""
        if self.pattern is None:
            total = self.starts[-1]
            draw, place = divmod(position, total)
            return int(self._order(-1, total, draw)[place]), draw
        turn, within = divmod(position, len(self.pattern))
        source = self.pattern[within]
        count = turn * self.pattern.count(source) + self.pattern[:within].count(source)
        draw, place = divmod(count, self.sizes[source])
        return self.starts[source] + int(self._order(source, self.sizes[source], draw)[place]), draw

    def _order(self, source: int, size: int, draw: int) -> np.ndarray:
        if (source, draw) not in self._orders:
            if len(self._orders) > 4 * (len(self.sizes) + 1):
                self._orders.clear()
            self._orders[source, draw] = generator(self.seed, "order", source, draw).permutation(size)
        return self._orders[source, draw]


def _pattern(weights: tuple[int, ...]) -> list[int]:
    """Sources in turn, each as often as its weight and spread evenly."""
    places = [((i + 0.5) / weight, source) for source, weight in enumerate(weights) for i in range(weight)]
    return [source for _, source in sorted(places)]


class TupleConcat(ConcatDataset):
    """Sources one after the other, asked for by (window, draw)."""

    def __getitem__(self, index: int | tuple[int, int]) -> object:
        number, draw = (index, 0) if isinstance(index, int) else index
        source = int(np.searchsorted(self.cumulative_sizes, number, side="right"))
        return self.datasets[source][number - (self.cumulative_sizes[source - 1] if source else 0), draw]
