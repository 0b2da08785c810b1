"""The first stage of a job alone: `python -m render_farm.simulate`, called as `synth.worker` is.

It fills the cache of simulations on the store, so that nodes without a GPU can do it and those with one only render.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from synth.errors import SynthError
from synth.events import Event, Reporter
from synth.worker import die_with_parent


def main() -> None:
    """Simulate one clip; the outcome goes out as an event."""
    parser = argparse.ArgumentParser(prog="python -m render_farm.simulate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder whose .cache holds the simulations")
    parser.add_argument("--device", default="cpu", help="not used")
    parser.add_argument("--events", type=int, required=True, help="file descriptor for progress")
    parser.add_argument("--parent", type=int, required=True, help="process id to die with")
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Reporter(arguments.events)
    try:
        simulate(sys.stdin.read(), arguments.out, report)
    except (SynthError, OSError) as error:
        hint = error.hint if isinstance(error, SynthError) else "Mend it and submit again"
        report(Event(kind="error", text=getattr(error, "problem", str(error)), hint=hint))


def simulate(text: str, out: Path, report: Reporter) -> None:
    """Fill the cache with the simulation of a spec (JSON) and report how it went."""
    from synth.assets import resolve
    from synth.body.model import load_body
    from synth.cloth.simulate import Rejected
    from synth.pipeline import simulated
    from synth.spec import ClipSpec, from_json

    spec = from_json(ClipSpec, text)

    def progress(stage: str, done: int, of: int) -> None:
        report(Event(kind="progress", stage=stage, done=done, of=of))

    clock = time.perf_counter()
    try:
        simulated(spec, load_body(resolve(spec.body.file), spec.body.gender), out, progress)
    except Rejected as rejected:
        spent = {"simulate": time.perf_counter() - clock}
        report(Event(kind="rejected", reasons=tuple(rejected.reasons), seconds=spent))
    else:
        report(Event(kind="simulated", seconds={"simulate": time.perf_counter() - clock}))


if __name__ == "__main__":
    main()
