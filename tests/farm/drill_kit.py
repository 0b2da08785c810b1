"""What tests and drill of the farm share: plans of small jobs that behave or misbehave, and what is left afterwards."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PATHS = [str(TESTS / "farm"), str(TESTS / "shards")]
sys.path[:0] = [path for path in PATHS if path not in sys.path]

import shard_factory  # noqa: E402

from render_farm.plan import write_plan  # noqa: E402
from synth.body.model import load_named  # noqa: E402
from synth.shards.read import check_checksums  # noqa: E402
from synth.spec import ClipSpec  # noqa: E402


def environment(ledger: Path | None = None, **more: str) -> dict[str, str]:
    """Variables with which a node uses the worker that misbehaves on demand."""
    paths = os.pathsep.join([*PATHS, *filter(None, [os.environ.get("PYTHONPATH")])])
    found = {**os.environ, "PYTHONPATH": paths, "RAIMENT_FARM_WORKER": "drill_worker", **more}
    return found | ({"DRILL_LEDGER": str(ledger)} if ledger else {})


@cache
def _base() -> ClipSpec:
    clip = shard_factory.make_clip(load_named("free", "neutral"), frames=2)
    return shard_factory.make_spec(clip, shard_factory.make_cameras(clip, 1, 16))


def spec(index: int, action: str = "good") -> ClipSpec:
    """A clip of two frames that `drill_worker` makes, or does something else with."""
    motion = dataclasses.replace(_base().motion, names=(action,))
    return dataclasses.replace(_base(), index=index, motion=motion)


def make_plan(path: Path, actions: Sequence[str]) -> list[ClipSpec]:
    """Write a plan of these actions."""
    specs = [spec(index, action) for index, action in enumerate(actions)]
    write_plan(path, specs)
    return specs


def sound(out: Path) -> set[str]:
    """Clip ids of the shards in a folder that are whole."""
    return {path.stem for path in out.glob("*.h5") if not check_checksums(path)}


def leftovers(out: Path) -> list[str]:
    """Half-written files below a folder."""
    return [str(path.relative_to(out)) for path in out.rglob("*.part.*")]


def executions(ledger: Path, clip_id: str) -> int:
    """How often a job was begun."""
    return len(list(ledger.glob(f"{clip_id}.*")))


def orphans(ledger: Path) -> list[int]:
    """Processes of jobs that still run, told by the ledger in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"drill_worker" in command and f"DRILL_LEDGER={ledger}".encode() in variables:
            found.append(int(folder.name))
    return found
