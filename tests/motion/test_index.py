import json

import pytest
from test_motion_catalog import amass_root  # noqa: F401 (a fixture)
from test_motion_cli import run

from synth.errors import SynthError
from synth.motion import catalog, index


def test_an_index_says_who_what_and_how_long(amass_root):  # noqa: F811
    (amass_root / "list.txt").write_text("01_01\tplayground -  jumps\n\n# no trial\n02_01 walk\n")
    label = {"labels": [{"proc_label": "climb"}, {"proc_label": "climb"}, {"proc_label": "swing"}]}
    babel = {"7": {"feat_p": "CMU/CMU/01/01_02_poses.npz", "seq_ann": label, "frame_ann": None}}
    (amass_root / "babel.json").write_text(json.dumps(babel))
    (amass_root / "CMU/01/01_09_poses.npz").write_bytes(b"broken")
    lines = []
    found = index.build(
        amass_root, descriptions=amass_root / "list.txt", babel=amass_root / "babel.json", tell=lines.append
    )
    assert len(found[0]) == 4
    assert len(found[1]) == len(lines) == 1
    assert "01_09" in lines[0]
    entries = index.read(amass_root / index.INDEX)
    assert entries == sorted(found[0], key=lambda e: e.name)
    assert [(e.subject, e.action) for e in entries if e.action] == [
        ("01", "playground - jumps"),
        ("01", "climb, swing"),
        ("02", "walk"),
    ]
    assert {(e.seconds, e.fps, e.frames, e.poses, e.usable) for e in entries} == {(0.333, 120.0, 40, 1, 1.0)}
    assert [e.action for e in index.read(amass_root / index.INDEX, action="WALK")] == ["walk"]
    assert len(index.read(amass_root / index.INDEX, subject="01")) == 2
    assert [s.name for s in catalog.find("cmu", amass_root, actions=["swing"])] == ["cmu/01_02"]


def test_a_moving_clip_has_speed():
    (sequence,) = catalog.find("cmu:01_01")
    entry = index.entry(sequence)
    assert 0.1 < entry.speed < 2.0
    assert 0.3 < entry.activity < 10.0
    assert entry.poses > 5
    assert 0.5 < entry.contact <= 1.0  # it jumps
    assert entry.action.startswith("playground")


def test_what_is_no_index_is_an_error(tmp_path):
    with pytest.raises(SynthError, match="synth motion index"):
        index.read(tmp_path / index.INDEX)
    (tmp_path / index.INDEX).write_text("x" * 200)
    with pytest.raises(SynthError, match="not an index"):
        index.read(tmp_path / index.INDEX)
    (tmp_path / "babel.json").write_text("[]")
    with pytest.raises(SynthError, match="BABEL"):
        index.build(tmp_path, babel=tmp_path / "babel.json")


def test_the_command_line_selects(amass_root):  # noqa: F811
    (amass_root / "list.txt").write_text("02_01 walk\n")
    told = run("index", amass_root, "--descriptions", amass_root / "list.txt")
    assert "4 motions" in told.output
    listed = run("list", "cmu", "--amass", amass_root, "--action", "walk").output.splitlines()
    assert [line.split()[0] for line in listed] == ["cmu/02_01"]
    assert "walk" in listed[0]
    assert len(run("list", "cmu", "--amass", amass_root, "--subject", "01").output.splitlines()) == 2
