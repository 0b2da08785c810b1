"""Who does the jobs: this machine, a scheduler at an address, hosts over ssh, a batch system. All end in a Dask client.

Nothing listens beyond this machine without TLS, and the dashboard listens on this machine only, unless asked.
"""

import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask import config as dask_config
from distributed import Client, Nanny, Scheduler, Security, SpecCluster

from render_farm import certificates
from synth.errors import SynthError

__all__ = ["Farm", "configure", "gpus", "open_farm", "own_address", "secured", "security"]

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # the driver counts and decides, not the scheduler
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.comm.timeouts.connect": "30s",
    "distributed.comm.timeouts.tcp": "30s",  # below 15 s nannies do not start
    "distributed.admin.low-level-log-length": 10,  # otherwise the last 1,000 messages, specs and all, are kept
    "distributed.worker.memory.target": False,  # jobs are processes of their own, with limits of their own
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.client.heartbeat": "5s",
    # jobs want the cores: with Dask's own rates an idle farm of two slots takes 9 % of one, with these 1 %
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "logging": {"distributed": "error", "distributed.nanny": "critical"},
}


def configure(**more: Any) -> None:
    """Set Dask up for the farm, in this process and those that it starts. Import this module before."""
    dask_config.set(SETTINGS | more)
    for name, level in SETTINGS["logging"].items():
        logging.getLogger(name).setLevel(level.upper())
    for name, value in (SETTINGS | more).items():
        os.environ["DASK_" + name.upper().replace("-", "_").replace(".", "__")] = str(value)


def gpus() -> list[str]:
    """The graphics cards of this machine, as CUDA_VISIBLE_DEVICES takes them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    done = subprocess.run([command, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, check=False)
    return done.stdout.decode().split() if done.returncode == 0 else []


def page(dashboard: bool = False) -> dict[str, Any]:
    """Options for a scheduler's or worker's pages: on this machine only, at a free port unless asked for."""
    return {"dashboard": dashboard, "dashboard_address": f"127.0.0.1:{8787 if dashboard else 0}"}


def slots(jobs: int, device: str) -> list[dict[str, Any]]:
    """Options of one nanny for each slot of this machine: a CPU's share, or a whole graphics card."""
    cards = gpus() if device != "cpu" else []
    cpu = [{"nthreads": 1, "memory_limit": 0, "resources": {"CPU": 1}} for _ in range(jobs)]
    gpu = [
        {"nthreads": 1, "memory_limit": 0, "resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": card}}
        for card in cards
    ]
    return [*gpu, *cpu]


def security(folder: Path | None) -> Security:
    """Dask's TLS from a folder of keys; without one, no encryption (for this machine only)."""
    if folder is None:
        return Security(require_encryption=False)
    authority, certificate, key = (str(path) for path in certificates.paths(folder))
    roles = {
        f"tls_{role}_{kind}": value
        for role in ("client", "scheduler", "worker")
        for kind, value in (("cert", certificate), ("key", key))
    }
    return Security(tls_ca_file=authority, require_encryption=True, **roles)


@dataclass(slots=True)
class Farm:
    """A cluster that can be connected to again and again."""

    name: str
    _start: Callable[[], Any]
    """Starts or finds the scheduler: something `Client` takes."""
    _security: Security
    _cluster: Any = None

    def connect(self, timeout: float = 30.0) -> Client:
        """Connect; a cluster of our own is started the first time.

        Raises:
            OSError: nobody answers.
        """
        if self._cluster is None:
            self._cluster = self._start()
        target = getattr(self._cluster, "scheduler_address", self._cluster)
        return Client(target, security=self._security, timeout=timeout, set_as_default=False)

    def close(self) -> None:
        """End a cluster of our own, and what it works on."""
        if self._cluster is not None and not isinstance(self._cluster, str):
            self._cluster.close(timeout=20)
        self._cluster = None


def local(jobs: int, device: str, dashboard: bool = False) -> Farm:
    """This machine: a scheduler in this process, one worker process a slot."""

    def start() -> SpecCluster:
        nanny = {"host": "127.0.0.1", **page()}
        return SpecCluster(
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, **page(dashboard)}},
            workers={
                index: {"cls": Nanny, "options": nanny | options} for index, options in enumerate(slots(jobs, device))
            },
            silence_logs=False,
        )

    return Farm("local", start, Security(require_encryption=False))


def at(address: str, keys: Path | None) -> Farm:
    """A scheduler that runs already.

    Raises:
        SynthError: it is to be spoken to in TLS, and there are no keys.
    """
    address, keys = secured(address, keys)
    return Farm(address, lambda: address, security(keys))


def secured(address: str, keys: Path | None) -> tuple[str, Path | None]:
    """An address and its keys: TLS for other machines, also if it says tcp, with this user's keys unless named."""
    rest = address.partition("://")[2]
    if address.startswith("tcp://") and rest.rpartition(":")[0] in LOOPBACK:
        return address, None
    return f"tls://{rest}", keys or certificates.usual()


def own_address(host: str) -> str:
    """The address from which this machine reaches a host.

    Raises:
        OSError: it does not reach it, or the name is unknown.
    """
    family, kind, _, _, target = socket.getaddrinfo(host.strip("[]"), 22, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(target)  # sends nothing
        return str(probe.getsockname()[0])


def open_farm(name: str, device: str, options: dict[str, Any]) -> Farm:
    """The cluster that `--cluster` names.

    Raises:
        SynthError: the name is unknown, or something that it needs is missing.
    """
    if name == "local":
        return local(options.get("jobs") or os.cpu_count() or 1, device, bool(options.get("dashboard")))
    if name.startswith(("tcp://", "tls://")):
        return at(name, options.get("certs"))
    if name == "ssh":
        from render_farm.hosts import over_ssh

        return over_ssh(device, options)
    from render_farm.batch import SYSTEMS, batch

    if name in SYSTEMS:
        return batch(name, device, options)
    hint = "Known: local, tls://HOST:PORT, ssh, k8s, slurm, slurm-array, pbs, htcondor, sge, lsf"
    raise SynthError(f"--cluster {name}: unknown", hint)
