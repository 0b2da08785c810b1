"""A worker that does what the clip's number says, for the tests of the local runner."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from synth.events import Event, Reporter
from synth.spec import ClipSpec, from_json
from synth.worker import die_with_parent

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("--out", "--device", "--events", "--parent"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    die_with_parent(int(arguments.parent))
    spec = from_json(ClipSpec, sys.stdin.read())
    report = Reporter(int(arguments.events))
    report(Event(kind="progress", stage="render", done=1, of=2))
    marker = Path(arguments.out) / f"{spec.index}-{os.getpid()}"
    marker.touch()
    if spec.index == 1:
        report(Event(kind="rejected", reasons=("trousers: frame 3: slipped off",)))
    elif spec.index == 2:
        report(Event(kind="error", text="disk full", hint="make room"))
    elif spec.index == 3 and len(list(marker.parent.glob("3-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    elif spec.index == 4:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif spec.index == 5:
        time.sleep(600)
    else:
        report(Event(kind="done"))
