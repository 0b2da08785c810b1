"""A process of `processes` and `cloth`: gets ready, says so, works from one moment to another, says how much it did.

On standard input comes one JSON line, what to do; then, after READY, one with the two times.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Working = Callable[[], bool]
"""Whether to go on."""


def peak_mb() -> float:
    """Largest memory this process has held [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def painter(order: dict[str, Any]) -> Callable[[Working], dict[str, Any]]:
    """Renders images of the benchmark's clip; the first frame's are made before it is ready."""
    from ongpu import frames

    renderer = frames.make_renderer(
        order["device"],
        size=order["size"],
        samples=order["samples"],
        frames=4,
        threads=order["threads"],
        truth=order["truth"],
    )
    frames.configure(renderer, order["samples"], order["denoise"])
    shots = frames.shots(renderer)
    for _ in range(order["warm"]):
        renderer.frame(*next(shots))

    def work(going: Working) -> dict[str, Any]:
        done, cpu = 0, time.process_time()
        while going():
            renderer.frame(*next(shots))
            done += going()
        return {"images": done, "cpu_s": time.process_time() - cpu}

    return work


def tailor(order: dict[str, Any]) -> Callable[[Working], dict[str, Any]]:
    """Simulates clips of a plan one after the other, from `first` on."""
    import numpy as np

    from synth.assets import resolve
    from synth.blender.simulate import solve
    from synth.body.model import load_body
    from synth.cloth.simulate import Rejected, simulate
    from synth.config import load_config
    from synth.motion.clips import realise
    from synth.plan import Planner

    specs = Planner(load_config(None, order["settings"])).clips()

    class Enough(Exception):  # noqa: N818
        pass

    def work(going: Working) -> dict[str, Any]:
        told = {"frames": 0, "clips": 0, "clip_frames": 0, "refused": 0}
        cpu, started, first = time.process_time(), time.time(), 0.0

        def on_frame(done: int, of: int) -> None:
            nonlocal first
            first = first or time.time()
            told["frames"] += 1
            if not going():
                raise Enough

        index = order["first"]
        while going():
            spec = specs[index % len(specs)]
            body = load_body(resolve(spec.body.file), spec.body.gender)
            motion, _ = realise(spec.motion, body, np.array(spec.body.betas))
            before = told["frames"]
            try:
                simulate(spec, body, motion, solve, on_frame=on_frame)
                told["clips"] += 1
                told["clip_frames"] += told["frames"] - before
            except Rejected:
                told["refused"] += 1
            except Enough:
                break
            index += 1
        solving = time.time() - first if first else 0.0
        rates = {"solving_s": solving, "dressing_s": (first - started) if first else time.time() - started}
        return {**told, **rates, "cpu_s": time.process_time() - cpu}

    return work


def main() -> None:
    """Do as told."""
    report = os.fdopen(os.dup(1), "w")
    order = json.loads(sys.stdin.readline())
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # Blender talks
    work = {"painter": painter, "tailor": tailor}[order["kind"]](order)
    print("READY", file=report, flush=True)
    start, stop = json.loads(sys.stdin.readline())
    time.sleep(max(0.0, start - time.time()))
    done = work(lambda: time.time() < stop)
    print("DONE", json.dumps({**done, "peak_mb": round(peak_mb(), 1)}), file=report, flush=True)
    report.close()
    os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
