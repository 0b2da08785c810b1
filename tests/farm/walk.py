"""The walk of a new user: `python tests/farm/walk.py` does what docs/farm.md says under "Several hosts", word by word.

Two hosts (network namespaces with names and folders of their own, one shared disk), a fresh virtual environment with
`pip install` of this checkout, then the commands as the page has them; only the address, the store's folder and where
pip finds the package are put in. Needs root and packages to install. Ends with a line of JSON; status 1 unless every
clip is there and whole, and both hosts had a part in it.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import drill_kit
import namespaces

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "farm.md"


def commands(page: str) -> list[list[str]]:
    """The `synth farm` commands of the section, up to the first `collect`, without what is said beside them."""
    section = page.split("\n## Several hosts\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```text\n(.*?)```", section, re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("synth farm")]
    found = [re.split(r"\s{3,}", line)[0].split() for line in lines]
    names = [words[2] for words in found]
    return found[: names.index("collect") + 1]


class Walk:
    """Two hosts and what runs on them.

    Args:
        folder: For everything.
        hosts: The namespaces.
    """

    def __init__(self, folder: Path, hosts: namespaces.Hosts) -> None:
        self.folder, self.hosts, self.store = folder, hosts, folder / "nfs" / "shards"
        self.homes = [folder / f"node{index}" for index in range(2)]
        self.started: list[subprocess.Popen[bytes]] = []
        for home in (*self.homes, self.store.parent):
            home.mkdir(parents=True)

    def install(self) -> float:
        """Python's own tools, as the page says; seconds."""
        clock, venv = time.monotonic(), self.folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", f"{ROOT}[farm]"], check=True)
        return time.monotonic() - clock

    def start(self, index: int, words: Sequence[str]) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a command of the page on a host, with what it says in a file."""
        put = {"10.0.0.1": self.hosts.addresses[0], "/nfs/shards": str(self.store)}
        text = " ".join(words)
        for old, new in put.items():
            text = text.replace(old, new)
        print(f"node{index}$ {text}", flush=True)  # noqa: T201
        called = f"hostname node{index} && cd {self.homes[index]} && exec {self.folder}/venv/bin/{text}"
        said = self.folder / f"said-{len(list(self.folder.glob('said-*')))}-{words[2]}-{index}"
        with said.open("wb") as file:
            command = self.hosts.on(index, ["unshare", "--uts", "env", f"HOME={self.homes[index]}", "sh", "-c", called])
            self.started.append(subprocess.Popen(command, stdout=file, stderr=file))
        return self.started[-1], said

    def run(self, index: int, words: Sequence[str]) -> None:
        """Run a command to its end.

        Raises:
            RuntimeError: it fails.
        """
        process, said = self.start(index, words)
        if process.wait(3600):
            raise RuntimeError(f"status {process.returncode}: {said.read_text(errors='replace')[-2000:]}")
        print(said.read_text(errors="replace").strip().splitlines()[-1], flush=True)  # noqa: T201

    def serve(self, index: int, words: Sequence[str], ready: str) -> None:
        """Start a command that stays, and wait until it says that it is ready.

        Raises:
            RuntimeError: it does not.
        """
        process, said = self.start(index, words)
        deadline = time.monotonic() + 300
        while ready not in said.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{words[2]}: {said.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def follow(self, page: list[list[str]]) -> None:
        """Do what the page says, in its order."""
        for words in page:
            if words[2] == "scheduler":
                shutil.copytree(self.homes[0] / "keys", self.homes[1] / "keys")  # "copy the folder to every host"
                self.serve(0, words, "scheduler at")
            elif words[2] == "worker":
                for index in (0, 1):
                    self.serve(index, words, "slots offered")
            elif words[2] == "submit":
                shutil.copy(self.homes[0] / "plan.jsonl", self.homes[1])
                self.run(1, words)  # "from anywhere with the keys"
            else:
                self.run(0, words)

    def close(self) -> None:
        """End what still runs."""
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            process.wait(120)

    def by_host(self) -> dict[str, int]:
        """How many jobs each host began."""
        texts = [log.read_text(errors="replace") for log in (self.store / "logs").glob("*.log")]
        return dict(Counter(name for text in texts for name in re.findall(r"--- attempt: \S+ on (\S+),", text)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    page = commands(PAGE.read_text(encoding="utf-8"))
    clips = int(page[0][page[0].index("--clips") + 1])
    with tempfile.TemporaryDirectory(prefix="farm-walk-") as folder, namespaces.Hosts(2) as hosts:
        walk = Walk(Path(folder), hosts)
        installed, clock = walk.install(), time.monotonic()
        try:
            walk.follow(page)
        finally:
            walk.close()
        sound = len(drill_kit.sound(walk.store))
        found = {"clips": clips, "sound": sound, "begun_by_host": walk.by_host()}
        well = sound == clips and len(walk.by_host()) == 2 and not drill_kit.leftovers(walk.store)
        seconds = {"install_s": round(installed, 1), "run_s": round(time.monotonic() - clock, 1)}
    print(json.dumps(found | seconds | {"well": well}))  # noqa: T201
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
