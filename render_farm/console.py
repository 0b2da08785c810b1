"""What the `synth farm` commands say."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from render_farm.board import Board, kept_plans
from render_farm.driver import Options, Summary
from render_farm.plan import first_line, read_config, write_plan
from render_farm.records import DriverReport
from render_farm.store import Store, open_store
from render_farm.submit import prepare, submit
from synth.config import Config
from synth.errors import SynthError
from synth.process import Limits
from synth.provenance import run_line

__all__ = ["run_submit", "status_lines"]


def run_submit(plan_file: Path | None, config: Config, out: str, given: bool, **options: Any) -> int:
    """The `submit` command; its exit status: 0 if all is settled and nothing is in quarantine."""
    from render_farm.cluster import configure, open_farm

    configure()
    store = open_store(out)
    prepare(store)
    limits = Limits(seconds=options["time_limit"], memory=int(options["memory"] * 2**30))
    how = Options(
        device=config.render.device,
        limits=limits,
        two_stages=options["two_stages"],
        patience=options["patience"],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = plan_file
        if path is None and (given or not kept_plans(store)):
            path = planned(config, Path(folder) / "plan.jsonl")
        _note_command(store, path, config)
        if options["cluster"] == "slurm-array":
            from render_farm.arrays import submit_arrays

            summary = submit_arrays(store, path, how, options["workers"], options["queue"])
        elif options["cluster"] == "k8s":
            from render_farm.kubernetes import submit_to_pods

            summary = submit_to_pods(store, path, how, options)
        else:
            farm = open_farm(options["cluster"], config.render.device, options)
            try:
                summary = submit(store, farm, how, path, Talker())
            except KeyboardInterrupt:
                print_line(f"Interrupted. Finished shards are in {out}; the same command goes on from here.")
                return 130
            finally:
                farm.close()
    print_line(summary_line(out, summary), sys.stdout)
    return 1 if summary.counts["quarantined"] else 0


def _note_command(store: Store, path: Path | None, config: Config) -> None:
    """Write down what was typed, with the settings of the plan if it has them.

    Raises:
        SynthError: the plan is not there or damaged, or the store cannot be written to.
    """
    name = str(path) if path else kept_plans(store)[0]
    known = read_config(first_line(path) if path else next(store.lines(name), ""), name)
    try:
        store.add_command(run_line(sys.argv[1:], known or config))
    except OSError as error:
        raise SynthError(f"{store.url}: {error.strerror or error}", "Choose another --out, or mend this one") from None


def planned(config: Config, path: Path) -> Path:
    """Write the plan of these settings."""
    from synth.plan import Planner

    write_plan(path, Planner(config).clips(), config)
    return path


def summary_line(out: str, summary: Summary) -> str:
    """What a run did, in one line."""
    if not summary.counts:
        return f"{out}: nothing to do"
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(summary.counts.items()) if count)
    rate = summary.images / summary.seconds if summary.seconds else 0.0
    return f"{out}: {said}; {summary.rerun} tried again; {rate:.2f} images/s; `synth farm collect` makes the manifest"


class Talker:
    """Says how a driver gets on: a line for what went wrong, and now and then how far it is."""

    def __init__(self) -> None:
        self._last, self._said = time.monotonic(), ""

    def __call__(self, report: DriverReport, line: str) -> None:
        """Take in a report, or a line."""
        if line:
            print_line(line)
            return
        now = f"{report.done} done, {len(report.running)} handed out, {report.slots} slots"
        waiting = f"  waiting: {report.message}" if report.message else ""
        if time.monotonic() - self._last > (
            60.0 if now + waiting == self._said else 5.0
        ):  # the same again: not so often
            self._last, self._said = time.monotonic(), now + waiting
            print_line(f"{now}, {report.images / (time.time() - report.started):.2f} images/s{waiting}")


def print_line(line: str, stream: Any = None) -> None:
    """Print now, also into a pipe."""
    (stream or sys.stderr).write(line + "\n")
    (stream or sys.stderr).flush()


def status_lines(state: Board, price: float) -> list[str]:
    """What `status` says."""
    counts = {
        "done": len(state.done),
        "running": len(state.running),
        "failing": len(state.failing),
        "rejected": len(state.rejected),
        "quarantined": len(state.quarantined),
    }
    settled = counts["done"] + counts["rejected"] + counts["quarantined"]
    lines = [f"{state.jobs} jobs: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())]
    lines.append(f"{state.images_done} of {state.images} images; {state.jobs - settled} jobs to do")
    rate, left = pace(state)
    if rate:
        lines.append(f"{rate:.2f} images/s, about {left / 60:.0f} min left")
    hours = sum(driver.slot_seconds for driver in state.drivers) / 3600
    cost = f" ({hours * price:.2f})" if price else ""
    lost = f", {state.seconds_lost / 3600:.2f} of them lost on refused clips and failures" if state.seconds_lost else ""
    lines.append(f"{hours:.2f} slot-hours spent{cost}, by {len(state.drivers)} runs of submit{lost}")
    lines += [f"{driver.driver}: {driver.message}" for driver in state.drivers if driver.alive and driver.message]
    return lines


def pace(state: Board) -> tuple[float, float]:
    """Images a second over what the living drivers did, and seconds left at that rate."""
    rate = 0.0
    for driver in state.drivers:
        if driver.alive and driver.updated > driver.started:
            rate += driver.images / (driver.updated - driver.started)
    return rate, state.left.images / rate if rate else 0.0


def open_or_fail(out: str) -> Store:
    """A store that must be there.

    Raises:
        SynthError: it is not.
    """
    store = open_store(out)
    try:
        store.names("plans")
    except OSError as error:
        raise SynthError(f"{out}: {error}", "Name the --out of a `synth farm submit`") from None
    return store
