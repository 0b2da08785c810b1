"""A kubectl whose cluster is this machine: each pod's command runs here as a process, with keys and address put right.

State lies in the folder PRETEND_CLUSTER: `calls`, the keys, process numbers, the exit status of jobs.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(os.environ["PRETEND_CLUSTER"])


def apply(items: list[dict]) -> None:
    keys, port = HERE / "keys", free_port()
    keys.mkdir(exist_ok=True)
    for item in items:
        if item["kind"] == "Secret":
            for name, text in item["stringData"].items():
                (keys / name).write_text(text)
                (keys / name).chmod(0o600)
        if item["kind"] in ("Deployment", "Job"):
            pod = item["spec"]["template"]["spec"]["containers"][0]
            run(item["metadata"]["name"], [put_right(word, keys, port) for word in pod["command"]])


def put_right(word: str, keys: Path, port: int) -> str:
    if word.startswith("tls://raiment-"):
        return f"tls://127.0.0.1:{port}"
    return {"/keys": str(keys), "0.0.0.0": "127.0.0.1", "8786": str(port), "python": sys.executable}.get(word, word)


def run(name: str, command: list[str]) -> None:
    script = f'"$@" 2> {HERE}/{name}.said; echo $? > {HERE}/{name}.ended'
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["sh", "-c", script, "sh", *command], start_new_session=True, **nowhere)
    (HERE / f"{name}.pid").write_text(str(process.pid))


def get_job(name: str) -> str:
    if not (HERE / f"{name}.pid").exists():
        return ""
    ended = HERE / f"{name}.ended"
    status = ended.read_text().strip() if ended.exists() else ""
    conditions = [{"type": "Complete" if status == "0" else "Failed", "status": "True"}] if status else []
    return json.dumps({"status": {"conditions": conditions}})


def delete() -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for path in HERE.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(path.read_text()), number)
        deadline = time.monotonic() + 30
        while number == signal.SIGTERM and time.monotonic() < deadline and any(map(alive, HERE.glob("*.pid"))):
            time.sleep(0.1)


def alive(path: Path) -> bool:
    try:
        os.killpg(int(path.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    words = sys.argv[1:]
    with (HERE / "calls").open("a") as file:
        file.write(" ".join(words) + "\n")
    if "apply" in words:
        apply(json.load(sys.stdin)["items"])
    elif "get" in words:
        sys.stdout.write(get_job(words[words.index("job") + 1]))
    elif "delete" in words and "-f" in words:
        delete()
