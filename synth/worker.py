"""One job in a process of its own: `python -m synth.worker --out DIR --events FD --parent PID`, its spec on stdin.

A clip that makes Blender crash takes only its own process along; whatever Blender prints goes to the job's log.
"""

import argparse
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from synth.errors import SynthError
from synth.events import Event, Reporter


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, however it dies; elsewhere a broken pipe ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the process that started this job is gone")


def main() -> None:
    """Make one clip; the outcome goes out as an event; the exit status is 0 unless the unforeseen happened."""
    parser = argparse.ArgumentParser(prog="python -m synth.worker", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--events", type=int, required=True, help="file descriptor for progress")
    parser.add_argument("--parent", type=int, required=True, help="process id to die with")
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that temporary files go
    report = Reporter(arguments.events)
    try:
        make(sys.stdin.read(), arguments.out, arguments.device, report)
    except SynthError as error:
        report(Event(kind="error", text=error.problem, hint=error.hint))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        report(
            Event(
                kind="error", text=f"{error.strerror or error}{where}", hint="Mend it and give the same command again"
            )
        )


def make(text: str, out: Path, device: str, report: Reporter) -> None:
    """Make the clip of a spec (JSON) and report how it ended."""
    from synth.blender.device import choose, described
    from synth.cloth.simulate import Rejected
    from synth.pipeline import make_clip
    from synth.spec import ClipSpec, from_json

    def progress(stage: str, done: int, of: int) -> None:
        report(Event(kind="progress", stage=stage, done=done, of=of))

    spec = from_json(ClipSpec, text)
    taken, clock = choose(device), time.perf_counter()
    report(Event(kind="device", text=described(taken)))
    try:
        seconds = make_clip(spec, out, device=taken, progress=progress)
    except Rejected as rejected:
        spent = {"simulate": time.perf_counter() - clock}
        report(Event(kind="rejected", reasons=tuple(rejected.reasons), seconds=spent))
    else:
        report(Event(kind="done", seconds=seconds))


if __name__ == "__main__":
    main()
