"""What the temporal modules cost per frame, against VIBE's GRU in the same run.

    python benchmarks/temporal.py
    python benchmarks/temporal.py --threads 8 --batch 8 --clock wall

Unit: milliseconds per frame of output (less is better), median and quartiles over rounds in which all variants take
turns; weights random, evaluation mode, no gradient, single precision, the same number of threads, clips and frames. The
process's own time is taken by default (all its threads' together), so that other work on the machine does not matter.
Image encoder, regressor and body model are left out: what is timed is what stands between a frame's features (or, for
HPOF, its regressed theta) and the smoothed ones. TAR's refinement cannot be separated from its regressor and body and
is timed with them; its encoder's maps are given.

- dense: all frames of a clip at once, each output counts (by default as many frames as HPOF's receptive field; the
  shorter the clip and the larger the batch, the smaller HPOF's lead: see docs/models.md);
- window: a model's own window (VIBE 16, SPS-Net 32, TAR 9, HPOF its receptive field), one output counts, as when every
  new frame is answered by a new window;
- stream: one frame after the other, with what the past has left in memory (state, or cached layers).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from train.models import build
from train.models.hpof import HPOF
from train.models.spsnet import SPSNet
from train.models.tar import TAR
from train.models.vibe import TemporalEncoder
from train.nn.fullimage import FullImage
from train.nn.regressor import THETA

Work = tuple[Callable[[], object], int]
"""What to time, and how many frames of output it gives."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
GRU, HPOF_DENSE, HPOF_STREAM = "VIBE's GRU, dense", "HPOF 3 blocks, dense", "HPOF 3 blocks, stream"
SPSNET, TAR_WINDOW = "SPS-Net, dense", "TAR with refinement, window"


def hpof(**options: object) -> HPOF:
    """HPOF without what training alone needs."""
    model = build("hpof", {"adversarial": 0.0, "flow": 0.0, **options})
    assert isinstance(model, HPOF)
    return model.eval()


def gru_stream(network: nn.GRU, linear: nn.Linear, batch: int) -> Callable[[], object]:
    """One step of a GRU."""
    frame, state = torch.randn(batch, 1, network.input_size), [None]

    def step() -> object:
        out, state[0] = network(frame, state[0])
        return linear(torch.relu(out))

    return step


def streaming(model: HPOF, batch: int) -> Callable[[], object]:
    """One frame of HPOF's cached layers."""
    stream, frame = model.stream(), torch.randn(batch, THETA)
    return lambda: stream.push_theta(frame)


def tar_work(batch: int, side: int) -> Work:
    """TAR from maps and features to the refined theta of one frame."""
    model = build("tar", {"backbone": "resnet50"})
    assert isinstance(model, TAR)
    model.eval()
    maps, features = torch.randn(batch, model.config.local, 256, side, side), torch.randn(batch, model.window, 2048)
    picture = FullImage(
        focal=torch.full((batch, 2), 1000.0),
        offset=torch.zeros(batch, 2),
        side=torch.full((batch,), 400.0),
        angle=torch.zeros(batch),
    )

    def work() -> object:
        states = torch.tanh(model.to_states(model.whole(features))).unflatten(1, (26, -1))
        theta = model.heads.init + model.heads(states, picture.box_vector())
        return model._refine(maps, states, theta, picture)

    return work, batch


def variants(batch: int, frames: int, side: int) -> dict[str, Work]:
    """Everything that takes turns."""
    torch.manual_seed(0)
    features, theta = torch.randn(batch, frames, 2048), torch.randn(batch, frames, THETA)
    sixteen, thirty_two = torch.randn(batch, 16, 2048), torch.randn(batch, 32, 2048)
    dense, window = batch * frames, batch
    vibe = TemporalEncoder(2048, 1024, 2, bidirectional=False).eval()
    both = TemporalEncoder(2048, 1024, 2, bidirectional=True).eval()
    work: dict[str, Work] = {
        GRU: (lambda: vibe(features), dense),
        "VIBE's GRU, window": (lambda: vibe(sixteen), window),
        "VIBE's GRU, stream": (gru_stream(vibe.gru, vibe.linear, batch), batch),
        "VIBE's GRU, two-way, dense": (lambda: both(features), dense),
    }
    for blocks in (1, 2, 3):
        model = hpof(blocks=blocks)
        name = f"HPOF {blocks} block{'s' if blocks > 1 else ''}"
        seen = torch.randn(batch, model.receptive_field or frames, THETA)
        work[f"{name}, dense"] = (lambda model=model: model.encode(theta), dense)
        work[f"{name}, window"] = (lambda model=model, seen=seen: model.encode(seen), window)
        work[f"{name}, stream"] = (streaming(model, batch), batch)
    gru, transformer = hpof(temporal="gru"), hpof(temporal="transformer")
    work["HPOF's GRU variant, dense"] = (lambda: gru.encode(theta), dense)
    work["HPOF's transformer variant, dense"] = (lambda: transformer.encode(theta), dense)
    spsnet = build("spsnet", {"adversarial": 0.0})
    assert isinstance(spsnet, SPSNet)
    spsnet.eval()
    work[SPSNET] = (lambda: spsnet._fused(features), dense)
    work["SPS-Net, window"] = (lambda: spsnet._fused(thirty_two), window)
    work[TAR_WINDOW] = tar_work(batch, side)
    return work


@torch.no_grad()
def measure(work: dict[str, Work], rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds per frame of every variant in every round; a variant slower than a second runs in three only."""
    times: dict[str, list[float]] = {name: [] for name in work}
    slow: set[str] = set()
    for number in range(-1, rounds):  # the first round warms up
        for name, (run, frames) in work.items():
            if name in slow and number >= 3:
                continue
            started = clock()
            run()
            seconds = clock() - started
            if seconds > 1:
                slow.add(name)
            if number >= 0:
                times[name].append(1000 * seconds / frames)
    return times


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, default=81, help="in a clip")
    parser.add_argument("--side", type=int, default=64, help="of TAR's local maps")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="cpu: not moved by other work")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    times = measure(
        variants(arguments.batch, arguments.frames, arguments.side), arguments.rounds, CLOCKS[arguments.clock]
    )
    print(f"{arguments.threads} threads, {arguments.batch} clips of {arguments.frames} frames, single precision, "
          f"{arguments.clock} clock")  # fmt: skip
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        print(f"{name:<36}{median[name]:9.3f} ms/frame   quartiles {low:.3f} {high:.3f}   {len(values)} rounds")
    result = {
        "gru_ms": median[GRU],
        "hpof_dense_ms": median[HPOF_DENSE],
        "hpof_stream_ms": median[HPOF_STREAM],
        "spsnet_ms": median[SPSNET],
        "tar_ms": median[TAR_WINDOW],
        "hpof_speedup": median[GRU] / median[HPOF_DENSE],
    }
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))


if __name__ == "__main__":
    main()
