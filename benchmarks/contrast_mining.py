"""Mining of contrasting pairs over a database of CMU's size, simulated; what thinning loses; time and memory.

    nice python benchmarks/contrast_mining.py                          # 2,600 sequences, 9 hours of motion
    nice python benchmarks/contrast_mining.py --sequences 300 --exact 12

CMU's database has 2,605 trials; its part of AMASS is 9.1 hours. A simulated trial is put together from stretches of the
two that come with the project, by halves of the body, mirrored or not, wider or narrower than captured, each held a
little differently, and has a length drawn about 12.6 s. Every 12th of its 120 frames a second is taken, as the sampler
does, and thinned. The loss is measured on some of the sequences against the exact search of every frame. Each part runs
in a process of its own, whose peak memory less that before is stated. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from synth.motion import amass, catalog, mining
from synth.motion.variation import OTHER_SIDE

Array = np.ndarray

RATE, STEP = 120, 12
MEAN_SECONDS, SPREAD_SECONDS = 12.6, 0.8
"""Of the lengths' logarithm the spread, so that a few trials are minutes long."""
PIECE = 240
UPPER = [2, 5, 8, *range(11, 23)]
"""Body joints 3, 6, 9 and from the neck on."""
PAIRS = 300
GRAIN = 1.0
"""As the sampler thins databases of more than 20,000 poses [rad]."""


@cache
def _captured() -> list[Array]:
    poses = [amass.read(sequence.path).motion.body_pose for sequence in catalog.find("cmu")]
    swap = [j - 1 for j in OTHER_SIDE[1:]]
    return [*poses, *(pose[:, swap] * [1.0, -1.0, -1.0] for pose in poses)]


def simulated(seed: int) -> Array:
    """Body poses (T, 23, 3) of one trial, 120 Hz [rad]."""
    rng, sources, parts = np.random.default_rng([7, seed]), _captured(), []
    frames = int(RATE * MEAN_SECONDS * np.exp(SPREAD_SECONDS * rng.normal() - SPREAD_SECONDS**2 / 2)) + 2 * STEP
    wide, held = rng.uniform(0.7, 1.2), rng.normal(0, 0.12, (23, 3))
    for _ in range(-(-frames // PIECE)):
        lower, upper = (sources[k] for k in rng.integers(len(sources), size=2))
        at = [int(rng.integers(0, len(source) - PIECE)) for source in (lower, upper)]
        piece = lower[at[0] : at[0] + PIECE].copy()
        piece[:, UPPER] = upper[at[1] : at[1] + PIECE][:, UPPER]
        parts.append(wide * piece + held)
    return np.concatenate(parts)[:frames]


def mined(sequences: int, step: int, grain: float, count: int) -> dict[str, Any]:
    """Gather and search; seconds are of the processor, without those of the simulation."""
    hours, making = 0.0, 0.0

    def database() -> Iterator[Array]:
        nonlocal hours, making
        for seed in range(sequences):
            begun = time.process_time()
            trial = simulated(seed)
            making += time.process_time() - begun
            hours += len(trial) / RATE / 3600
            yield trial[::step]

    before = peak_memory()
    begun = time.process_time()
    pool = mining.pooled(database(), grain=grain)
    gathering, begun = time.process_time() - begun - making, time.process_time()
    pairs = [pair for pair, _ in zip(mining.pairs_of(pool), range(count), strict=False)]
    searching = time.process_time() - begun
    memory = peak_memory() - before
    return {
        "hours": round(hours, 2),
        "kept": len(pool),
        "gathering_s": round(gathering, 1),
        "searching_s": round(searching, 1),
        "mb": round(memory),
        "distances": [pair.distance for pair in pairs],
    }


def peak_memory() -> float:
    """Peak of this process [MB]; not `ru_maxrss`, which begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run in a process of its own, for its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=2600)
    parser.add_argument("--exact", type=int, default=40, help="sequences that are searched frame by frame, too")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    given = parser.parse_args()
    print(json.dumps(measure(given.sequences, given.exact, given.pairs)))


def measure(sequences: int, exact_sequences: int, pairs: int) -> dict[str, Any]:
    """Mine, and measure the loss; prints what it finds as it goes."""
    whole = apart(mined, sequences, STEP, GRAIN, pairs)
    print(
        f"{sequences} sequences, {whole['hours']:.1f} hours: {whole['kept']} poses kept; gathered in "
        f"{whole['gathering_s']:.0f} s, {len(whole['distances'])} pairs found in {whole['searching_s']:.0f} s, "
        f"{whole['mb']:.0f} MB; {whole['distances'][0]:.2f} to {whole['distances'][-1]:.2f} rad",
        flush=True,
    )
    print(json.dumps(whole | {"distances": None}), flush=True)
    exact = apart(mined, exact_sequences, 1, 0.0, 50)
    took = f"{exact['searching_s']:.0f} s, {exact['mb']:.0f} MB"
    print(f"every frame of {exact_sequences} sequences, {exact['kept']} poses: {took}", flush=True)
    losses = {}
    for name, step, grain in (("10 Hz", STEP, 0.0), ("10 Hz, 0.5 rad", STEP, 0.5), ("10 Hz, 1 rad", STEP, 1.0)):
        part = apart(mined, exact_sequences, step, grain, 50)
        loss = np.array(exact["distances"]) - part["distances"]
        losses[name] = [round(float(v), 3) for v in (loss[0], loss.mean(), loss.max())]
        print(
            f"  {name}: {part['kept']} poses, {part['searching_s']:.1f} s; the first pair {loss[0]:.3f} rad nearer, "
            f"50 pairs {loss.mean():.3f} on average and {loss.max():.3f} at most, of {np.mean(exact['distances']):.2f}",
            flush=True,
        )
    return whole | {"distances": None, "loss_rad": losses}


if __name__ == "__main__":
    main()
