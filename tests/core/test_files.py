import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from synth.files import replacing, sweep, temporary, write_text
from synth.rng import generator


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_what_a_killed_process_was_writing_is_swept_and_nothing_else(tmp_path: Path) -> None:
    # catches a sweep that takes a living process's file away, or leaves a dead one's
    script = "import os, sys; from pathlib import Path; from synth.files import temporary; "
    script += "temporary(Path(sys.argv[1])).touch(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "deep" / "dead.h5")], check=False)
    assert not list(tmp_path.iterdir())  # a folder that is not there is not made
    (tmp_path / "deep").mkdir()
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "deep" / "dead.h5")], check=False)
    mine, foreign = temporary(tmp_path / "mine.h5"), tmp_path / "other.h5.part.00000000-1-00000000"
    old, whole = tmp_path / "old.h5.part.00000000-1-00000001", tmp_path / "whole.h5"
    for path in (mine, foreign, old, whole):
        path.touch()
    os.utime(old, (time.time() - 1e6,) * 2)
    (dead,) = (tmp_path / "deep").iterdir()
    assert sweep(tmp_path) == [dead, old]
    assert mine.exists()
    assert foreign.exists()
    assert whole.exists()


def test_streams_of_different_purposes_are_independent_and_repeatable() -> None:
    first = generator(1, 0, "betas").normal(size=4)
    np.testing.assert_array_equal(first, generator(1, 0, "betas").normal(size=4))
    for other in (generator(1, 0, "scene"), generator(1, 1, "betas"), generator(2, 0, "betas")):
        assert not np.array_equal(first, other.normal(size=4))


def test_the_stream_is_the_same_on_every_machine() -> None:
    # a golden value: catches a change of the hash, the bit generator or the byte order
    assert generator(0, "golden").integers(0, 2**32, 3).tolist() == [2393431636, 3429282808, 1109635092]
