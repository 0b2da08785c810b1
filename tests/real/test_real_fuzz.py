"""Damaged and hostile files: a clear error naming the file, or a reading; never a crash, a hang or code that runs."""

import contextlib
import io
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import real_formats as formats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from synth.errors import SynthError
from train.real import labels, open_source
from train.real.pickled import load

ALL = list(formats.WRITERS)
FILES = {
    "3dpw": "sequenceFiles/train/walk_00.pkl", "emdb": "P1/09_outdoor/P1_09_outdoor_data.pkl",
    "coco": "annotations/person_keypoints_train2017.json", "eft": "COCO2014-All-ver01.json",
    "3dhp": "S1/Seq2/annot.mat", "3dhp-test": "mpi_inf_3dhp_test_set/TS1/annot_data.mat",
    "h36m": "S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf",
    "h36m-json": "annotations/Human36M_subject1_data.json", "mpii": "mpii_human_pose_v1_u12_1.mat",
    "mpii-json": "annot/train.json", "lsp": "joints.mat", "lspet": "joints.mat", "penn": "labels/0001.mat",
    "posetrack": "posetrack_data/annotations/train/000001_bonn_train.json",
    "insta": "train/insta_variety_00_copy00_hmr.tfrecord", "amass": "CMU/01/01_01_poses.npz",
    "vibe": "3dpw_train_db.pt", "vibe-insta": "insta_train_db.h5", "vibe-penn": "vibe_db/pennaction_train_db.pt",
    "spin": "mpi_inf_3dhp_train.npz",
}  # fmt: skip
EXAMPLES = int(os.environ.get("RAIMENT_FUZZ", "0"))
"""Number of examples to search for; without it the same few are tried each time."""
LENIENT = settings(
    max_examples=EXAMPLES or 15,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Sound(dict):
    def __repr__(self) -> str:
        return "..."  # Hypothesis prints arguments


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Of each form: what to open, the file to damage, and its sound content. Pictures are taken away."""
    made = Sound()
    for form, (_, _, write) in formats.WRITERS.items():
        folder = tmp_path_factory.mktemp(form)
        path = write(folder / "data")
        for image in (folder / "data").rglob("*.jpg"):
            image.unlink()
        file = folder / "data" / FILES[form]
        made[form] = (path, file, file.read_bytes())
    return made


def read_all(form: str, path: Path) -> None:
    """What training does with a source; an error must name a file below it."""
    name, split, _ = formats.WRITERS[form]
    try:
        for record in open_source(name, path, split):
            for value in labels(record, joints="vocabulary").values():
                assert np.isfinite(value).all()
    except SynthError as error:
        said = error.problem
    else:
        return
    assert str(path if path.is_dir() else path.parent) in said, said
    assert len(said) < 2000


@pytest.mark.parametrize("form", ALL)
@given(st.data())
@LENIENT
def test_flipped_and_cut_bytes(form: str, sound: Sound, data: st.DataObject) -> None:
    # scipy's loadmat, which the readers do not use, crashes the process here within some ten examples; cdflib hangs
    path, file, content = sound[form]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, min(len(damaged) - 1, data.draw(st.sampled_from([300, 4000, 1 << 30])))))
        damaged[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    file.write_bytes(damaged)
    try:
        read_all(form, path)
    finally:
        file.write_bytes(content)


def mutations() -> st.SearchStrategy[object]:
    odd = st.sampled_from([None, "", "../../etc/passwd", -1, 1e400, 10**30, float("nan"), [], {}, [[]], True])
    return odd | st.lists(st.floats(width=32), max_size=4) | st.text(max_size=3)


def replace_somewhere(content: object, data: st.DataObject) -> object:
    """Put something wrong in the place of any value of a nested content."""
    if isinstance(content, dict) and content and data.draw(st.integers(0, 7)):
        key = data.draw(st.sampled_from(sorted(content, key=str)))
        return {**content, key: replace_somewhere(content[key], data)}
    if isinstance(content, list) and content and data.draw(st.integers(0, 7)):
        place = data.draw(st.integers(0, len(content) - 1))
        return [*content[:place], replace_somewhere(content[place], data), *content[place + 1 :]]
    return data.draw(mutations())


@pytest.mark.parametrize("form", ["coco", "eft", "h36m-json", "mpii-json", "posetrack"])
@given(st.data())
@LENIENT
def test_json_of_wrong_values(form: str, sound: Sound, data: st.DataObject) -> None:
    path, file, content = sound[form]
    file.write_text(json.dumps(replace_somewhere(json.loads(content), data)))
    try:
        read_all(form, path)
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("form", ["3dpw", "emdb", "vibe", "spin", "amass"])
@given(st.data())
@LENIENT
def test_arrays_of_wrong_shapes(form: str, sound: Sound, data: st.DataObject) -> None:
    path, file, content = sound[form]
    fields = load(file) if form in ("3dpw", "emdb", "vibe") else dict(np.load(io.BytesIO(content)))
    key = data.draw(st.sampled_from(sorted(fields)))
    shape = data.draw(st.lists(st.integers(0, 5), max_size=3))
    wrong = data.draw(st.sampled_from([np.zeros(shape), np.full(shape, np.nan), np.array("x"), np.zeros(shape, "c8")]))
    fields[key] = wrong if form in ("vibe", "spin", "amass") else data.draw(st.sampled_from([wrong, [wrong], None, {}]))
    if form in ("spin", "amass"):
        np.savez(file, **fields)
    elif form == "vibe":
        joblib.dump(fields, file)
    else:
        file.write_bytes(pickle.dumps(fields))
    try:
        read_all(form, path)
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("form", ["lsp", "penn", "3dhp"])
@given(st.data())
@LENIENT
def test_matlab_variables_of_wrong_shapes(form: str, sound: Sound, data: st.DataObject) -> None:
    from train.real.matlab import mat_fields

    path, file, content = sound[form]
    fields = dict(mat_fields(file).content)
    fields = {name: formats.cell(v) if isinstance(v, list) else v for name, v in fields.items()}
    key = data.draw(st.sampled_from(sorted(fields)))
    shape = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    fields[key] = data.draw(st.sampled_from([np.zeros(shape), "text", {"a": 1.0}, formats.cell([1.0, "b"])]))
    savemat(file, fields)
    try:
        read_all(form, path)
    finally:
        file.write_bytes(content)


@given(st.data())
@LENIENT
def test_hdf5_columns_of_wrong_shapes(sound: Sound, data: st.DataObject) -> None:
    import h5py

    path, file, content = sound["vibe-insta"]
    column = data.draw(st.sampled_from(["vid_name", "frame_id", "joints2D", "features"]))
    shape = data.draw(st.lists(st.integers(0, 9), max_size=3))
    kinds = (0.0, np.nan, b"x", 1j, 1e300, None)
    wrong = data.draw(st.sampled_from(kinds))
    try:
        with h5py.File(file, "a") as opened:
            del opened[column]
            if wrong is None:
                opened.create_group(column)
            else:
                opened[column] = np.full(shape, wrong)
        read_all("vibe-insta", path)
    finally:
        file.write_bytes(content)


def test_text_of_impossible_characters(tmp_path: Path) -> None:
    # NumPy raises a SystemError, or worse, where such text becomes Python's
    names = np.array(["a"] * 4)
    names.view("u4")[1] = 0x7FFFFFFF
    joblib.dump({"vid_name": names, "joints2D": np.zeros((4, 49, 3))}, tmp_path / "db.pt")
    with pytest.raises(SynthError, match=r"db\.pt: refused: text"):
        open_source("vibe", tmp_path / "db.pt")
    path = formats.write_spin(tmp_path)
    held = dict(np.load(path))
    held["imgname"].view("u4")[0] = 0x7FFFFFFF
    np.savez(path, **held)
    with pytest.raises(SynthError, match=r"mpi_inf_3dhp_train\.npz: imgname: cannot be read"):
        open_source("spin", path)


def test_a_database_that_claims_more_rows_than_it_holds(tmp_path: Path) -> None:
    # catches a list of two thousand million names out of a file of some kilobytes
    import h5py

    path = tmp_path / "db.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("vid_name", shape=(1 << 31,), dtype="S1", chunks=(1 << 20,), compression="gzip")
    with pytest.raises(SynthError, match=r"db\.h5.*vid_name"):
        open_source("vibe", path)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.path),)


def numpy_pickle(path: Path) -> bytes:
    """An array of objects, which joblib's own reader hands to a pickle without restrictions."""
    file = io.BytesIO()
    joblib.dump({"vid_name": np.array([Hostile(path)], dtype=object)}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        lambda path: pickle.dumps(Hostile(path)),
        lambda path: pickle.dumps({"poses": [Hostile(path)]}, protocol=2),
        lambda path: f"cos\nmkdir\n(S'{path}'\ntR.".encode(),
        lambda path: f"(S'{path}'\nios\nmkdir\n.".encode(),
        lambda path: b"cbuiltins\neval\n(S'1'\ntR.",
        lambda path: b"cnumpy\nload\n(S'x'\ntR.",
        lambda path: b"cnumpy.core.multiarray\n_reconstruct\n(cos\nmkdir\n(I0\ntS'b'\ntR.",
        numpy_pickle,
    ],
)
def test_no_code_runs(content: Callable[[Path], bytes], tmp_path: Path) -> None:
    path, trap = tmp_path / "db.pt", tmp_path / "made_by_the_file"
    for packed in (content(trap), zlib.compress(content(trap))):
        path.write_bytes(packed)
        with contextlib.suppress(SynthError):
            assert not callable(load(path))
        assert not trap.exists()


def test_a_sound_pickle_would_have_run(tmp_path: Path) -> None:
    # the trap works: else the test above could not fail
    pickle.loads(pickle.dumps(Hostile(tmp_path / "made")))
    assert (tmp_path / "made").exists()


def doubling(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value, value]
    return value


def test_a_pickle_of_a_few_bytes_does_not_fill_the_memory(tmp_path: Path) -> None:
    claims = [
        pickle.dumps({"poses": doubling(50)}),  # 2^50 values once written out
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",  # bytes of a terabyte
        b"\x80\x04r" + (1 << 31).to_bytes(4, "little") + b".",  # a memo of two thousand million places
        b"\x80\x04]" + b"\x85" * 5000 + b".",  # nested tuples
    ]
    for number, claim in enumerate(claims):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(claim)
        with pytest.raises(SynthError, match=rf"{number}\.pkl"):
            load(path)


def test_an_npz_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    # catches an allocation from the header alone: 80 terabytes here
    path = formats.write_spin(tmp_path)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    import zipfile

    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("gender.npy", file.getvalue())
    with pytest.raises(SynthError, match=r"mpi_inf_3dhp_train\.npz: gender: cannot be read"):
        open_source("spin", path)


def test_hdf5_links_into_other_files_are_refused(tmp_path: Path) -> None:
    import h5py

    root = formats.write_3dhp_test(tmp_path)
    file = root / FILES["3dhp-test"]
    shutil.copy(file, tmp_path / "secret.h5")
    with h5py.File(file, "a") as opened:
        del opened["annot2"]
        opened["annot2"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "annot2")
    with pytest.raises(SynthError, match=r"annot_data\.mat.*another file"):
        open_source("3dhp", root, "test")


@pytest.mark.parametrize(
    ("form", "old", "new"),
    [
        ("coco", "000000000005.jpg", "../../../secret.jpg"),
        ("mpii-json", "000000000.jpg", "/etc/secret.jpg"),
        ("posetrack", "images/train/000001_bonn_train/000002.jpg", "images/../../secret.jpg"),
    ],
)
def test_names_of_pictures_do_not_lead_out_of_the_folder(form: str, old: str, new: str, tmp_path: Path) -> None:
    name, split, write = formats.WRITERS[form]
    path = write(tmp_path / "data")
    file = tmp_path / "data" / FILES[form]
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SynthError, match="a path inside the data set"):
        list(open_source(name, path, split))
