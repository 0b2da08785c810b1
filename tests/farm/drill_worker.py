"""Does what the clip's motion is called, and writes a real, small shard if all goes well: a worker for tests."""

import argparse
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import shard_factory

from synth.body.model import load_named
from synth.errors import SynthError
from synth.events import Event, Reporter
from synth.shards.write import Provenance, write_shard
from synth.spec import ClipSpec, from_json
from synth.worker import die_with_parent


def make(spec: ClipSpec, out: Path) -> None:
    body = load_named("free", "neutral")
    clip = shard_factory.make_clip(body, frames=2, seed=spec.index)
    cameras = shard_factory.make_cameras(clip, 1, 16)
    frames = ((0, t, shard_factory.draw(clip, body, cameras[0], t, 0)) for t in range(2))
    write_shard(
        out / f"{spec.clip_id}.h5",
        spec=spec,
        clip=clip,
        body=body,
        cameras=cameras,
        frames=frames,
        provenance=Provenance(config={"made": "by a drill"}, commit="0" * 40),
    )


def act(action: str, report: Reporter) -> None:
    """Whatever happens before a shard is made."""
    name, _, value = action.partition(":")
    if name == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "memory":
        np.ones(int(float(value) * 2**27))
    elif name == "sleep":
        time.sleep(float(value))
    elif name == "reject":
        report(Event(kind="rejected", reasons=("trousers: frame 3: slipped off",), seconds={"simulate": 36.0}))
        sys.exit()
    elif name == "error":
        raise SynthError("motion.npz: changed since the plan", "Plan again")
    elif name == "once":  # fails the first time
        marker = Path(os.environ["DRILL_LEDGER"]) / f"once-{value}"
        if not marker.exists():
            marker.touch()
            sys.exit("the first time fails")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--out", "--device", "--events", "--parent"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    die_with_parent(int(arguments.parent))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    spec, report = from_json(ClipSpec, sys.stdin.read()), Reporter(int(arguments.events))
    if ledger := os.environ.get("DRILL_LEDGER"):
        (Path(ledger) / f"{spec.clip_id}.{uuid.uuid4().hex[:8]}").touch()
    try:
        act(spec.motion.names[0], report)
        make(spec, Path(arguments.out))
    except SynthError as error:
        report(Event(kind="error", text=error.problem, hint=error.hint))
    else:
        if (Path(os.environ.get("DRILL_STORE", "/nowhere")) / f"{spec.clip_id}.h5").exists():
            (Path(ledger or ".") / f"twice-{spec.clip_id}.{uuid.uuid4().hex[:8]}").touch()
        report(Event(kind="done", seconds={"render": 1.0}))


if __name__ == "__main__":
    main()
