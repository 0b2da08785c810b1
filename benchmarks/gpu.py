"""Everything that is to be measured where there is a GPU, in stages, within a budget of seconds.

    python benchmarks/gpu.py --stage all --budget 540 --out results.jsonl
    python benchmarks/gpu.py --stage render --stage split --out results.jsonl

What is in --out already is not measured again, so a call that ran out of time is simply given again. Each stage runs
in a process of its own (a crash or a full card costs that stage only) with the Python that suits it: --blender and
--torch name two where no single one has both. Without a GPU the same stages run on the CPU, and say so in their keys;
--tiny takes the smallest sizes, to see that all works. The last line is one JSON object of the headline figures.

devices    cards, driver, Blender's list; ceilings of copying and of bf16 matrix products
compile    first picture in a fresh process, with empty and with filled kernel caches
render     images/s of one process: OptiX, CUDA, CPU; 250 and 512 px; 8, 16, 64 samples; denoiser on GPU, CPU, off
split      where an image's time goes: sync, BVH, trace, denoise, output, Python
labels     ground truth and picture of each device against the CPU's
processes  1, 2, 4, 8, 16 processes on one card, memory of each; as many on the CPU's cores
cloth      simulating on the CPU's cores beside rendering; `synth render` as a whole; cost of 3 million frames
train      step time, samples/s, share of the card's bf16 peak for each model; precision, torch.compile
loader     share of the time that the card computes, reading shards with 0 to 12 processes
raster     the rasteriser forward and backward against its z-buffer
fit        the body fitted to markers (MoSh), 1 to 64 trials at once, against the CPU
"""

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from ongpu.ledger import Ledger, Task
from ongpu.report import headline, markdown

TORCH_STAGES = ("ceilings", "train", "loader", "raster", "fit")
ORDER = (
    "devices",
    "ceilings",
    "compile",
    "labels",
    "split",
    "processes",
    "render",
    "cloth",
    "train",
    "loader",
    "raster",
    "fit",
)
"""What is wanted most comes first."""
ROOT = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """Variables for a stage: the project and the benchmarks can be imported."""
    path = [str(ROOT / "benchmarks"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def devices_of(command: tuple[str, ...]) -> tuple[str, ...]:
    """GPU back-ends that Blender finds, best first."""
    code = (
        "import os; from synth.blender import device as d; f = d.available();"
        "print('FOUND', *[b for b in d.BACKENDS if b in f], flush=True); os._exit(0)"
    )
    said = subprocess.run([*command, "-c", code], env=environment(), capture_output=True, text=True, timeout=120)
    lines = [line.split()[1:] for line in said.stdout.splitlines() if line.startswith("FOUND")]
    if not lines:
        print(f"{shlex.join(command)} has no Blender:\n{said.stderr[-800:]}", file=sys.stderr)
        return ()
    return tuple(lines[-1])


def torch_device_of(command: tuple[str, ...]) -> str:
    """What PyTorch computes on: "cuda" if it finds a card, else "cpu"."""
    code = "import torch; print('CUDA' if torch.cuda.is_available() else 'CPU')"
    said = subprocess.run([*command, "-c", code], env=environment(), capture_output=True, text=True, timeout=120)
    return "cuda" if "CUDA" in said.stdout else "cpu"


def run_stage(task: Task) -> None:
    """Run one stage in its process until it ends or the time is up."""
    command = task.torch if task.stage in TORCH_STAGES else task.blender
    print(f"== {task.stage}: {task.left():.0f} s left", flush=True)
    process = subprocess.Popen(
        [*command, "-m", "ongpu.stage"], env=environment(), stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        process.communicate(task.dump(), timeout=max(1.0, task.left()) + 20.0)
    except subprocess.TimeoutExpired:
        print(f"{task.stage}: stopped, the time is up", flush=True)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a stage with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", action="append", choices=[*ORDER, "all"], help="may be repeated  [default: all]")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds of this call  [default: 540]")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="measurements  [default: gpu.jsonl]")
    parser.add_argument("--device", action="append", help="GPU back-ends to measure  [default: all that are there]")
    parser.add_argument("--torch-device", help="cuda or cpu  [default: cuda if there]")
    parser.add_argument("--blender", default=sys.executable, help="Python that has Blender  [default: this one]")
    parser.add_argument("--torch", default=sys.executable, help="Python that has PyTorch  [default: this one]")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes")
    parser.add_argument("--report", action="store_true", help="only print the tables of --out")
    given = parser.parse_args()
    started = time.time()
    blender, torch = tuple(shlex.split(given.blender)), tuple(shlex.split(given.torch))
    if not given.report:
        wanted = ORDER if "all" in (given.stage or ["all"]) else [name for name in ORDER if name in given.stage]
        devices = tuple(given.device) if given.device else devices_of(blender)
        for stage in wanted:
            task = Task(
                stage=stage,
                ledger=given.out.resolve(),
                until=started + given.budget,
                devices=tuple(name for name in devices if name != "cpu"),
                torch_device=given.torch_device or (torch_device_of(torch) if stage in TORCH_STAGES else "cpu"),
                cores=len(os.sched_getaffinity(0)),
                tiny=given.tiny,
                blender=blender,
                torch=torch,
            )
            if task.left() < 5:
                print(f"{stage}: not begun, the time is up")
                continue
            run_stage(task)
    ledger = Ledger(given.out)
    print(markdown(ledger.values))
    print(json.dumps(headline(ledger.values)))


if __name__ == "__main__":
    main()
