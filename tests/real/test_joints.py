import numpy as np
import pytest
import real_formats as formats
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.body.joints import KEYPOINT_SETS
from train.joints import JOINT_SETS, SOURCES, VOCABULARY, convert, indices, joint_set, merged, mirror, split_49

SPELLED = {
    "coco": "coco17", "openpose18": "coco18", "openpose25": "openpose25", "smpl": "smpl24", "lsp": "lsp14",
    "spin24": "spin24", "mpii": "mpii16", "penn": "penn13", "posetrack": "posetrack17", "mpi28": "mpi3d28",
    "mpi17": "mpi3d17", "h36m": "h36m17", "insta": "insta25",
}  # fmt: skip


@pytest.mark.parametrize(("order", "name"), SPELLED.items())
def test_every_set_has_the_order_its_data_set_documents(order: str, name: str) -> None:
    # catches two names swapped in a set: the other list is written by hand
    assert joint_set(name) == tuple(formats.ORDERS[order].split())


def test_every_set_is_spelled_out() -> None:
    assert set(SPELLED.values()) | {"vocabulary"} == set(JOINT_SETS)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_set_survives_the_vocabulary_and_back(name: str) -> None:
    count = len(joint_set(name))
    points = np.random.default_rng(0).normal(size=(3, count, 3))
    valid = np.random.default_rng(1).random((3, count)) < 0.7
    there = convert(points, valid, name, "vocabulary")
    back, known = convert(*there, "vocabulary", name)
    assert np.array_equal(known, valid)
    assert np.array_equal(back[valid], points[valid])
    assert np.isnan(back[~valid]).all()
    assert there[1].sum() == valid.sum()


@pytest.mark.parametrize("name", JOINT_SETS)
def test_left_is_on_the_left_and_a_mirror_swaps_it(name: str) -> None:
    # the figure faces the camera: its left has x > 0. Catches a set that takes left for right, as VIBE's PennAction
    points = formats.figure_3d(" ".join(joint_set(name)), 1)[0]
    for point, (x, _, _) in zip(joint_set(name), points, strict=True):
        assert np.sign(x) == {"left": 1, "righ": -1}.get(point[:4], 0), point
    order = mirror(name)
    assert np.array_equal(order[order], np.arange(len(order)))
    assert np.allclose(points[order] * [-1, 1, 1], points)
    assert any(order != np.arange(len(order)))


@given(st.sampled_from(sorted(JOINT_SETS)), st.sampled_from(sorted(JOINT_SETS)))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_any_two_sets_share_points_of_the_same_name_and_place(source: str, target: str) -> None:
    points = formats.figure_3d(" ".join(joint_set(source)), 1)
    moved, known = convert(points, np.ones(points.shape[:2], dtype=bool), source, target)
    assert known[0].tolist() == [point in joint_set(source) for point in joint_set(target)]
    assert np.allclose(moved[known], formats.figure_3d(" ".join(joint_set(target)), 1)[known])


def test_points_are_told_apart_where_sets_mean_different_ones() -> None:
    # catches a join by name alone: OpenPose's neck lies between the shoulders, LSP's does not
    assert indices("openpose25", "lsp14")[joint_set("lsp14").index("neck")] == -1
    assert indices("h36m17", "coco17")[0] == -1  # H36M's "nose" is near the jaw


def test_what_a_body_defines_agrees_with_its_keypoint_sets() -> None:
    for name, chosen in KEYPOINT_SETS.items():
        assert [SOURCES[point] for point in joint_set(name)] == list(chosen.sources), name
    assert not {"thorax", "left_clavicle"} & set(SOURCES)
    assert set(SOURCES) < set(VOCABULARY)


def test_spins_49_prefer_annotations_and_are_written_back() -> None:
    points = formats.both_49()
    points[:, 25:39, :2] += 1  # annotations differ from detections
    points[:, 26, 2] = 0  # the right knee was not annotated: the detection stands in
    places, confidence = merged(points)
    knee, ankle = (VOCABULARY.index(name) for name in ("right_knee", "right_ankle"))
    assert np.allclose(places[:, knee], points[:, 10, :2])
    assert np.allclose(confidence[:, knee], 0.7)
    assert np.allclose(places[:, ankle], points[:, 25, :2])
    again, sure = merged(split_49(places, confidence, "vocabulary"))
    assert np.array_equal(sure, confidence)
    assert np.allclose(again[sure > 0], places[sure > 0])


def test_openposes_own_points_stay_detections() -> None:
    points = formats.both_49()[:, :25]
    written = split_49(points[..., :2], points[..., 2], "openpose25")
    assert np.allclose(written[:, :25], points)
    assert not written[:, 25:].any()


def test_wrong_names_and_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="joint set"):
        joint_set("coco16")
    with pytest.raises(ValueError, match="17, got"):
        convert(np.zeros((1, 16, 2)), np.ones((1, 16), dtype=bool), "coco17", "smpl24")
