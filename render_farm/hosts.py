"""Workers on other hosts, started over ssh: a scheduler here, `synth farm worker` there, TLS between them.

A worker ends when its ssh connection does, so nothing is left behind on a host.
"""

import contextlib
import io
import logging
import shlex
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import Scheduler, SpecCluster

from render_farm import certificates
from render_farm.cluster import Farm, own_address, page, security
from synth.errors import SynthError

__all__ = ["over_ssh", "remote_command"]

log = logging.getLogger(__name__)

FOLDER = ".raiment/farm-keys"
"""Where the keys go on a host, below the home folder."""


class SshWorkers:
    """A scheduler in this process and its workers' ssh connections."""

    def __init__(self, hosts: Sequence[str], address: str, keys: Path, command: str, ssh: Sequence[str]) -> None:
        options = {"host": address, "port": 0, "protocol": "tls", "security": security(keys), **page()}
        self.cluster = SpecCluster(
            scheduler={"cls": Scheduler, "options": options}, workers={}, security=security(keys), silence_logs=False
        )
        told = command.format(address=self.cluster.scheduler_address)
        self._calls = {host: [*ssh, host, told] for host in hosts}
        self._archive = packed(keys)
        self._connections = {host: self._connect(host) for host in hosts}
        self._closed = threading.Event()
        self._tender = threading.Thread(target=self._tend, daemon=True)
        self._tender.start()

    def _connect(self, host: str) -> subprocess.Popen[bytes]:
        connection = subprocess.Popen(self._calls[host], stdin=subprocess.PIPE, start_new_session=True)
        assert connection.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a refused connection shows by its end
            connection.stdin.write(self._archive)
            connection.stdin.flush()  # and stays open: the worker ends when it is closed
        return connection

    def _tend(self) -> None:
        """Connect again to a host whose connection has ended."""
        while not self._closed.wait(5.0):
            for host, connection in self._connections.items():
                if connection.poll() is not None:
                    log.warning("%s: the ssh connection ended with status %d; made again", host, connection.returncode)
                    self._connections[host] = self._connect(host)

    @property
    def scheduler_address(self) -> str:
        """Where a client connects."""
        return str(self.cluster.scheduler_address)

    def close(self, timeout: float = 20.0) -> None:
        """End the workers, then the scheduler."""
        self._closed.set()
        self._tender.join()
        for connection in self._connections.values():
            assert connection.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                connection.stdin.close()
        for connection in self._connections.values():
            try:
                connection.wait(timeout)
            except subprocess.TimeoutExpired:
                connection.kill()
                connection.wait()
        self.cluster.close(timeout=timeout)


def over_ssh(device: str, options: dict[str, Any]) -> Farm:
    """Hosts that this user can log in to without a password.

    Args:
        device: "cpu": graphics cards are not used.
        options: `hosts`, `jobs` (slots a host), `python`, `certs`, `address`, as `synth farm submit` names them.

    Raises:
        SynthError: no host is named, or there is no ssh.
    """
    hosts = options.get("hosts") or ()
    if not hosts:
        raise SynthError("--cluster ssh: no hosts", "Name them: --host node1 --host node2")
    if shutil.which("ssh") is None:
        raise SynthError("--cluster ssh: no ssh on this machine", "Install an ssh client, or use tls://HOST:PORT")
    keys = options.get("certs") or certificates.usual()
    certificates.make(keys)
    address = options.get("address") or _towards(hosts[0])
    command = remote_command(options.get("python") or "python3", options.get("jobs") or 1, device)

    def start() -> SshWorkers:
        return SshWorkers(hosts, address, keys, command, ("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15"))

    return Farm("ssh", start, security(keys))


def _towards(host: str) -> str:
    try:
        return own_address(host.rpartition("@")[2])
    except OSError as error:
        raise SynthError(f"--host {host}: {error.strerror or error}", "Name hosts that this one can reach") from None


def remote_command(python: str, jobs: int, device: str) -> str:
    """What a host is told: take the keys from standard input, then work until it is closed."""
    worker = [python, "-m", "synth", "farm", "worker", "ADDRESS", "--certs", FOLDER, "--jobs", str(jobs)]
    called = shlex.join([*worker, "--device", device, "--until-eof"]).replace("ADDRESS", "{address}")
    return f"umask 077; mkdir -p {FOLDER} && head -c {{size}} | tar -xC {FOLDER} && exec {called}".replace(
        "{size}", str(ARCHIVE)
    )


ARCHIVE = 20480
"""Bytes of the packed keys, so that the other side knows where they end."""


def packed(keys: Path) -> bytes:
    """The keys as a tar archive of exactly `ARCHIVE` bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in certificates.paths(keys):
            archive.add(path, path.name)
    return stream.getvalue().ljust(ARCHIVE, b"\0")
