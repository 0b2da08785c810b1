"""The run that shows whether the models learn: from motions to the table that compares them, in one script.

    python benchmarks/learning.py --out learning --sequences fitted --clips 300 --steps 3000
    python benchmarks/learning.py --out learning --sequences fitted --clips 300 --steps 3000 --budget 540

Three stages: `synth render` (for at most --render-seconds), `synth split` such that the test part has subjects (or,
with too few people, motions) and textures that training never saw, `train table` (one budget of steps for HMR, one-euro
filtered HMR, MVIPER, and on features of that HMR for VIBE, TCMR, HPOF, SPS-Net and TAR). Each call does as much as
--budget allows and the next one goes on; a call when all is done only prints. It works on CPU and on CUDA; where no one
Python has both Blender and PyTorch, --blender and --torch name two.

In --out: shards/, table/ (runs, logs, checkpoints), state.json (seconds of each stage, all calls together), results.md
(data, commands, hours and the table) and results.json. The last line is one JSON object: the ratios that the papers
claim (below 1: better), None where a line is missing.
"""

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

TINY_RENDER = ("--width", "96", "--height", "96", "--samples", "1", "--garment", "none")
SPLITS = (
    (("subject", "texture"), (0.7, 0.1, 0.2)),
    (("subject", "texture"), (0.75, 0.0, 0.25)),
    (("motion", "texture"), (0.7, 0.1, 0.2)),
    (("motion", "texture"), (0.75, 0.0, 0.25)),
    (("texture",), (0.7, 0.0, 0.3)),
)
"""Keys and shares of train, val and test, the hardest first; the first that leaves no part empty is taken."""
HMR = ("hmr, trained on", "hmr")
"""The frame model with as many steps as the video models have had, or, in tables without it, with half."""
FILTERED = ("hmr, trained on + one-euro", "hmr + one-euro")
RATIOS = {
    "mviper_over_hmr_mpjpe": (("mviper",), HMR, "mpjpe_mm"),
    "mviper_over_hmr_pa_mpjpe": (("mviper",), HMR, "pa_mpjpe_mm"),
    "mviper_over_hmr_mpvpe": (("mviper",), HMR, "mpvpe_mm"),
    "hpof_over_vibe_accel": (("hpof",), ("vibe",), "accel_mm_per_frame2"),
    "hpof_over_vibe_mpjpe": (("hpof",), ("vibe",), "mpjpe_mm"),
    "one_euro_over_hmr_mpjpe": (FILTERED, HMR, "mpjpe_mm"),
    "one_euro_over_hmr_accel": (FILTERED, HMR, "accel_mm_per_frame2"),
}
"""What is set over what: lines of the table (the first that is there) and a measure."""


@dataclass(slots=True, kw_only=True)
class State:
    """What earlier calls did."""

    path: Path
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage."""
    done: list[str] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> "State":
        """Read it, or begin anew."""
        return State(path=path, **json.loads(path.read_text())) if path.exists() else State(path=path)

    def save(self) -> None:
        """Replace the file."""
        part = self.path.with_suffix(".part")
        names = ("seconds", "done", "commands", "notes")
        part.write_text(json.dumps({name: getattr(self, name) for name in names}, indent=1, sort_keys=True) + "\n")
        part.replace(self.path)


class TimeIsUpError(Exception):
    """The rest is for the next call."""


def environment() -> dict[str, str]:
    """Variables for the commands: this checkout is what runs."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def run(command: Sequence[str], state: State, stage: str, limit: float) -> int | None:
    """Run a command for at most so many seconds, then end it as Ctrl-C would; what it kept is for the next call.

    Returns:
        Its exit status, or None if it was stopped.
    """
    state.commands[stage] = shlex.join(command)
    print(f"$ {shlex.join(command)}   # at most {limit:.0f} s", flush=True)
    started = time.time()
    process = subprocess.Popen(command, env=environment(), preexec_fn=_heed_interrupts)
    try:
        status: int | None = process.wait(timeout=max(1.0, limit))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        status = None
    state.seconds[stage] = round(state.seconds.get(stage, 0.0) + time.time() - started, 1)
    state.save()
    return status


def _heed_interrupts() -> None:
    """A job in the background of a shell ignores Ctrl-C; the command must not inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def entries(shards: Path) -> list[dict[str, Any]]:
    """The clips that are there: the last line of the manifest about each."""
    path = shards / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []
    return [entry for entry in {line["clip_id"]: line for line in lines}.values() if entry.get("status") == "done"]


def render(given: argparse.Namespace, state: State, left: float) -> None:
    """Render until all clips are there or the time for it is spent.

    Raises:
        TimeIsUpError: the call's time is up and rendering may still go on.
        SystemExit: it failed, or too few clips were made.
    """
    shards = given.out / "shards"
    command = [*given.blender, "-m", "synth", "render", "--sequences", given.sequences, "--clips", str(given.clips)]
    command += ["--frames", str(given.frames), "--views", str(given.views), "--samples", str(given.samples)]
    command += ["--interpolated-share", "0", "--seed", str(given.seed), "--device", given.device]
    command += ["--out", str(shards), "--jobs", str(given.jobs), *(TINY_RENDER if given.tiny else ()), *given.also]
    allowed = given.render_seconds - state.seconds.get("render", 0.0)
    if allowed > 0:
        status = run(command, state, "render", min(allowed, left))
        if status is None and state.seconds["render"] < given.render_seconds:
            raise TimeIsUpError("render")
        if status:
            sys.exit(f"synth render ended with status {status}")
    if len(entries(shards)) < 3:
        sys.exit(
            f"{len(entries(shards))} clips in {state.seconds.get('render', 0):.0f} s: more --render-seconds needed"
        )


def split(given: argparse.Namespace, state: State, left: float) -> None:
    """Divide the clips by the hardest keys that leave no part empty.

    Raises:
        SystemExit: no keys do.
    """
    for by, shares in SPLITS:
        command = [*given.blender, "-m", "synth", "split", str(given.out / "shards")]
        for key in by:
            command += ["--by", key]
        for part, share in zip(("train", "val", "test"), shares, strict=True):
            command += [f"--{part}", str(share)]
        if run(command, state, "split", left) == 0:
            state.notes["split_by"] = list(by)
            return
    sys.exit("the clips cannot be split: render more, or name more --sequences")


def table(given: argparse.Namespace, state: State, left: float) -> None:
    """Train and measure all lines.

    Raises:
        TimeIsUpError: not all are done.
        SystemExit: it failed.
    """
    command = [*given.torch, "-m", "train", "table", "comparison", "--data", str(given.out / "shards")]
    command += ["--out", str(given.out / "table"), "--preset", given.preset, "--seeds", str(given.seeds)]
    command += ["--device", given.torch_device, "--workers", str(given.workers)]
    for name in ("steps", "batch", "lr", "amp"):
        if getattr(given, name) is not None:
            command += [f"--{name}", str(getattr(given, name))]
    status = run(command, state, "table", left)
    if status is None:
        raise TimeIsUpError("table")
    if status:
        sys.exit(f"train table ended with status {status}")


STAGES = {"render": render, "split": split, "table": table}


def sizes(shards: Path) -> dict[str, dict[str, int]]:
    """Clips, images and different motions of each part."""
    known = {entry["clip_id"]: entry for entry in entries(shards)}
    record = json.loads((shards / "split.json").read_text())
    found = {}
    for part in ("train", "val", "test"):
        own = [known[clip] for clip in record[part] if clip in known]
        found[part] = {
            "clips": len(own),
            "images": sum(entry["frames"] * entry["views"] for entry in own),
            "motions": len(Counter(str(entry.get("attributes", {}).get("motion")) for entry in own)),
        }
    return found


def ratios(results: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float | None]:
    """Quotients of means over the seeds."""

    def mean(lines: Sequence[str], column: str) -> float | None:
        line = next((name for name in lines if name in results), "")
        values = [seed[column] for seed in results.get(line, ()) if column in seed]
        return sum(values) / len(values) if values else None

    found: dict[str, float | None] = {}
    for name, (lines, others, column) in RATIOS.items():
        a, b = mean(lines, column), mean(others, column)
        found[name] = None if a is None or not b else round(a / b, 4)
    return found


def report(given: argparse.Namespace, state: State) -> dict[str, Any]:
    """Write results.md and results.json."""
    results = json.loads((given.out / "table" / "comparison.json").read_text())
    data, quotients = sizes(given.out / "shards"), ratios(results)
    hours = {name: round(value / 3600, 3) for name, value in state.seconds.items()}
    facts = {"data": data, "hours": hours, "commands": state.commands, **state.notes}
    facts |= {"date": time.strftime("%Y-%m-%d"), "machine": platform.processor() or platform.machine()}
    facts |= {"steps": given.steps, "preset": given.preset, "seeds": given.seeds, "seed": given.seed}
    whole = {"facts": facts, "ratios": quotients, "results": results}
    (given.out / "results.json").write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    lines = ["# Learning run", "", f"{facts['date']}, split by {' and '.join(state.notes.get('split_by', []))}.", ""]
    lines += ["| part | clips | images | motions |", "|---|---|---|---|"]
    lines += [f"| {part} | {own['clips']} | {own['images']} | {own['motions']} |" for part, own in data.items()]
    lines += ["", *(f"    {command}" for command in state.commands.values()), ""]
    lines += [f"Hours: {', '.join(f'{name} {value}' for name, value in hours.items())}.", ""]
    lines += [(given.out / "table" / "comparison.md").read_text(), ""]
    lines += [f"- {name}: {value}" for name, value in quotients.items()]
    (given.out / "results.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return quotients


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("learning"))
    parser.add_argument("--budget", type=float, default=1e9, help="seconds of this call  [default: no limit]")
    parser.add_argument("--render-seconds", type=float, default=1e9, help="of all calls  [default: until all are made]")
    parser.add_argument("--sequences", default="cmu", help="as `synth render` takes them  [default: cmu]")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--frames", type=int, default=40, help="of a clip; SPS-Net sees 32")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument(
        "--also", type=shlex.split, default=[], help="further options of `synth render`: '--garment none --fps 15'"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the clips")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="clips rendered at a time")
    parser.add_argument("--device", default="auto", help="of rendering")
    parser.add_argument("--preset", default="small", help="paper, small, cpu or smoke  [default: small]")
    parser.add_argument("--steps", type=int, help="of each line  [default: the preset's]")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--amp", choices=["none", "bf16", "fp16"])
    parser.add_argument("--seeds", type=int, default=1, help="runs of each line")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--torch-device", default="auto", help="of training")
    parser.add_argument("--blender", type=shlex.split, default=[sys.executable], help="Python that has Blender")
    parser.add_argument("--torch", type=shlex.split, default=[sys.executable], help="Python that has PyTorch")
    parser.add_argument("--tiny", action="store_true", help="bare people, 96 pixels, to see that all works")
    given = parser.parse_args()
    given.out = given.out.resolve()
    return given


def main() -> None:
    """Do what is not done yet."""
    given, until = arguments(), time.time()
    until += given.budget
    given.out.mkdir(parents=True, exist_ok=True)
    state = State.load(given.out / "state.json")
    for name, stage in STAGES.items():
        if name in state.done:
            continue
        try:
            if until - time.time() < 5:
                raise TimeIsUpError(name)
            stage(given, state, until - time.time())
        except TimeIsUpError:
            print(f"{name}: the time is up; the same command goes on here ({len(entries(given.out / 'shards'))} clips)")
            print(json.dumps({"unfinished": name}))
            return
        state.done.append(name)
        state.save()
    print(json.dumps(report(given, state)))


if __name__ == "__main__":
    main()
