import json
import shutil
from pathlib import Path

import pytest
import torch

from synth.errors import SynthError
from synth.shards.manifest import open_dataset
from train.checkpoint import load
from train.comparison import Budget, _folder, compare, markdown
from train.models import build
from train.variants import TABLES


def test_a_table_is_trained_measured_and_not_trained_twice(clips_folder: Path, tmp_path: Path) -> None:
    settings = {"steps": 2, "batch": 2, "save_every": 2}
    budget = Budget(data=clips_folder, test=clips_folder, out=tmp_path, settings=settings, device="cpu")
    results = compare("mviper", budget)
    longer = "hmr, trained on"
    assert list(results) == ["hmr", longer, f"{longer} + one-euro", "mviper"]
    assert results["hmr"] != results[longer] != results[f"{longer} + one-euro"]
    assert all(seed["train_seconds"] > 0 for seeds in results.values() for seed in seeds)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.pt")}
    assert len(written) == 3  # the filtered line is trained as another one
    assert compare("mviper", budget) == results
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.pt")} == written
    assert json.loads((tmp_path / "mviper.json").read_text()) == results
    assert (tmp_path / "mviper.md").read_text().count("\n") == 6
    with pytest.raises(SynthError, match="'nothing' is unknown"):
        compare("nothing", budget)
    with pytest.raises(SynthError, match="is not split yet"):
        compare("mviper", Budget(data=clips_folder, out=tmp_path / "none", settings=settings, device="cpu"))


def test_every_model_of_the_comparison_is_trained_on_one_part_and_measured_on_another(
    clips_folder: Path, tmp_path: Path
) -> None:
    # catches a line that trains on what it is measured on, or whose features are another encoder's
    shutil.copytree(clips_folder, tmp_path / "shards")
    ids = [entry.clip_id for entry in open_dataset(tmp_path / "shards").entries]
    parts = {"train": ids[:1], "val": ids[1:2], "test": ids[2:]}
    (tmp_path / "shards" / "split.json").write_text(json.dumps(parts))
    settings = {"steps": 1, "batch": 1, "save_every": 1, "validate_every": 1}
    budget = Budget(data=tmp_path / "shards", out=tmp_path / "out", settings=settings, device="cpu")
    results = compare("comparison", budget)
    assert list(results) == [variant.name for variant in TABLES["comparison"]]
    for variant in TABLES["comparison"]:
        folder = _folder(budget, 0, variant.name)
        notes = json.loads((folder / "measures.json").read_text())["notes"]
        assert notes["part"] == "test"
        assert notes["checkpoint"].endswith("best.pt, step 1")
        trained = _folder(budget, 0, variant.trained_as or variant.name)
        assert load(trained / "last.pt")["about"]["parts"] == ["train"]
    tar, hmr = (load(_folder(budget, 0, name) / "last.pt")["state"] for name in ("tar", "hmr"))
    assert all(torch.allclose(tar[name], hmr[name], atol=0.05) for name in hmr if name.startswith("backbone.conv1"))
    assert tar["heads.init"][0, 154] != 0.9  # the labels' mean, although the encoder was copied


def test_means_and_spreads_by_hand() -> None:
    text = markdown({"a": [{"x": 1.0}, {"x": 3.0}], "b": [{"x": 2.0}]}, columns=("x",))
    assert text.splitlines()[2:] == ["| a | 2.00 ± 1.41 |", "| b | 2.00 |"]


@pytest.mark.parametrize(
    "variant", [v for table in TABLES.values() for v in table], ids=lambda v: f"{v.model} {v.name}"
)
def test_every_line_of_every_table_can_be_built(variant) -> None:
    # catches a switch that a model no longer has
    if variant.model == "tar":
        pytest.importorskip("train.models.tar")
    with torch.device("meta"):
        assert build(variant.model, variant.options).name == variant.model
