"""Reading model files of all families, good and bad."""

import collections
import os
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner

from synth.assets import asset
from synth.body.joints import KEYPOINT_SETS, PARENTS, SMPL_LANDMARKS
from synth.body.model import find_bodies, load_body, load_named
from synth.body.unpickle import load_pickle
from synth.cli.body import body as body_command
from synth.errors import SynthError

FREE = asset("bodies/free_male.npz")
ROOT = 2**32 - 1


def small_model(V=40, J=24, B=12, parents=PARENTS, seed=0):
    """A made-up model with the fields of the licensed files."""
    rng = np.random.default_rng(seed)
    weights, regressor = rng.random((V, J)), rng.random((J, V))
    tree = np.stack([np.where(parents < 0, ROOT, parents), np.arange(J)]).astype(np.uint32)
    return {
        "v_template": rng.normal(size=(V, 3)),
        "shapedirs": rng.normal(size=(V, 3, B)),
        "posedirs": rng.normal(size=(V, 3, 9 * (J - 1))),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": tree,
        "f": rng.integers(0, V, size=(50, 3)).astype(np.uint32),
        "bs_style": "lbs",
    }


@pytest.fixture
def chumpy(monkeypatch):
    """Modules by chumpy's names, to write such pickles with; taken away before reading."""
    classes = {}
    for module_name, class_name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select"), ("chumpy.ch", "MatVecMult")):
        module = sys.modules.get(module_name) or types.ModuleType(module_name)
        monkeypatch.setitem(sys.modules, module_name, module)
        classes[class_name] = type(class_name, (), {"__module__": module_name})
        setattr(module, class_name, classes[class_name])
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    return classes


def write_pickle(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))
    for name in [n for n in sys.modules if n.split(".")[0] == "chumpy"]:
        del sys.modules[name]
    return path


def node(cls, **state):
    instance = cls()
    instance.__dict__.update(state)
    return instance


def test_pickle_with_chumpy_arrays_and_sparse_regressor(tmp_path, chumpy):
    """The layout of SMPL's own files: Ch leaves, a Select, a sparse regressor, an unreadable extra (J)."""
    model = small_model()
    content = dict(model)
    content["v_template"] = node(chumpy["Ch"], x=model["v_template"], _dirty_vars=set(), _itr=None)
    order = np.random.default_rng(1).permutation(model["shapedirs"].size)
    shuffled = np.empty(model["shapedirs"].size)
    shuffled[order] = model["shapedirs"].ravel()
    content["shapedirs"] = node(
        chumpy["Select"], a=node(chumpy["Ch"], x=shuffled), idxs=order, preferred_shape=model["shapedirs"].shape
    )
    content["J_regressor"] = scipy.sparse.csc_matrix(model["J_regressor"])
    content["J"] = node(chumpy["MatVecMult"], mtx=None)
    content["pose_training_info"] = collections.OrderedDict(gender="male")
    loaded = load_body(write_pickle(tmp_path / "basicModel_m_lbs_10_207_0_v1.0.0.pkl", content))
    assert (loaded.name, loaded.gender) == ("smpl", "male")
    assert loaded.parents[0] == -1
    for name, value in (("v_template", "v_template"), ("J_regressor", "J_regressor"), ("lbs_weights", "weights")):
        np.testing.assert_allclose(getattr(loaded, name), model[value])
    np.testing.assert_allclose(loaded.shapedirs, model["shapedirs"][:, :, :10])
    assert (loaded.uv == 0).all()


class Payload:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "argument"), [(os.system, "touch {}"), (eval, "open({!r}, 'w')"), (os.mkdir, "{}")]
)
def test_pickle_that_asks_for_code_is_refused(tmp_path, function, argument):
    """The mutation: find_class falls back to the standard one."""
    trap = tmp_path / "trap"
    content = dict(small_model(), extra=Payload(function, argument.format(str(trap))))
    path = write_pickle(tmp_path / "SMPL_MALE.pkl", content)
    with pytest.raises(SynthError, match=r"SMPL_MALE\.pkl: refused"):
        load_body(path)
    assert not trap.exists()


def test_pickle_cannot_change_classes_of_the_program(tmp_path):
    """A pickle may set attributes on a class it names; SciPy's must not be reachable."""
    payload = b"\x80\x02cscipy.sparse\ncsc_matrix\n}X\x07\x00\x00\x00toarrayK\x01s\x86b."
    payload = payload.replace(b"\x86b", b"b")
    (tmp_path / "a.pkl").write_bytes(payload)
    before = scipy.sparse.csc_matrix.toarray
    with pytest.raises(SynthError):
        load_pickle(tmp_path / "a.pkl", ("f",))
    assert scipy.sparse.csc_matrix.toarray is before


def test_unknown_chumpy_node_names_the_field(tmp_path, chumpy):
    content = dict(small_model(), weights=node(chumpy["MatVecMult"], mtx=None))
    with pytest.raises(SynthError, match=r"m\.pkl: field weights: a chumpy\.ch\.MatVecMult is not understood"):
        load_body(write_pickle(tmp_path / "m.pkl", content))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("weights", np.full((40, 24), 1.0), "sum to 1"),
        ("weights", np.full((40, 23), 1 / 23), "23 joints"),
        ("f", np.full((5, 3), 40), "outside the 40 vertices"),
        ("posedirs", np.zeros((40, 3, 200)), r"expected \(40, 3, 207\)"),
        ("v_template", np.full((40, 3), np.nan), "not finite"),
        ("v_template", np.array([["a", "b", "c"]] * 40), "array of numbers"),
        ("kintree_table", np.tile(np.arange(24), (2, 1)), "not a tree"),
        ("J_regressor", None, "is missing"),
    ],
)
def test_malformed_field_is_named(tmp_path, field, value, words):
    model = small_model()
    del model[field]
    if value is not None:
        model[field] = value
    np.savez(tmp_path / "bad.npz", **model)
    with pytest.raises(SynthError, match=rf"bad\.npz: field {field}.*{words}"):
        load_body(tmp_path / "bad.npz")


@pytest.mark.parametrize("keep", [0, 10, 100_000, 1_000_000])
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_truncated_file(tmp_path, keep, suffix):
    whole = FREE.read_bytes() if suffix == ".npz" else pickle.dumps(small_model(V=3000), protocol=2)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[:keep])
    with pytest.raises(SynthError, match="cut"):
        load_body(path)


def test_npz_with_pickled_objects_is_not_unpickled(tmp_path):
    trap = tmp_path / "trap"
    model = dict(small_model(), f=np.array([Payload(os.mkdir, str(trap))], dtype=object))
    np.savez(tmp_path / "evil.npz", **model)
    with pytest.raises(SynthError, match="field f"):
        load_body(tmp_path / "evil.npz")
    assert not trap.exists()


def hand_parents(first):
    """22 body joints, whatever stands before the hands, then 15 joints for each hand."""
    extra = [15] * (first - 22)
    fingers = [p for hand, wrist in ((0, 20), (1, 21)) for f in range(5) for p in (
        wrist, first + 15 * hand + 3 * f, first + 15 * hand + 3 * f + 1)]  # fmt: skip
    return np.array([*PARENTS[:22], *extra, *fingers])


@pytest.mark.parametrize(("family", "J", "first"), [("smplh", 52, 22), ("smplx", 55, 25)])
def test_hands_and_face_are_folded_into_24_joints(tmp_path, family, J, first):
    """Catches the left hand's fingers taken for the right's, and weights that are lost."""
    model = small_model(J=J, B=400, parents=hand_parents(first))
    path = tmp_path / f"{family.upper()}_FEMALE.npz"
    np.savez(path, **model, joint2num=np.array({"a": 1}, dtype=object))
    loaded = load_body(path)
    assert (loaded.name, loaded.gender) == (family, "female")
    np.testing.assert_array_equal(loaded.parents, PARENTS)
    weights = model["weights"]
    np.testing.assert_allclose(loaded.lbs_weights.sum(axis=1), 1)
    np.testing.assert_allclose(loaded.lbs_weights[:, 22], weights[:, first : first + 15].sum(axis=1))
    np.testing.assert_allclose(loaded.lbs_weights[:, 23], weights[:, first + 15 :].sum(axis=1))
    np.testing.assert_allclose(loaded.lbs_weights[:, 15], weights[:, 15] + weights[:, 22:first].sum(axis=1))
    np.testing.assert_allclose(loaded.J_regressor[23], model["J_regressor"][first + 18])
    np.testing.assert_allclose(loaded.posedirs[..., :189], model["posedirs"][..., :189])
    assert (loaded.posedirs[..., 189:] == 0).all()
    assert load_body(path, num_betas=350).shapedirs.shape[2] == (300 if family == "smplx" else 350)


def test_licensed_topology_gets_keypoints(tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **small_model(V=6890, B=2))
    loaded = load_body(tmp_path / "SMPL_NEUTRAL.npz")
    assert set(loaded.keypoint_regressors) == set(KEYPOINT_SETS)
    coco = loaded.keypoint_regressors["coco17"]
    names = KEYPOINT_SETS["coco17"].names
    for name in ("nose", "left_eye", "right_ear"):
        assert np.flatnonzero(coco[names.index(name)]).tolist() == [SMPL_LANDMARKS[name]]
    np.testing.assert_allclose(coco[names.index("left_knee")], loaded.J_regressor[4])


def test_other_topology_has_no_keypoints(tmp_path):
    np.savez(tmp_path / "x.npz", **small_model())
    assert load_body(tmp_path / "x.npz").keypoint_regressors == {}


def test_folder_of_gender_files(tmp_path):
    for gender in ("MALE", "FEMALE"):
        np.savez(tmp_path / f"SMPL_{gender}.npz", **small_model(seed=len(gender)))
    assert load_named(str(tmp_path), "female").gender == "female"
    assert find_bodies(str(tmp_path), ("male",))["male"].name == "SMPL_MALE.npz"
    with pytest.raises(SynthError, match="no model file for gender neutral"):
        load_named(str(tmp_path), "neutral")
    np.savez(tmp_path / "other_male.npz", **small_model())
    with pytest.raises(SynthError, match="2 model files for gender male"):
        load_named(str(tmp_path), "male")


@pytest.mark.parametrize(("name", "words"), [("nowhere/x.npz", "no such file or folder"), ("fre", "no such file")])
def test_unknown_body(name, words):
    with pytest.raises(SynthError, match=words):
        load_named(name, "male")
    with pytest.raises(SynthError, match="unknown gender"):
        load_named("free", "other")


def test_info_command():
    result = CliRunner().invoke(body_command, ["info", str(FREE)])
    assert result.exit_code == 0
    loaded = load_body(FREE)
    for value in (len(loaded.v_template), len(loaded.faces), 24, 10, loaded.sha256, "free, male"):
        assert str(value) in result.output
