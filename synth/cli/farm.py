"""`synth farm`: one plan over many nodes."""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import click

from synth.cli.render import settings_flags
from synth.config import Config
from synth.errors import SynthError

KEYS = click.option(
    "--certs",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the farm's keys (`synth farm certs`).  [default where TLS is on: ~/.raiment/farm-keys]",
)
OUT = click.option("--out", required=True, help="Folder or s3://bucket/run that every node sees.")


@click.group()
def farm() -> None:
    """Farm jobs across nodes: plan, submit, look, collect.

    The store (--out) is the only truth: kill anything at any time and submit again.

    \b
    Example:
      synth farm submit --sequences cmu --views 4 --out shards/
      synth farm status --out shards/
      synth farm collect --out shards/
    """  # noqa: D301
    if importlib.util.find_spec("distributed") is None:
        raise SynthError("the farm's packages are not installed", "pip install 'raiment[farm]'")


@farm.command()
@settings_flags
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The plan file.")
@click.option("--chunk", type=click.IntRange(1), help="So many jobs a file: PLAN-0000.jsonl and so on.")
def plan(config: Config, out: Path, chunk: int | None) -> None:
    """Write a plan: one job a line with its id, attributes, estimated cost and spec.

    \b
    Example:
      synth farm plan --sequences cmu --clips 1000 --out plan.jsonl
    """  # noqa: D301
    from render_farm.plan import write_plan
    from synth.plan import Planner

    planner = Planner(config)
    total, size = config.motion.clips, chunk or config.motion.clips
    for number, start in enumerate(range(0, total, size)):
        path = out if chunk is None else out.with_name(f"{out.stem}-{number:04d}{out.suffix}")
        clips = (planner.clip(index) for index in range(start, min(start + size, total)))
        count, cost = write_plan(path, clips, config)
        hours = cost.cpu_seconds / 3600
        click.echo(f"{path}: {count} jobs, {cost.images} images, about {hours:.1f} hours of one core")


@farm.command()
@click.argument("plan_file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@settings_flags
@OUT
@click.option(
    "--cluster",
    default="local",
    show_default=True,
    help="local, tls://HOST:PORT, ssh, k8s, slurm, slurm-array, pbs, htcondor, sge or lsf.",
)
@click.option("--jobs", type=click.IntRange(1, 1024), help="local: jobs at a time.  [default: number of cores]")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Batch systems, k8s: workers.")
@click.option("--host", "hosts", multiple=True, help="ssh: a host; repeat.")
@click.option("--address", help="ssh, batch systems: where nodes reach this machine.  [default: found]")
@click.option("--queue", help="Batch systems: partition or queue.")
@click.option("--python", help="ssh, batch systems: Python on the nodes.  [default: this one]")
@click.option("--image", help="k8s: image with raiment[farm] in it.")
@click.option("--namespace", help="k8s: where to put the pods.  [default: kubectl's]")
@click.option("--volume", help="k8s: claim on the volume that holds --out; pods see it at the same path.")
@click.option("--env-secret", help="k8s: secret with the environment of an object store.")
@KEYS
@click.option("--time-limit", type=click.FloatRange(1), default=6 * 3600.0, show_default=True, help="A job's [s].")
@click.option("--memory", type=click.FloatRange(0), default=0.0, help="A job's [GiB].  [default: the node's]")
@click.option("--two-stages", is_flag=True, help="Simulate on CPUs first, then render on GPUs.")
@click.option("--patience", type=float, default=600.0, show_default=True, help="Wait for a lost store, scheduler [s].")
@click.option("--dashboard", is_flag=True, help="local: Dask's dashboard on 127.0.0.1:8787.")
def submit(plan_file: Path | None, config: Config, out: str, **options: Any) -> None:
    """Do all that is not done of a plan, or of these settings, or of what was submitted to --out before.

    \b
    Examples:
      synth farm submit --sequences cmu --views 4 --out shards/
      synth farm submit plan.jsonl --out /nfs/shards --cluster tls://node1:8786 --certs keys/
      synth farm submit plan.jsonl --out s3://bucket/run --cluster slurm --workers 20
    """  # noqa: D301
    from render_farm.console import run_submit

    sys.exit(run_submit(plan_file, config, out, settings_given(), **options))


def settings_given() -> bool:
    """Whether the command line names settings, other than the device, so that a plan is to be made from them."""
    from click.core import ParameterSource

    context = click.get_current_context()
    return any(
        name.startswith("set_") or name == "config_file"
        for name in context.params
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE and name != "set_device"
    )


@farm.command()
@OUT
@click.option("--watch", is_flag=True, help="Again every two seconds, until all is settled.")
@click.option("--price", type=float, default=0.0, help="Of a slot's hour, for the cost.")
def status(out: str, watch: bool, price: float) -> None:
    """Where the plans on a store stand.

    \b
    Example:
      synth farm status --out shards/ --watch
    """  # noqa: D301
    from render_farm.board import look
    from render_farm.console import open_or_fail, status_lines

    while True:
        state = look(open_or_fail(out))
        click.echo("\n".join(status_lines(state, price)))
        if not watch or state.finished:
            return
        time.sleep(2.0)


@farm.command()
@OUT
def collect(out: str) -> None:
    """Check every shard and write the manifest; status 1 if something is missing or was damaged.

    \b
    Example:
      synth farm collect --out shards/
    """  # noqa: D301
    if importlib.util.find_spec("distributed") is None:
        raise SynthError("the farm's packages are not installed", "pip install 'raiment[farm]'")
    from render_farm.collect import collect as collect_all
    from render_farm.console import open_or_fail

    found = collect_all(open_or_fail(out))
    for clip_id, fault in found.damaged.items():
        click.echo(f"{clip_id}  damaged, removed: {fault}")
    for clip_id in found.missing[:20]:
        click.echo(f"{clip_id}  missing")
    click.echo(
        f"{out}: {found.shards} shards in the manifest, {found.rejected} rejected, {len(found.damaged)} damaged, "
        f"{len(found.missing)} missing, {len(found.swept)} stale files removed"
    )
    sys.exit(1 if found.damaged or found.missing else 0)


@farm.command()
@OUT
@click.option("--log", "show_log", metavar="ID", help="Print the log of this job.")
@click.option("--release", multiple=True, metavar="ID", help="Let this job be tried again; repeat, or `all`.")
def quarantine(out: str, show_log: str | None, release: tuple[str, ...]) -> None:
    """List the jobs that failed too often, show a job's log, release jobs.

    \b
    Example:
      synth farm quarantine --out shards/
      synth farm quarantine --out shards/ --release all
    """  # noqa: D301
    from render_farm import board, records
    from render_farm.console import open_or_fail

    store = open_or_fail(out)
    if show_log:
        click.echo(store.log(show_log) or f"{show_log}: no log")
        return
    held = board.look(store).quarantined
    for clip_id in held if "all" in release else release:
        click.echo(f"{clip_id}  {records.clear_failures(store, clip_id)} failures forgotten")
    if not release:
        for clip_id, failures in held.items():
            click.echo(f"{clip_id}  {len(failures)} failures, last on {failures[-1].host}: {failures[-1].reason}")
        click.echo(f"{len(held)} jobs in quarantine")


@farm.command()
@OUT
@click.argument("ids", nargs=-1)
def retry(out: str, ids: tuple[str, ...]) -> None:
    """Forget the failures of jobs (all that have any, unless named); the next submit tries them again.

    \b
    Example:
      synth farm retry --out shards/
    """  # noqa: D301
    from render_farm import records
    from render_farm.console import open_or_fail

    store = open_or_fail(out)
    known = sorted({failure.clip_id for failure in records.failures(store)})
    for clip_id in ids or known:
        click.echo(f"{clip_id}  {records.clear_failures(store, clip_id)} failures forgotten")
    click.echo(f"{len(ids or known)} jobs to be tried again: give `synth farm submit --out {out}`")


@farm.command()
@OUT
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), default="farm.html", show_default=True)
@click.option("--price", type=float, default=0.0, help="Of a slot's hour, for the cost.")
def report(out: str, html: Path, price: float) -> None:
    """Write a page about a run: progress, rate, failures, what they cost.

    \b
    Example:
      synth farm report --out shards/ --html farm.html
    """  # noqa: D301
    from render_farm.board import look
    from render_farm.console import open_or_fail
    from render_farm.report import page
    from synth.files import write_text

    write_text(html, page(look(open_or_fail(out)), out, price))
    click.echo(f"{html}")


@farm.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def certs(folder: Path) -> None:
    """Make the keys of a farm; copy the folder to every node, for nobody else to read.

    \b
    Example:
      synth farm certs keys/
    """  # noqa: D301
    from render_farm.certificates import make

    click.echo(f"{folder}: {'made' if make(folder) else 'there already'}")


@farm.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8786, show_default=True)
@click.option("--dashboard", is_flag=True, help="Dask's dashboard on 127.0.0.1:8787.")
@click.option("--tls", is_flag=True, help="TLS also at 127.0.0.1; at any other address it is always on.")
@KEYS
def scheduler(host: str, port: int, dashboard: bool, tls: bool, certs: Path | None) -> None:
    """Run the scheduler of a farm of several hosts, until it is ended.

    Keys are made in ~/.raiment/farm-keys, unless others are named.

    \b
    Example:
      synth farm scheduler --host 10.0.0.1 --certs keys/
    """  # noqa: D301
    from render_farm.nodes import run_scheduler

    run_scheduler(host, port, certs, dashboard, tls)


@farm.command()
@click.argument("address")
@click.option("--jobs", type=click.IntRange(0, 1024), default=1, show_default=True, help="CPU slots.")
@click.option("--device", default="auto", show_default=True, help="cpu: offer no graphics card.")
@click.option("--until-eof", is_flag=True, help="End when standard input is closed.")
@KEYS
def worker(address: str, jobs: int, device: str, until_eof: bool, certs: Path | None) -> None:
    """Offer this host's slots to a scheduler; waits for it, and comes back when it does.

    \b
    Example:
      synth farm worker tls://10.0.0.1:8786 --certs keys/
    """  # noqa: D301
    from render_farm.nodes import run_worker

    run_worker(address, jobs, device, certs, until_eof)
