"""The learning run's own part: what is done when, what a stopped call leaves, what the report says.

`synth` and `train` are replaced by a script that does what they do to the folder, at once. The real chain is
`python benchmarks/learning.py --tiny --preset smoke --clips 6 --frames 8 --steps 6 --batch 2` (docs/gpu.md).
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "learning.py"

FAKE = """
import json, sys, time
from pathlib import Path

arguments = sys.argv[1:]
value = lambda name: arguments[arguments.index(name) + 1]
here = Path(__file__).parent
with (here / "calls.txt").open("a") as calls:
    calls.write(" ".join(arguments) + "\\n")
if arguments[2] == "render":
    shards = Path(value("--out"))
    shards.mkdir(parents=True, exist_ok=True)
    with (shards / "manifest.jsonl").open("a") as manifest:
        for k in range(int(value("--clips"))):
            entry = {"clip_id": f"c{k}", "status": "done", "frames": 8, "views": 4, "attributes": {"motion": f"m{k}"}}
            manifest.write(json.dumps(entry) + "\\n")
            manifest.flush()
            if (here / "slow").exists() and k == 2:
                (here / "slow").unlink()
                time.sleep(600)
elif arguments[2] == "split":
    if "subject" in arguments:
        sys.exit(2)
    parts = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4"]}
    (Path(arguments[3]) / "split.json").write_text(json.dumps(parts))
else:
    out = Path(value("--out"))
    out.mkdir(parents=True, exist_ok=True)
    lines = {
        "hmr": [{"mpjpe_mm": 120.0}],
        "hmr, trained on": [{"mpjpe_mm": 90.0}, {"mpjpe_mm": 110.0}],
        "mviper": [{"mpjpe_mm": 80.0}, {"mpjpe_mm": 60.0}],
    }
    (out / "comparison.json").write_text(json.dumps(lines))
    (out / "comparison.md").write_text("| the table |")
"""


@pytest.fixture
def learning(tmp_path):
    """Runs the script with the stand-in; gives its last line and what it printed."""
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE)
    python = f"{sys.executable} {fake}"

    def call(*more):
        command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "run"), "--clips", "5", *more]
        done = subprocess.run(
            [*command, "--blender", python, "--torch", python], capture_output=True, text=True, check=True, timeout=200
        )
        return json.loads(done.stdout.splitlines()[-1]), done.stdout

    return call


def calls(folder):
    return [line.split()[2] for line in (folder / "calls.txt").read_text().splitlines()]


def test_all_three_stages_and_the_report(learning, tmp_path):
    ratios, said = learning("--steps", "7", "--sequences", "cmu:*")
    assert calls(tmp_path) == ["render", "split", "split", "split", "table"]  # by subject fails twice, by motion works
    assert ratios["mviper_over_hmr_mpjpe"] == 0.7  # means over the seeds; the frame model with equal steps
    assert ratios["hpof_over_vibe_accel"] is None
    assert "| train | 3 | 96 | 3 |" in said
    assert "| the table |" in (tmp_path / "run" / "results.md").read_text()
    facts = json.loads((tmp_path / "run" / "results.json").read_text())["facts"]
    assert facts["split_by"] == ["motion", "texture"]
    assert "--steps 7" in facts["commands"]["table"]


def test_a_second_call_does_nothing_twice(learning, tmp_path):
    first, _ = learning()
    second, _ = learning()
    assert first == second
    assert calls(tmp_path).count("render") == calls(tmp_path).count("table") == 1


def test_a_call_that_runs_out_of_time_is_gone_on_with(learning, tmp_path):
    (tmp_path / "slow").touch()
    unfinished, said = learning("--budget", "15")
    assert unfinished == {"unfinished": "render"}
    assert "(3 clips)" in said
    ratios, _ = learning()
    assert ratios["mviper_over_hmr_mpjpe"] == 0.7
    assert calls(tmp_path).count("render") == 2


def test_rendering_ends_with_its_own_time_and_what_is_there_is_trained_on(learning, tmp_path):
    (tmp_path / "slow").touch()
    ratios, _ = learning("--render-seconds", "15")
    assert ratios["mviper_over_hmr_mpjpe"] == 0.7
    assert calls(tmp_path)[:2] == ["render", "split"]
    assert json.loads((tmp_path / "run" / "state.json").read_text())["seconds"]["render"] >= 15


def test_the_one_budget_frame_model_counts_only_where_there_is_no_other():
    spec = importlib.util.spec_from_file_location("learning", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    results = {"hmr": [{"mpjpe_mm": 100.0}], "mviper": [{"mpjpe_mm": 75.0}]}
    assert module.ratios(results)["mviper_over_hmr_mpjpe"] == 0.75
