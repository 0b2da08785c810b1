"""The failure drill: `python tests/farm/drill.py [--only NAME] [--short] [--tries N]`; about ten minutes.

Every fault runs a small plan with real shards through the command line, breaks something on the way, and then asks:
is every good job's shard there once and whole, are bad jobs in quarantine with their reason, does anything still run or
lie about, does a second submit do nothing? A table, then one line of JSON; exit status 1 unless all is well.
--short, for CI: nine of the faults, and the driver is killed four times instead of twenty.
"""

import argparse
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import drill_kit
import namespaces
import slurm
from drill_scene import Scene, Skip, Verdict, free_port, parent_of, services, until

log = logging.getLogger("drill")

KILLS, FEW_KILLS = 20, 4


SLOW = ["sleep:1.5"] * 6


def bad_jobs(folder: Path) -> Scene:
    """A job that crashes, one that hangs, one that eats memory, among good ones."""
    bad = {"segv": "SIGSEGV", "memory:3": "GiB of memory", "sleep:600": "ran longer than its 25 s"}
    scene = Scene(folder, ["good", "segv", "good", "memory:3", "good", "sleep:600", "once:x", "good"], bad)
    run = scene.submit("--memory", "1", "--time-limit", "25")
    scene.wait(run, 1)
    return scene


def worker_killed(folder: Path) -> Scene:
    """SIGKILL of a worker in the middle of a job, twice."""
    scene = Scene(folder, SLOW)
    run = scene.submit()
    for count in (1, 3):
        until(lambda count=count: scene.begun() >= count and bool(drill_kit.orphans(scene.ledger)), 60)
        for job in drill_kit.orphans(scene.ledger)[:1]:
            with contextlib.suppress(OSError):
                os.kill(parent_of(job), signal.SIGKILL)
    scene.wait(run)
    return scene


def scheduler_killed(folder: Path) -> Scene:
    """SIGKILL of the scheduler in the middle of a run; it is started again at its address."""
    scene, keys, port = Scene(folder, ["sleep:2"] * 8), str(folder / "keys"), str(free_port())
    subprocess.run(scene.command("certs", keys), check=True, capture_output=True)
    address = f"tls://127.0.0.1:{port}"
    with services(scene) as start:
        scheduler = start("scheduler", "--port", port, "--certs", keys)
        start("worker", address, "--certs", keys, "--jobs", "2")
        run = scene.submit("--cluster", address, "--certs", keys)
        until(lambda: scene.shards() >= 2, 90)
        scheduler.kill()
        time.sleep(3)
        start("scheduler", "--port", port, "--certs", keys)
        scene.wait(run)
    return scene


def host_cut_off(folder: Path) -> Scene:
    """Three hosts; the cable of one is pulled in the middle of a job and put back; TLS between them."""
    if not namespaces.available():
        raise Skip("no network namespaces here")
    scene, keys = Scene(folder, ["sleep:4"] * 14), str(folder / "keys")
    subprocess.run(scene.command("certs", keys), check=True, capture_output=True)
    with namespaces.Hosts(3) as hosts, services(scene) as start:
        address = f"tls://{hosts.addresses[0]}:8786"
        start("scheduler", "--host", hosts.addresses[0], "--certs", keys, on=lambda c: hosts.on(0, c))
        for index in (1, 2):
            start("worker", address, "--certs", keys, on=lambda c, index=index: hosts.on(index, c))
        run = scene.submit("--cluster", address, "--certs", keys, on=lambda c: hosts.on(0, c))
        until(lambda: scene.begun() >= 3, 90)
        hosts.cut(2)
        until(lambda: "lost" in scene.said("submit"), 120)
        hosts.heal(2)
        scene.wait(run)
        if not until(lambda: scene.said("worker").count("slots offered") >= 3, 60):
            scene.wrong.append("the host that was cut off did not come back")
    return scene


def disk_full(folder: Path) -> Scene:
    """The store's disk fills up in the middle of a run; room is made."""
    scene = Scene(folder, ["good"] * 12)
    scene.out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "none", str(scene.out)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise Skip("no mounting here")
    try:
        run = scene.submit()
        if not until(lambda: "waiting: the store fails" in scene.said("submit"), 120):
            scene.wrong.append("nobody noticed that the disk was full")
        subprocess.run(["mount", "-o", "remount,size=64m", str(scene.out)], check=True)
        scene.wait(run)
        kept = folder / "kept"
        shutil.copytree(scene.out, kept)
    finally:
        subprocess.run(["umount", "-l", str(scene.out)], check=True)
    scene.out.rmdir()
    kept.rename(scene.out)
    return scene


def folder_gone(folder: Path) -> Scene:
    """The store's folder goes away in the middle of a run, as a network share does, and comes back."""
    scene = Scene(folder, ["sleep:1"] * 8)
    run = scene.submit()
    until(lambda: scene.shards() >= 1, 60)
    away = folder / "away"
    scene.out.rename(away)
    if not until(lambda: "waiting: the store fails" in scene.said("submit"), 90):
        scene.wrong.append("nobody noticed that the folder was gone")
    if scene.out.exists():
        scene.wrong.append("somebody made the folder anew")
        shutil.rmtree(scene.out)
    away.rename(scene.out)
    scene.wait(run)
    return scene


def submitted_twice(folder: Path) -> Scene:
    """The same plan is submitted at the same time on two hosts."""
    scene = Scene(folder, ["sleep:1"] * 10)

    def renamed(name: str) -> Callable[[list[str]], list[str]]:
        if not namespaces.root():
            return list
        return lambda command: ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", *command]

    runs = [scene.submit(on=renamed(name)) for name in ("host-a", "host-b")]
    for run in runs:
        scene.wait(run)
    return scene


def driver_killed(folder: Path, kills: int = KILLS) -> Scene:
    """SIGKILL of the driver at random moments, again and again; then it is left in peace."""
    scene, chance = Scene(folder, ["sleep:0.5"] * 3 * kills), random.Random(6)
    for count in range(kills):
        begun, run = scene.begun(), scene.submit()
        if count % 4:  # else also while it starts
            until(lambda begun=begun, run=run: scene.begun() > begun or run.poll() is not None, 60)
        until(lambda run=run: run.poll() is not None, chance.uniform(0.1, 4.0))
        run.kill()
        run.wait()
    scene.wait(scene.submit())
    return scene


def shard_damaged(folder: Path) -> Scene:
    """Shards rot on the disk after a run: one is cut short, one has a bit turned; they are made anew."""
    scene = Scene(folder, ["good"] * 4)
    scene.wait(scene.submit())
    first, second, *_ = sorted(scene.out.glob("*.h5"))
    first.write_bytes(first.read_bytes()[:-3000])
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    scene.wait(scene.submit())
    return scene


@contextlib.contextmanager
def started(system: slurm.Slurm) -> Iterator[slurm.Slurm]:
    """Slurm while the block runs; a machine on which it does not start cannot be broken in this way."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(system)
        except TimeoutError as error:
            raise Skip(str(error)) from None
        yield running


def slurm_controller_killed(folder: Path) -> Scene:
    """Slurm: its controller is killed in the middle of an array and started again; a node's task is killed."""
    if not slurm.available():
        raise Skip("no slurmctld, slurmd and munged here (apt-get install slurm-wlm munge)")
    scene = Scene(folder, ["sleep:3"] * 8)
    with started(slurm.Slurm()) as running:
        scene.environment |= running.environment
        run = scene.submit("--cluster", "slurm-array", "--workers", "2")
        until(lambda: scene.shards() >= 1, 120)
        running.kill_controller()
        time.sleep(3)
        running.start_controller()
        scene.wait(run)
    return scene


def slurm_workers(folder: Path) -> Scene:
    """Slurm: Dask workers as batch jobs; one is cancelled by the batch system in the middle of a job."""
    if not slurm.available():
        raise Skip("no slurmctld, slurmd and munged here (apt-get install slurm-wlm munge)")
    scene, keys = Scene(folder, ["sleep:3"] * 8), str(folder / "keys")
    with started(slurm.Slurm()) as running:
        scene.environment |= running.environment
        more = ("--workers", "2", "--certs", keys, "--memory", "1", "--address", "127.0.0.1")
        run = scene.submit("--cluster", "slurm", *more)
        until(lambda: scene.shards() >= 1, 120)
        running.cancel_one()
        scene.wait(run)
    return scene


def ssh_connection_killed(folder: Path) -> Scene:
    """Workers on two hosts over ssh; one's connection is killed in the middle of a job."""
    if not (namespaces.available() and namespaces.root() and Path("/usr/sbin/sshd").exists()):
        raise Skip("no network namespaces, or no sshd (apt-get install openssh-server)")
    scene = Scene(folder, ["sleep:2"] * 10)
    with namespaces.Hosts(3) as hosts, namespaces.SshServers(hosts, folder / "ssh", (1, 2)) as servers:
        scene.environment["PATH"] = f"{servers.bin}:{scene.environment['PATH']}"
        names = ("PYTHONPATH", "RAIMENT_FARM_WORKER", "DRILL_LEDGER", "DRILL_STORE", "RAIMENT_SCRATCH")
        python = servers.python({name: scene.environment[name] for name in names})
        keys = ("--certs", str(folder / "keys"), "--device", "cpu")
        named = ("--host", hosts.addresses[1], "--host", hosts.addresses[2], "--python", python)
        run = scene.submit("--cluster", "ssh", "--jobs", "1", *named, *keys, on=lambda c: hosts.on(0, c))
        until(lambda: scene.begun() >= 3, 90)
        servers.kill_connection()
        scene.wait(run)
    return scene


FAULTS: dict[str, Callable[[Path], Scene]] = {
    "bad-jobs": bad_jobs,
    "worker-killed": worker_killed,
    "scheduler-killed": scheduler_killed,
    "host-cut-off": host_cut_off,
    "ssh-connection-killed": ssh_connection_killed,
    "disk-full": disk_full,
    "folder-gone": folder_gone,
    "submitted-twice": submitted_twice,
    "driver-killed-x20": driver_killed,
    "shard-damaged": shard_damaged,
    "slurm-controller-killed": slurm_controller_killed,
    "slurm-worker-cancelled": slurm_workers,
}
SHORT: dict[str, Callable[[Path], Scene]] = {
    f"driver-killed-x{FEW_KILLS}": lambda folder: driver_killed(folder, FEW_KILLS),
    **{
        name: FAULTS[name]
        for name in (
            "bad-jobs",
            "worker-killed",
            "scheduler-killed",
            "host-cut-off",
            "disk-full",
            "folder-gone",
            "submitted-twice",
            "slurm-controller-killed",
        )
    },
}


def run_fault(name: str, base: Path) -> Verdict:
    """Run one fault in a fresh folder below `base`."""
    folder, clock = base / name, time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        verdict = (FAULTS | SHORT)[name](folder).judge(name)
    except (OSError, subprocess.SubprocessError) as error:  # of what breaks things, such as mount and ip
        verdict = Verdict(name, wrong=[f"the drill itself failed: {error}"])
    verdict.seconds = round(time.monotonic() - clock, 1)
    return verdict


COLUMNS = ("jobs", "lost", "corrupt", "duplicated", "orphans", "stale", "rerun", "seconds")


def tell(verdict: Verdict) -> Verdict:
    """Print it as a row of the table."""
    plain, said = asdict(verdict), "; ".join(verdict.wrong)
    print(f"{verdict.fault:26}" + "".join(f"{plain[c]:>11}" for c in COLUMNS) + f"  {said}", flush=True)  # noqa: T201
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="this fault; repeat")
    parser.add_argument("--short", action="store_true", help="fewer faults and kills: some minutes, for CI")
    parser.add_argument("--tries", type=int, default=1, help="so often a fault may be run until all is well after it")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / f"farm-drill-{os.getpid()}")
    arguments = parser.parse_args()
    verdicts, skipped, repeated = [], [], []
    print(f"{'fault':26}" + "".join(f"{name:>11}" for name in COLUMNS), flush=True)  # noqa: T201
    for name in arguments.only or (SHORT if arguments.short else FAULTS):
        try:
            verdict = tell(run_fault(name, arguments.folder))
            for _ in range(arguments.tries - 1):
                if not verdict.well:
                    repeated.append(name)
                    verdict = tell(run_fault(name, arguments.folder / "again"))
        except Skip as why:
            skipped.append(name)
            print(f"{name:26} left out: {why}", flush=True)  # noqa: T201
            continue
        verdicts.append(verdict)
    total = {key: sum(asdict(v)[key] for v in verdicts) for key in COLUMNS[:-1] if key != "stale"}
    well = all(verdict.well for verdict in verdicts)
    if well:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    more = {"skipped": skipped, "repeated": repeated, "well": well}
    print(json.dumps({"faults": len(verdicts), **total, **more}))  # noqa: T201
    return 0 if well else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    sys.exit(main())
