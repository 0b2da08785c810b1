"""Three hosts on this machine: network namespaces with addresses of their own, joined by a bridge in a fourth.

They share this machine's disk, as hosts share a network file system. `cut` pulls a host's cable, `heal` puts it back.
"""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def available() -> bool:
    """Whether this machine lets us make namespaces."""
    try:
        with Hosts(1) as hosts:
            subprocess.run(hosts.on(0, ["true"]), check=True, capture_output=True)
            hosts.cut(0)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Hosts:
    """A context manager: the hosts are there while it is open.

    Args:
        count: How many.
    """

    def __init__(self, count: int = 3) -> None:
        run = uuid.uuid4().hex[:4]
        self.names = [f"rf{run}-{index}" for index in range(count)]
        self.addresses = [f"10.77.0.{index + 1}" for index in range(count)]
        self._switch = f"rf{run}-switch"

    def __enter__(self) -> "Hosts":
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "br0", "up")
            for index, (name, address) in enumerate(zip(self.names, self.addresses, strict=True)):
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
                _ip(
                    "-n",
                    name,
                    "link",
                    "add",
                    "eth0",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    f"p{index}",
                    "netns",
                    self._switch,
                )
                _ip("-n", self._switch, "link", "set", f"p{index}", "master", "br0", "up")
                _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", name, "link", "set", "eth0", "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for name in [*self.names, self._switch]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def on(self, index: int, command: Sequence[str]) -> list[str]:
        """A command as it is run on a host."""
        return ["ip", "netns", "exec", self.names[index], *command]

    def cut(self, index: int) -> None:
        """Pull the host's cable."""
        _ip("-n", self.names[index], "link", "set", "eth0", "down")

    def heal(self, index: int) -> None:
        """Put it back."""
        _ip("-n", self.names[index], "link", "set", "eth0", "up")


def root() -> bool:
    """Whether we may mount and rename hosts."""
    return os.geteuid() == 0


class SshServers:
    """A context manager: sshd on some hosts, and an `ssh` in `bin` that logs in to them.

    Args:
        hosts: The hosts.
        folder: For keys and logs.
        indices: Which of them.
    """

    def __init__(self, hosts: Hosts, folder: Path, indices: Sequence[int]) -> None:
        self._hosts, self._folder, self._indices = hosts, folder, indices
        self.bin = folder / "bin"
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "SshServers":
        self.bin.mkdir(parents=True)
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
        for name in ("user", "host"):
            call = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)]
            subprocess.run(call, check=True)
        options = [f"AuthorizedKeysFile={self._folder}/user.pub", "StrictModes=no", "PidFile=none", "UsePAM=no"]
        for index in self._indices:
            call = ["/usr/sbin/sshd", "-D", "-e", "-h", str(self._folder / "host"), "-o", "PermitRootLogin=yes"]
            with (self._folder / f"sshd-{index}").open("wb") as said:
                command = self._hosts.on(index, [*call, *(word for option in options for word in ("-o", option))])
                self._servers.append(subprocess.Popen(command, stderr=said))
        real, known = shutil.which("ssh"), "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        self._script(self.bin / "ssh", f"exec {real} -i {self._folder}/user {known} -o LogLevel=ERROR")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.terminate()
            server.wait(20)

    def python(self, variables: dict[str, str]) -> str:
        """A Python with these variables set."""
        exports = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
        self._script(self._folder / "python", f"{exports}exec {sys.executable}")
        return str(self._folder / "python")

    def kill_connection(self) -> None:
        """SIGKILL of one ssh client."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            ours = f"{self._folder}/user".encode() in command
            if ours and command.partition(b"\0")[0].endswith(b"ssh"):
                os.kill(int(folder.name), signal.SIGKILL)
                return

    @staticmethod
    def _script(path: Path, command: str) -> None:
        path.write_text(f'#!/bin/sh\n{command} "$@"\n')
        path.chmod(0o755)
