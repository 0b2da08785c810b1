import logging

import numpy as np
import pytest

from synth.assets import resolve
from synth.errors import SynthError
from synth.motion import catalog
from synth.spec import FileRef


def put(path, frames=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        poses=np.zeros((frames, 156)),
        trans=np.zeros((frames, 3)),
        betas=np.zeros(16),
        gender=np.array("male"),
        mocap_framerate=np.float64(120),
    )
    return path


@pytest.fixture
def amass_root(tmp_path):
    for name in ("CMU/01/01_01_poses", "CMU/01/01_02_stageii", "CMU/02/02_01_poses", "ACCAD/a/b_poses"):
        put(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "CMU/01/shape.npz", betas=np.zeros(16))
    np.savez(tmp_path / "CMU/01/neutral_stagei.npz", betas=np.zeros(16))
    return tmp_path


def names(found):
    return [sequence.name for sequence in found]


def test_cmu_is_embedded_unless_an_amass_root_is_given(amass_root, caplog):
    caplog.set_level(logging.INFO, logger="synth.motion.catalog")
    embedded = catalog.find("cmu")
    assert names(embedded) == ["cmu/01_01", "cmu/01_03"]
    assert all(s.reference.startswith("asset:motions/cmu/") for s in embedded)
    assert "come with the project" in caplog.text
    found = catalog.find("cmu", amass_root)
    assert names(found) == ["cmu/01_01", "cmu/01_02", "cmu/02_01"]
    assert found[0].reference == str((amass_root / "CMU/01/01_01_poses.npz").resolve())
    assert (found[0].frames, found[0].fps, found[0].usable) == (40, 120.0, ((0, 40),))
    assert f"AMASS in {amass_root}" in caplog.text


def test_names_files_folders_and_globs(amass_root):
    assert names(catalog.find("cmu:01_*", amass_root)) == ["cmu/01_01", "cmu/01_02"]
    assert names(catalog.find("cmu/01_01", amass_root)) == ["cmu/01_01"]  # the name that a list shows
    assert names(catalog.find(str(amass_root / "ACCAD/a/b_poses.npz"))) == ["b_poses"]
    assert len(catalog.find(str(amass_root))) == 4
    assert len(catalog.find(str(amass_root / "CMU/*/*_poses.npz"))) == 2
    assert len(set(names(catalog.find(str(amass_root / "CMU"))))) == 3


@pytest.mark.parametrize("pattern", ["cmu:99_*", "no_such_motion", "no/such/*.npz"])
def test_the_unknown_is_answered_with_what_there_is(pattern):
    with pytest.raises(SynthError) as caught:
        catalog.find(pattern)
    assert pattern in str(caught.value)
    assert "01_01" in str(caught.value)


def test_raw_motion_capture_says_what_to_do(tmp_path):
    with pytest.raises(SynthError, match="synth motion fit"):
        catalog.find(str(tmp_path / "02_01.amc"))


def test_an_amass_root_without_cmu(tmp_path):
    with pytest.raises(SynthError, match="--amass"):
        catalog.find("cmu", tmp_path)


def test_usable_stretches(tmp_path):
    put(tmp_path / "a.npz")
    put(tmp_path / "b.npz")
    (tmp_path / "usable.toml").write_text('["a"]\nstretches = [[0, 10], [20, 40]]\n')
    found = catalog.find(str(tmp_path))
    assert [s.usable for s in found] == [((0, 10), (20, 40)), ((0, 40),)]
    for text in ('["a"]\nstretches = [[0, 41]]\n', '["a"]\nstretches = 3\n', "no toml ["):
        (tmp_path / "usable.toml").write_text(text)
        with pytest.raises(SynthError, match=r"usable\.toml"):
            catalog.find(str(tmp_path))


def test_a_changed_file_is_noticed(tmp_path):
    path = put(tmp_path / "a.npz")
    reference = catalog.find(str(path))[0].ref
    assert resolve(reference) == path
    put(path, frames=41)
    with pytest.raises(SynthError, match="changed"):
        resolve(reference)
    path.unlink()
    with pytest.raises(SynthError, match="No such file"):
        resolve(reference)
    embedded = catalog.find("cmu")[0].ref
    assert resolve(embedded).is_file()
    with pytest.raises(SynthError, match="changed"):
        resolve(FileRef(path=embedded.path, sha256="0" * 64))


def test_actions_and_subjects_select(amass_root):
    (amass_root / "CMU/01/actions.tsv").write_text("01_01\tplayground - Forward jumps\n01_02\tclimb\n")
    assert names(catalog.find("cmu", amass_root, actions=["jump"])) == ["cmu/01_01"]
    assert names(catalog.find("cmu", amass_root, actions=["jump", "climb"], subjects=["01"])) == [
        "cmu/01_01",
        "cmu/01_02",
    ]
    assert names(catalog.find("cmu", amass_root, subjects=["02"])) == ["cmu/02_01"]
    with pytest.raises(SynthError, match="climb"):
        catalog.find("cmu", amass_root, actions=["swim"])
    assert names(catalog.find("cmu", actions=["playground"])) == ["cmu/01_01", "cmu/01_03"]


def test_a_broken_file_does_not_stop_a_folder(amass_root, caplog):
    (amass_root / "CMU/02/02_02_poses.npz").write_bytes(b"PK\x03\x04 cut off")
    np.savez(amass_root / "CMU/02/02_03_poses.npz", trans=np.zeros((3, 3)))
    skipped = []
    assert len(catalog.find("cmu", amass_root, skipped=skipped)) == 3
    assert len(skipped) == 2
    assert not caplog.text  # who takes the list tells it
    catalog.find("cmu", amass_root)
    assert "02_02" in caplog.text
    assert "02_03" in caplog.text
    with pytest.raises(SynthError, match="02_02"):
        catalog.find(str(amass_root / "CMU/02/02_02_poses.npz"))


def test_a_folder_of_200_good_and_broken_motions_is_listed_and_indexed(tmp_path):
    # Every kind of damage; the good ones stay, each bad one has a line at the end.
    from test_motion_cli import run

    whole = put(tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    for k in range(200):
        content = bytearray(whole)
        if k % 4 == 1:
            content = content[: int(rng.integers(0, len(whole) - 600))]
        elif k % 4 == 2:
            content = bytearray(rng.bytes(int(rng.integers(0, 2000))))
        elif k % 4 == 3:
            at = content.index(b"poses.npy") + 9
            content[at : at + 64] = rng.bytes(64)  # the array's header
        (tmp_path / f"{'good' if k % 4 == 0 else 'bad'}_{k:03d}.{'h5' if k % 8 == 2 else 'npz'}").write_bytes(content)
    (tmp_path / "whole.npz").unlink()
    lines = run("list", tmp_path).output.splitlines()
    at = lines.index("skipped 150:")
    assert [line.split()[0].rpartition("/")[2] for line in lines[:at]] == [f"good_{k:03d}" for k in range(0, 200, 4)]
    assert len(lines[at + 1 :]) == 150
    assert all("bad_" in line and ": " in line for line in lines[at + 1 :])
    told = run("index", tmp_path).output.splitlines()
    assert sum("left out" in line for line in told[:-1]) == 150
    assert "50 motions" in told[-1]
    assert "150 left out" in told[-1]
