"""The report is whole in one file, and its numbers are the shards'."""

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from synth.cli.report import report
from synth.config import Config
from synth.provenance import COMMANDS, record_run
from synth.report.charts import bars, histogram, ranges
from synth.report.facts import collect
from synth.report.page import write_report
from synth.shards.manifest import Manifest
from synth.shards.merge import merge
from synth.shards.read import ShardReader
from synth.spec import ClipSpec, from_json

sys.path.insert(0, str(Path(__file__).parents[1] / "shards"))
from shard_factory import make_shard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for seed in (0, 1):
        path = make_shard(folder, frames=3, views=2, dressed=seed == 1, size=96, seed=seed)
        Manifest(folder).record(path, {"render": 2.0, "simulate": 1.0})
    with ShardReader(path) as reader:
        spec = from_json(ClipSpec, reader.attributes["spec"])
    record_run(folder, ["render", "--clips", "2", "--out", "a folder<i>"], Config())
    refused = ClipSpec(**{name: getattr(spec, name) for name in spec.__slots__} | {"index": 99})
    Manifest(folder).reject(refused, ("<b>tshirt</b>: drift 7 cm",))
    return folder


def test_the_page_is_whole_in_one_file(folder: Path, tmp_path: Path) -> None:
    shown = write_report(folder, tmp_path / "r.html", clips=2, views=1)
    page = (tmp_path / "r.html").read_text()
    assert shown == 2
    assert not re.search(r"""(src|href)="(?!data:)""", page)  # nothing is loaded from elsewhere
    assert "<script" not in page
    assert "&lt;b&gt;tshirt&lt;/b&gt;" in page  # what comes from files cannot become markup
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(t))) for t in re.findall(r"data:image/webp;base64,([^\"]+)", page)
    ]
    assert [getattr(picture, "n_frames", 1) for picture in pictures] == [1, 3, 1, 3]
    assert pictures[1].size == (2 * 96, 96)
    for entry in Manifest(folder).entries().values():
        assert entry.clip_id in page
    assert "4 s" in page  # of rendering, both clips together
    assert "$ synth render --clips 2 --out &#x27;a folder&lt;i&gt;&#x27;" in page
    assert "&quot;sequences&quot;: &quot;cmu&quot;" in page  # the settings that were not given, too


def test_commands_of_a_merged_folder_are_those_of_both(folder: Path, tmp_path: Path) -> None:
    merge((folder,), tmp_path / "week")
    with (tmp_path / "week" / COMMANDS).open("a") as stream:
        stream.write('{"command": 3}\n{"torn')
    assert [run.command for run in collect(tmp_path / "week").runs] == ["synth render --clips 2 --out 'a folder<i>'"]


def test_facts_are_those_of_the_shards(folder: Path) -> None:
    facts = collect(folder)
    readers = [ShardReader(path) for path in sorted(folder.glob("*.h5"))]
    assert facts.betas["beta 3"] == [reader.clip("smpl/betas")[3] for reader in readers]
    poses = np.concatenate([np.linalg.norm(reader.clip("smpl/body_pose"), axis=2) for reader in readers])
    np.testing.assert_allclose(facts.poses["left_knee"], np.degrees(poses[:, 3]))
    assert facts.counts["garment"] == {"shorts": 1}
    for distance in facts.cameras["distance [m]"]:
        assert 9 < distance < 13  # the factory's cameras stand 11 m from the mean pelvis


def test_charts_hold_what_they_are_given() -> None:
    heights = [
        float(h) for h in re.findall(r'height="([\d.]+)"/>', histogram("h", [0.0, 0.0, 0.0, 1.0, np.nan], bins=4))
    ]
    assert heights[0] == pytest.approx(3 * heights[3], abs=0.2)
    assert heights[1] == heights[2] == 0
    assert "n = 4" in histogram("h", [0.0, 0.0, 0.0, 1.0, np.nan])
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="11"', bars("b", {"a": 1, "b": 4}))]
    assert widths == [130.0, 32.5]  # the longest first
    assert "none" in histogram("x", []) + bars("y", {})
    assert "to 95 m" in ranges("r", {"row": np.arange(101.0)}, "m")


def test_the_command(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(report, [str(folder), "--out", str(tmp_path / "r.html"), "--clips", "1"])
    assert done.exit_code == 0, done.output
    assert "1 clips in pictures" in done.output
    (tmp_path / "empty").mkdir()
    assert CliRunner().invoke(report, [str(tmp_path / "empty")]).exit_code != 0
