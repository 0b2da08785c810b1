"""What drawing the free body costs, forward and backward.

    python benchmarks/rasterize.py
    python benchmarks/rasterize.py --device cuda --batch 16 --clock wall

Unit: milliseconds per picture of 224 x 224 pixels with three colours and coverage, outlines smooth (less is better);
median and quartiles over rounds on randomly posed bodies that fill the crop; the process's own time by default, so that
other work on the machine does not matter. The backward pass reaches the vertices.
"Hard" is the z-buffer with interpolation alone, without gradients or smooth outlines: the floor of the forward pass.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from train.body import BodyLayer
from train.nn.drawing import gradient_colours, topology_of, weak_screen
from train.rasterize import interpolate, rasterize, render
from train.rotations import rotvec_to_matrix

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def screens(body: BodyLayer, batch: int, size: int) -> torch.Tensor:
    """Bodies in random poses, as seen by the crop's camera."""
    device = body.get_buffer("faces").device
    generator = torch.Generator().manual_seed(0)
    rotvec = torch.randn(batch, 24, 3, generator=generator) * 0.3
    rotvec[:, 0] += torch.tensor([torch.pi, 0.0, 0.0])
    betas = torch.randn(batch, 10, generator=generator).to(device)
    vertices, _ = body(rotvec_to_matrix(rotvec).to(device), betas, torch.zeros(batch, dtype=torch.int64, device=device))
    camera = torch.tensor([[0.9, 0.0, 0.15]], device=device).repeat(batch, 1)
    return weak_screen(vertices, camera, size)


def timed(run: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    """Seconds, with the device's queue run empty."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="cpu: not moved by other work")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device, size = torch.device(arguments.device), arguments.size
    body = BodyLayer.named("free").to(device)
    topology, screen = topology_of(body), screens(body, arguments.batch, size).requires_grad_()
    colours = gradient_colours(body.get_buffer("v_template")[0])[None]
    weight = torch.rand(arguments.batch, size, size, 3, generator=torch.Generator().manual_seed(1)).to(device)
    times: dict[str, list[float]] = {"hard": [], "forward": [], "backward": []}
    for number in range(arguments.rounds + 2):
        held = []

        def hard() -> None:
            with torch.no_grad():
                interpolate(rasterize(screen, topology.faces, size, size, False), topology.faces, colours)

        def forward(held: list[torch.Tensor] = held) -> None:
            picture, coverage = render(screen, topology, colours, size, size, perspective=False)
            held.append((picture * weight).sum() + coverage.sum())

        def backward(held: list[torch.Tensor] = held) -> None:
            torch.autograd.grad(held[0], screen)

        for name, run in (("hard", hard), ("forward", forward), ("backward", backward)):
            seconds = timed(run, device, CLOCKS[arguments.clock])
            if number >= 2:
                times[name].append(1000 * seconds / arguments.batch)
    faces, edges = len(topology.faces), len(topology.edges)
    print(f"{faces} faces, {edges} edges, {size} x {size}, {arguments.batch} at once, {device}, "
          f"{arguments.threads} threads, {arguments.clock} clock")  # fmt: skip
    for name, values in times.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(f"{name:<10}{median:8.2f} ms/picture   quartiles {low:.2f} {high:.2f}")
    result = {f"{name}_ms": round(statistics.median(times[name]), 3) for name in ("forward", "backward")}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
