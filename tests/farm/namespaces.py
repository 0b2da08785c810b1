"""Three hosts on this machine: network namespaces with addresses of their own, joined by a bridge in a fourth.

They share this machine's disk, as hosts share a network file system. `cut` pulls a host's cable, `heal` puts it back.
"""

import os
import subprocess
import uuid
from collections.abc import Sequence
from types import TracebackType


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def available() -> bool:
    """Whether this machine lets us make namespaces."""
    name = f"rf-{uuid.uuid4().hex[:6]}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
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
