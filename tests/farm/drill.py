"""The failure drill: `python tests/farm/drill.py [--only NAME] [--folder DIR]`; about ten minutes.

Every fault runs a small plan with real shards through the command line, breaks something on the way, and then asks:
is every good job's shard there once and whole, are bad jobs in quarantine with their reason, does anything still run or
lie about, does a second submit do nothing? A table, then one line of JSON; exit status 1 unless all is well.
"""

import argparse
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import drill_kit
import namespaces
import slurm

from synth.spec import ClipSpec

log = logging.getLogger("drill")

KILLS = 20


class Skip(Exception):  # noqa: N818 - not an error
    """This machine cannot be broken in this way; says why."""


@dataclass(slots=True)
class Verdict:
    """What a fault left behind."""

    fault: str
    jobs: int = 0
    lost: int = 0
    corrupt: int = 0
    duplicated: int = 0
    orphans: int = 0
    rerun: int = 0
    stale: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """What else is not as it should be."""

    @property
    def well(self) -> bool:
        """Whether nothing was lost, spoilt or left behind."""
        return not (self.lost or self.corrupt or self.duplicated or self.orphans or self.stale or self.wrong)


class Scene:
    """A plan, its store and its ledger in a folder of their own.

    Args:
        folder: The folder.
        actions: What the jobs do.
        bad: Actions that end in quarantine, with a part of the reason.
    """

    def __init__(self, folder: Path, actions: list[str], bad: dict[str, str] | None = None) -> None:
        self.folder, self.out, self.ledger = folder, folder / "out", folder / "ledger"
        self.ledger.mkdir(parents=True)
        (folder / "scratch").mkdir()
        self.bad, self.plan = bad or {}, folder / "plan.jsonl"
        self.specs = drill_kit.make_plan(self.plan, actions)
        self.environment = drill_kit.environment(self.ledger, RAIMENT_SCRATCH=str(folder / "scratch"))
        self.environment["DRILL_STORE"] = str(self.out)
        self.wrong: list[str] = []
        self._said = 0

    def command(self, *arguments: str) -> list[str]:
        """A `synth farm` command."""
        return [sys.executable, "-m", "synth", "farm", *arguments]

    def start(self, *arguments: str, on: Callable[[list[str]], list[str]] = list) -> subprocess.Popen[bytes]:
        """Start one, with what it says in a file."""
        self._said += 1
        with (self.folder / f"said-{self._said}-{arguments[0]}").open("wb") as said:
            command = on(self.command(*arguments))
            return subprocess.Popen(command, stdout=said, stderr=said, env=self.environment, start_new_session=True)

    def submit(self, *more: str, on: Callable[[list[str]], list[str]] = list) -> subprocess.Popen[bytes]:
        """Start a submit."""
        options = ["--time-limit", "60", *more]
        if "--cluster" not in more:
            options += ["--jobs", "2"]
        return self.start("submit", str(self.plan), "--out", str(self.out), *options, on=on)

    def said(self, what: str) -> str:
        """All that the commands of a name have said."""
        return "".join(p.read_text(errors="replace") for p in sorted(self.folder.glob(f"said-*-{what}")))

    def wait(self, process: subprocess.Popen[bytes], status: int = 0, timeout: float = 400.0) -> None:
        """Wait for a command to end."""
        try:
            found = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            found = process.wait()
            self.wrong.append(f"did not end in {timeout:.0f} s")
        if found != status:
            self.wrong.append(f"status {found} instead of {status}")

    def begun(self) -> int:
        """Jobs begun so far."""
        return len([path for path in self.ledger.iterdir() if not path.name.startswith(("twice-", "once-"))])

    def shards(self) -> int:
        """Shards so far."""
        return len(list(self.out.glob("*.h5")))

    def is_good(self, spec: ClipSpec) -> bool:
        """Whether the job should end in a shard."""
        return spec.motion.names[0] not in self.bad

    def judge(self, fault: str) -> Verdict:
        """Look at what was left, submit again, collect."""
        verdict = Verdict(fault, jobs=len(self.specs), wrong=self.wrong)
        good = {spec.clip_id for spec in self.specs if self.is_good(spec)}
        until(lambda: not drill_kit.orphans(self.ledger), 5.0)
        verdict.orphans = len(drill_kit.orphans(self.ledger))
        begun = self.begun()
        verdict.rerun = begun - len(self.specs)
        again = self.submit()
        self.wait(again, 0, 120.0)
        last = (self.folder / f"said-{self._said}-submit").read_text(errors="replace")
        if self.begun() != begun or "nothing to do" not in last:
            verdict.wrong.append("the second submit did something")
        collected = self.start("collect", "--out", str(self.out))
        self.wait(collected, 1 if self.bad else 0, 120.0)
        sound = drill_kit.sound(self.out)
        verdict.lost = len(good - sound)
        verdict.corrupt = self.shards() - len(sound)
        verdict.duplicated = len(list(self.ledger.glob("twice-*")))  # made although the shard was there by then
        verdict.stale = len(drill_kit.leftovers(self.out)) + len(list((self.folder / "scratch").iterdir()))
        listed = subprocess.run(
            self.command("quarantine", "--out", str(self.out)), capture_output=True, text=True, env=self.environment
        ).stdout
        for spec in self.specs:
            reason = self.bad.get(spec.motion.names[0])
            line = next((text for text in listed.splitlines() if text.startswith(spec.clip_id)), "")
            if (reason is None) != (not line) or (reason or "") not in line:
                verdict.wrong.append(f"quarantine of {spec.motion.names[0]}: {line or 'not there'}")
        return verdict


def until(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def parent_of(pid: int) -> int:
    """A process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


SLOW = ["sleep:1.5"] * 6


def bad_jobs(folder: Path) -> Scene:
    """A job that crashes, one that hangs, one that eats memory, among good ones."""
    bad = {"segv": "SIGSEGV", "memory:3": "GiB of memory", "sleep:600": "ran longer than its 15 s"}
    scene = Scene(folder, ["good", "segv", "good", "memory:3", "good", "sleep:600", "once:x", "good"], bad)
    run = scene.submit("--memory", "1", "--time-limit", "15")
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


@contextlib.contextmanager
def services(scene: Scene) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts schedulers and workers, and ends them all at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, on: Callable[[list[str]], list[str]] = list) -> subprocess.Popen[bytes]:
        started.append(scene.start(*arguments, on=on))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                scene.wrong.append("a service did not end when it was told to")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def driver_killed(folder: Path) -> Scene:
    """SIGKILL of the driver at random moments, twenty times; then it is left in peace."""
    scene, chance = Scene(folder, ["sleep:0.5"] * 60), random.Random(6)
    for count in range(KILLS):
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


def slurm_controller_killed(folder: Path) -> Scene:
    """Slurm: its controller is killed in the middle of an array and started again; a node's task is killed."""
    if not slurm.available():
        raise Skip("no slurmctld, slurmd and munged here (apt-get install slurm-wlm munge)")
    scene = Scene(folder, ["sleep:3"] * 8)
    with slurm.Slurm() as running:
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
    with slurm.Slurm() as running:
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


def run_fault(name: str, base: Path) -> Verdict:
    """Run one fault in a fresh folder below `base`."""
    folder, clock = base / name, time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scene = FAULTS[name](folder)
    verdict = scene.judge(name)
    verdict.seconds = round(time.monotonic() - clock, 1)
    return verdict


COLUMNS = ("jobs", "lost", "corrupt", "duplicated", "orphans", "stale", "rerun", "seconds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="this fault; repeat")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / f"farm-drill-{os.getpid()}")
    arguments = parser.parse_args()
    verdicts, skipped = [], []
    print(f"{'fault':26}" + "".join(f"{name:>11}" for name in COLUMNS), flush=True)  # noqa: T201
    for name in arguments.only or FAULTS:
        try:
            verdict = run_fault(name, arguments.folder)
        except Skip as why:
            skipped.append(name)
            print(f"{name:26} left out: {why}", flush=True)  # noqa: T201
            continue
        verdicts.append(verdict)
        plain = asdict(verdict)
        said = "; ".join(verdict.wrong)
        print(f"{name:26}" + "".join(f"{plain[c]:>11}" for c in COLUMNS) + f"  {said}", flush=True)  # noqa: T201
    total = {key: sum(asdict(v)[key] for v in verdicts) for key in COLUMNS[:-1] if key != "stale"}
    well = all(verdict.well for verdict in verdicts)
    if well:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    print(json.dumps({"faults": len(verdicts), **total, "skipped": skipped, "well": well}))  # noqa: T201
    return 0 if well else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    sys.exit(main())
