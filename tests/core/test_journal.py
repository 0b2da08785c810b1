from dataclasses import fields
from pathlib import Path

import numpy as np

from synth.journal import Journal
from synth.types import Passes


def make_passes(seed: int = 0) -> Passes:
    rng = np.random.default_rng(seed)
    size = (25, 30)
    return Passes(
        rgb=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        alpha=rng.random(size, dtype=np.float32),
        depth=rng.random(size, dtype=np.float32),
        normal=rng.random((*size, 3), dtype=np.float32),
        flow=rng.random((*size, 2), dtype=np.float32),
        parts=rng.integers(0, 25, size, dtype=np.uint8),
        garments=rng.integers(0, 3, size, dtype=np.uint8),
    )


def test_a_kept_picture_comes_back_bit_for_bit(tmp_path: Path) -> None:
    journal, passes = Journal(tmp_path / "j"), make_passes()
    journal.put(1, 7, passes)
    again = journal.get(1, 7)
    assert again is not None
    for field in fields(Passes):
        old, new = getattr(passes, field.name), getattr(again, field.name)
        assert old.dtype == new.dtype
        np.testing.assert_array_equal(old, new)
    assert journal.get(7, 1) is None  # catches view and frame swapped in the name
    assert len(journal) == 1
    journal.clear()
    assert len(journal) == 0


def test_a_damaged_file_means_rendering_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put(0, 0, make_passes())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-500])
    assert journal.get(0, 0) is None


def test_pictures_of_another_simulation_are_not_taken(tmp_path: Path) -> None:
    Journal(tmp_path, "one").put(0, 0, make_passes())
    assert Journal(tmp_path, "one").get(0, 0) is not None
    assert Journal(tmp_path, "other").get(0, 0) is None
