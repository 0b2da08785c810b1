"""At which addresses processes listen, as the kernel says."""

import re
from pathlib import Path


def addresses(pid: int) -> set[str]:
    """Addresses (without ports) at which a process and those that it started listen, "127.0.0.1" and the like."""
    sockets = {inode for one in _family(pid) for inode in _inodes(one)}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:  # LISTEN
                found.add(_readable(words[1].partition(":")[0]))
    return found


def _family(pid: int) -> list[int]:
    children = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    family = [pid]
    for one in family:  # grows meanwhile
        family += children.get(one, [])
    return family


def _inodes(pid: int) -> list[str]:
    found = []
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            found += re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink()))
    except OSError:
        pass
    return found


def _readable(text: str) -> str:
    if len(text) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(text)))
    return "::1" if text == "00000000000000000000000001000000" else text
