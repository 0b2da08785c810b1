"""The main job as a user runs it: from the command line, with everything as shipped except the size."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SMALL, run_command

pytestmark = [pytest.mark.blender, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "synth", "render", *SMALL, "--clips", "2", "--jobs", "2", "--device", "cpu", "--out"]


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if ".part" in path.name or path.parent.parent.name == "frames"]


def test_what_the_command_makes_is_verified(small_shards: Path) -> None:
    done = run_command("synth", "verify", str(small_shards), "--json")
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["ok"]
    assert report["shards"] == 2
    assert report["reprojection_px"] <= 0.05
    assert report["flow_px"] <= 0.1
    assert report["depth_mm"] <= 1.0
    assert not leftovers(small_shards)


def test_the_same_command_again_makes_nothing(small_shards: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small_shards.glob("*.h5")}
    done = run_command(*COMMAND[2:], str(small_shards))
    assert done.returncode == 0, done.stderr
    assert "2 kept" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in small_shards.glob("*.h5")} == before


def test_interrupted_resumed_without_torch_and_equal_to_the_byte(small_shards: Path, tmp_path: Path) -> None:
    # catches lost or doubled frames, randomness outside the seed, a worker that needs torch, orphans
    out, blocker = tmp_path / "shards", tmp_path / "blocker"
    blocker.mkdir()
    for name in ("torch", "smplx"):
        (blocker / f"{name}.py").write_text("raise ImportError('a render worker imported this')\n")
    environment = {**os.environ, "PYTHONPATH": str(blocker)}
    process = subprocess.Popen(
        [*COMMAND, str(out)], env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts
    )
    longest = max(small_shards.glob("*.h5"), key=lambda path: path.stat().st_size).stem  # still busy when it is stopped
    _wait_for(lambda: len(list(out.glob(f".cache/frames/{longest}/*.h5"))) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted" in said
    assert said.count("Rendering on cpu (CPU)\n") == 1
    assert not _workers(out)
    kept = {path: path.stat().st_mtime_ns for path in out.glob(".cache/frames/*/*.h5")}
    assert kept
    done = subprocess.run([*COMMAND, str(out)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert shards(out) == shards(small_shards)
    assert not leftovers(out)


def test_a_killed_worker_costs_nothing_but_time(small_shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    process = subprocess.Popen([*COMMAND, str(out)], stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: len(list(out.glob(".cache/frames/*/*.h5"))) >= 1, process)
    for pid in _workers(out)[:1]:
        os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert shards(out) == shards(small_shards)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    # a limit on the size of files stands for a full disk: the same failing write, without needing a small disk
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))

    out = tmp_path / "shards"
    command = [*COMMAND, str(out), "--garment", "none"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not list(out.glob("*.h5"))
    assert not list(out.glob("*.part.*"))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--sequences", "cmu:99_99"], "99_99"),
        (["--sequences", "/no/such/folder"], "/no/such/folder"),
        (["--hdris", "/no/such/folder"], "/no/such/folder"),
        (["--views", "0"], "scene.views"),
        (["--solver", "magic"], "magic"),
        (["--device", "optix"], "optix"),
        (["--garment", "toga"], "toga"),
        (["--body", "/no/such/body"], "/no/such/body"),
        (["--betas", "BETAS"], "betas"),
        (["--config", "/no/such.toml"], "/no/such.toml"),
        (["--out", "/proc/none"], "/proc/none"),
    ],
)
def test_a_mistake_is_one_clear_line(flags: list[str], named: str, tmp_path: Path) -> None:
    betas = tmp_path / "betas.txt"
    betas.write_text("0 1 2\n")
    flags = [str(betas) if flag == "BETAS" else flag for flag in flags]
    out = [] if "--out" in flags else ["--out", str(tmp_path / "shards")]
    done = run_command("synth", "render", *SMALL, "--clips", "1", "--garment", "none", *out, *flags)
    assert done.returncode == 2, done.stdout + done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("shards/*.h5"))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    # Blender itself would render black or magenta without a word
    folder = tmp_path / "hdris"
    folder.mkdir()
    (folder / "broken.exr").write_bytes(b"not an image")
    out = tmp_path / "shards"
    done = run_command(
        "synth", "render", *SMALL, "--clips", "1", "--garment", "none", "--hdris", str(folder), "--out", str(out)
    )
    assert done.returncode == 2
    assert "broken.exr" in done.stderr
    assert not list(out.glob("*.h5"))


def _heed_interrupts() -> None:
    """A shell lets its background jobs ignore Ctrl-C, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_for(condition, process: subprocess.Popen[str], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _workers(out: Path) -> list[int]:
    """Processes of jobs that write to this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"synth.worker" in words and str(out).encode() in words:
            found.append(int(entry.name))
    return found
