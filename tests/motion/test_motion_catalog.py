import logging

import numpy as np
import pytest

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
    assert catalog.resolve(reference) == path
    put(path, frames=41)
    with pytest.raises(SynthError, match="changed"):
        catalog.resolve(reference)
    path.unlink()
    with pytest.raises(SynthError, match="missing"):
        catalog.resolve(reference)
    embedded = catalog.find("cmu")[0].ref
    assert catalog.resolve(embedded).is_file()
    with pytest.raises(SynthError, match="changed"):
        catalog.resolve(FileRef(path=embedded.path, sha256="0" * 64))
