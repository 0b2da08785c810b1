import json
from pathlib import Path

import pytest

from synth.errors import SynthError
from train.comparison import Budget, compare, markdown
from train.models import build
from train.variants import TABLES


def test_a_table_is_trained_measured_and_not_trained_twice(clips_folder: Path, tmp_path: Path) -> None:
    settings = {"steps": 2, "batch": 2, "save_every": 2}
    budget = Budget(data=clips_folder, test=clips_folder, out=tmp_path, settings=settings, device="cpu")
    results = compare("mviper", budget)
    assert list(results) == ["hmr", "hmr + one-euro", "mviper"]
    assert results["hmr"] != results["hmr + one-euro"]  # the same weights, another output
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.pt")}
    assert len(written) == 2
    assert compare("mviper", budget) == results
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.pt")} == written
    assert json.loads((tmp_path / "mviper.json").read_text()) == results
    assert (tmp_path / "mviper.md").read_text().count("\n") == 5
    with pytest.raises(SynthError, match="'nothing' is unknown"):
        compare("nothing", budget)


def test_means_and_spreads_by_hand() -> None:
    text = markdown({"a": [{"x": 1.0}, {"x": 3.0}], "b": [{"x": 2.0}]}, columns=("x",))
    assert text.splitlines()[2:] == ["| a | 2.00 ± 1.41 |", "| b | 2.00 |"]


@pytest.mark.parametrize(
    "variant", [v for table in TABLES.values() for v in table], ids=lambda v: f"{v.model} {v.name}"
)
def test_every_line_of_every_table_can_be_built(variant) -> None:
    # catches a switch that a model no longer has
    import torch

    if variant.model == "tar":
        pytest.importorskip("train.models.tar")
    with torch.device("meta"):
        assert build(variant.model, variant.options).name == variant.model
