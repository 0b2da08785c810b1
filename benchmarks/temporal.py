"""What the temporal modules cost per frame, against VIBE's GRU in the same run.

    python benchmarks/temporal.py
    python benchmarks/temporal.py --threads 8 --batch 8 --clock wall

Unit: milliseconds per frame of output (less is better), median and quartiles over rounds in which all variants take
turns; weights random, evaluation mode, no gradient, single precision, the same number of threads, clips and frames. The
process's own time is taken by default (all its threads' together), so that other work on the machine does not matter.
Image encoder, regressor and body model are left out: what is timed is what stands between a frame's features (or, for
HPOF, its regressed theta) and the smoothed ones. TAR's refinement cannot be separated from its regressor and body and
is timed with them; its encoder's maps are given.

- dense: all frames of a clip at once, each output counts; for every number of --frames (16, VIBE's window, and 81,
  HPOF's receptive field; the shorter the clip and the larger the batch, the smaller HPOF's lead). HPOF's is the form
  for inference (`HPOF.dense`), "as trained" the module itself; VIBE's GRU is torch's own, "packed" the same arithmetic
  with the weights laid out as HPOF's are, so that both have had the same treatment;
- window: a model's own window (VIBE 16, SPS-Net 32, TAR 9, HPOF its receptive field), one output counts, as when every
  new frame is answered by a new window;
- stream: one frame after the other, with what the past has left in memory (state, or cached layers).

The last line is JSON; its dense figures belong to the first of --frames.
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
from train.nn.tcn import product

Work = tuple[Callable[[], object], int]
"""What to time, and how many frames of output it gives."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
GRU, HPOF_DENSE, SPSNET = "VIBE's GRU, dense", "HPOF 3 blocks, dense", "SPS-Net, dense"
HPOF_STREAM, TAR_WINDOW = "HPOF 3 blocks, stream", "TAR with refinement, window"


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


@torch.no_grad()
def packed_gru(encoder: TemporalEncoder, features: torch.Tensor) -> Callable[[], object]:
    """VIBE's GRU with the weights of its matrix products in oneDNN's order, each layer's inputs in one product."""
    gru = encoder.gru
    layers = []
    for layer in range(gru.num_layers):
        of_input, of_state = getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"weight_hh_l{layer}")
        biases = getattr(gru, f"bias_ih_l{layer}"), getattr(gru, f"bias_hh_l{layer}")
        layers.append((product(of_input.t(), biases[0], False), product(of_state.t(), biases[1], False)))
    last = product(encoder.linear.weight.t(), encoder.linear.bias, False)

    def work() -> torch.Tensor:
        x = features
        for of_input, of_state in layers:
            gates, state, states = of_input(x), x.new_zeros(len(x), gru.hidden_size), []
            for t in range(x.shape[1]):
                (r, z, n), (hr, hz, hn) = gates[:, t].chunk(3, 1), of_state(state).chunk(3, 1)
                update = torch.sigmoid(z + hz)
                new = torch.tanh(n + torch.sigmoid(r + hr) * hn)
                state = new + update * (state - new)
                states.append(state)
            x = torch.stack(states, dim=1)
        return features + last(torch.relu(x))

    if not torch.allclose(work(), encoder(features), atol=1e-4):
        raise AssertionError("the packed GRU is not VIBE's")
    return work


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


class Networks:
    """The networks that take turns, each built once."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.vibe = TemporalEncoder(2048, 1024, 2, bidirectional=False).eval()
        self.both = TemporalEncoder(2048, 1024, 2, bidirectional=True).eval()
        self.hpof = {blocks: hpof(blocks=blocks) for blocks in (1, 2, 3)}
        self.fast = {blocks: model.dense() for blocks, model in self.hpof.items()}
        self.gru, self.transformer = hpof(temporal="gru"), hpof(temporal="transformer")
        spsnet = build("spsnet", {"adversarial": 0.0})
        assert isinstance(spsnet, SPSNet)
        self.spsnet = spsnet.eval()

    def dense(self, batch: int, frames: int) -> dict[str, Work]:
        """Whole clips."""
        features, theta = torch.randn(batch, frames, 2048), torch.randn(batch, frames, THETA)
        runs: dict[str, Callable[[], object]] = {
            GRU: lambda: self.vibe(features),
            "VIBE's GRU, packed, dense": packed_gru(self.vibe, features),
            "VIBE's GRU, two-way, dense": lambda: self.both(features),
            "HPOF 3 blocks, as trained, dense": lambda: self.hpof[3].encode(theta),
            "HPOF's GRU variant, dense": lambda: self.gru.encode(theta),
            "HPOF's transformer variant, dense": lambda: self.transformer.encode(theta),
            SPSNET: lambda: self.spsnet._fused(features),
        }
        for blocks in (1, 2, 3):
            runs[f"{title(blocks)}, dense"] = lambda blocks=blocks: self.fast[blocks](theta)
        return {f"{name}, {frames} frames": (run, batch * frames) for name, run in runs.items()}

    def single(self, batch: int, side: int) -> dict[str, Work]:
        """One frame of output, by a window or by what the past has left."""
        sixteen, thirty_two = torch.randn(batch, 16, 2048), torch.randn(batch, 32, 2048)
        work: dict[str, Work] = {
            "VIBE's GRU, window": (lambda: self.vibe(sixteen), batch),
            "VIBE's GRU, stream": (gru_stream(self.vibe.gru, self.vibe.linear, batch), batch),
            "SPS-Net, window": (lambda: self.spsnet._fused(thirty_two), batch),
            TAR_WINDOW: tar_work(batch, side),
        }
        for blocks, model in self.hpof.items():
            seen = torch.randn(batch, model.receptive_field or 81, THETA)
            work[f"{title(blocks)}, window"] = (lambda blocks=blocks, seen=seen: self.fast[blocks](seen), batch)
            work[f"{title(blocks)}, stream"] = (streaming(model, batch), batch)
        return work


def title(blocks: int) -> str:
    """An HPOF by its blocks."""
    return f"HPOF {blocks} block{'s' if blocks > 1 else ''}"


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
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 81], help="in a clip, for the dense mode")
    parser.add_argument("--side", type=int, default=64, help="of TAR's local maps")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="cpu: not moved by other work")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    networks = Networks()
    work = networks.single(arguments.batch, arguments.side)
    for frames in arguments.frames:
        work |= networks.dense(arguments.batch, frames)
    times = measure(work, arguments.rounds, CLOCKS[arguments.clock])
    print(f"{arguments.threads} threads, {arguments.batch} clips at once, single precision, {arguments.clock} clock")
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        print(f"{name:<44}{median[name]:9.3f} ms/frame   quartiles {low:.3f} {high:.3f}   {len(values)} rounds")
    for frames in arguments.frames:
        own, other, packed = (
            median[f"{name}, {frames} frames"] for name in (HPOF_DENSE, GRU, "VIBE's GRU, packed, dense")
        )
        print(
            f"HPOF dense at {frames} frames: 1/{other / own:.2f} of VIBE's GRU, 1/{packed / own:.2f} of the packed one"
        )
    first = f", {arguments.frames[0]} frames"
    result = {
        "gru_ms": median[GRU + first],
        "hpof_dense_ms": median[HPOF_DENSE + first],
        "hpof_stream_ms": median[HPOF_STREAM],
        "spsnet_ms": median[SPSNET + first],
        "tar_ms": median[TAR_WINDOW],
        "hpof_speedup": median[GRU + first] / median[HPOF_DENSE + first],
    }
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))


if __name__ == "__main__":
    main()
