"""A real Slurm on this machine, without systemd: munged, slurmctld and slurmd, with one node of two cores."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

_CONF = """
ClusterName=drill
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={port}
SlurmdPort={port_d}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_min_interval=200000,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def available() -> bool:
    """Whether Slurm's programs are there and may be started."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged", "sbatch"))


class Slurm:
    """A context manager: Slurm runs while it is open."""

    def __init__(self) -> None:
        self._folder = Path("/tmp") / f"drill-slurm-{os.getpid()}"  # munge wants every folder above it well guarded
        self._conf = self._folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self._conf)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Slurm":
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in (".", "state", "spool"):
            (self._folder / name).mkdir(mode=0o755)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 512
        host = socket.gethostname().split(".")[0]
        ports = {"port": _free(), "port_d": _free()}
        self._conf.write_text(_CONF.format(host=host, folder=self._folder, memory=memory, **ports))
        key = self._folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        try:
            files = [f"--{n}={self._folder}/munge.{e}" for n, e in (("key-file", "key"), ("socket", "socket"))]
            files += [f"--{n}={self._folder}/munge.{e}" for n, e in (("pid-file", "pid"), ("log-file", "log"))]
            files += [f"--seed-file={self._folder}/munge.seed", "--foreground", "--force"]
            self._start("munged", *files)
            _wait((self._folder / "munge.socket").exists)
            self.start_controller()
            self._start("slurmd", "-D", "-N", host)
            _wait(lambda: "idle" in self._ask("sinfo", "-h", "-o", "%t"))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask("scancel", "-u", "root")
        time.sleep(2)
        self._stop()

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._start("slurmctld", "-D")

    def kill_controller(self) -> None:
        """SIGKILL of slurmctld."""
        process = self._running.pop("slurmctld")
        process.kill()
        process.wait()

    def cancel_one(self) -> None:
        """Cancel the oldest running job."""
        jobs = self._ask("squeue", "-h", "-t", "R", "-o", "%i").split()
        if jobs:
            self._ask("scancel", sorted(jobs)[0])

    def _ask(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.environment}, check=False, timeout=60
        )
        return done.stdout

    def _start(self, name: str, *arguments: str) -> None:
        with (self._folder / f"{name}.out").open("ab") as said:
            self._running[name] = subprocess.Popen(
                [name, *arguments], stdout=said, stderr=said, env={**os.environ, **self.environment}
            )

    def _stop(self) -> None:
        for process in reversed(self._running.values()):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(condition: object, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("Slurm did not start")
        time.sleep(0.1)
