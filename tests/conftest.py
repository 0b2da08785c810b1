"""What several test packages share: the command line run as a user runs it, and a small folder of real shards."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

SMALL = ["--frames", "4", "--views", "2", "--width", "96", "--height", "96", "--samples", "2"]
"""Settings that make a clip in seconds; everything else is as shipped."""

# The same examples in every run: a new one that fails is looked for on purpose, not met by chance.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

Command = Callable[..., subprocess.CompletedProcess[str]]


def run_command(*arguments: str, cwd: Path | None = None, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    """Run `synth` or `train` in a process of its own."""
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=timeout, env=environment, check=False
    )


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, one original and one interpolated, made by the command line as a user would make them."""
    out = tmp_path_factory.mktemp("run") / "shards"
    done = run_command("synth", "render", *SMALL, "--clips", "2", "--jobs", "2", "--device", "cpu", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out
