"""What the shipped bodies promise."""

import numpy as np
import pytest

from synth.assets import asset, manifest, sha256_of
from synth.body import lbs
from synth.body.fit import mirror_map, volume
from synth.body.joints import JOINT_NAMES, KEYPOINT_SETS, PAIRS, PARENTS
from synth.body.model import GENDERS, load_named
from synth.body.shape import A_POSE, rest_surface

LEFT = {name: i for i, name in enumerate(JOINT_NAMES)}


@pytest.fixture(scope="module", params=GENDERS)
def body(request):
    return load_named("free", request.param)


def test_size_and_tree(body):
    assert 6500 < len(body.v_template) < 7100
    assert body.shapedirs.shape[2] == 10
    np.testing.assert_array_equal(body.parents, PARENTS)
    assert asset(f"bodies/free_{body.gender}.npz").stat().st_size < 3.5e6
    assert (body.lbs_weights > 0).sum(axis=1).max() <= 4
    assert (body.uv >= 0).all()
    assert (body.uv <= 1).all()


def test_manifest_knows_the_file(body):
    entry = manifest()[f"bodies/free_{body.gender}.npz"]
    assert entry["sha256"] == body.sha256 == sha256_of(asset(entry["path"]))
    assert entry["licence"] == "CC0-1.0"


def test_stands_upright_in_smpls_frame(body):
    """Y up, facing +Z, left hand at +X, arms out: a swapped axis or a mirrored body fails."""
    joints = body.J_regressor @ body.v_template
    assert joints[LEFT["head"], 1] > joints[0, 1] > joints[LEFT["left_ankle"], 1]
    assert joints[LEFT["left_wrist"], 0] > 0.55
    assert abs(joints[LEFT["left_wrist"], 1] - joints[LEFT["left_shoulder"], 1]) < 0.03
    assert joints[LEFT["left_foot"], 2] > joints[LEFT["left_ankle"], 2] + 0.08
    np.testing.assert_allclose(joints[0], [0, -0.22, 0.03], atol=5e-3)


def test_skin_is_closed_and_faces_point_outwards(body):
    """No cracks: each edge has exactly two faces, in opposite directions. Inverted faces give a negative volume."""
    edges = np.concatenate([body.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    assert len(np.unique(edges, axis=0)) == len(edges)
    forward, backward = ({tuple(e) for e in edges[:, order].tolist()} for order in ([0, 1], [1, 0]))
    assert forward == backward
    assert 0.045 < volume(body.v_template, body.faces) < 0.09


def test_left_and_right_are_mirror_images(body):
    """float32's rounding apart; the mirror image of vertex and weights, for every beta too."""
    partner, apart = mirror_map(body.v_template)
    assert apart < 1e-6
    mirrored = body.shapedirs[partner] * np.array([-1.0, 1.0, 1.0])[:, None]
    assert np.abs(mirrored - body.shapedirs).max() < 1e-6
    swap = np.arange(24)
    for left, right in PAIRS:
        swap[[left, right]] = right, left
    assert np.abs(body.lbs_weights[partner][:, swap] - body.lbs_weights).max() < 1e-6


def test_mirrored_pose_gives_the_mirrored_body(body):
    """Also the pose blend shapes are symmetric: a sign slip in mirroring them moves skin by centimetres."""
    partner, _ = mirror_map(body.v_template)
    swap = np.arange(24)
    for left, right in PAIRS:
        swap[[left, right]] = right, left
    pose = 0.4 * np.random.default_rng(3).normal(size=(2, 24, 3))
    image = pose[:, swap] * np.array([1.0, -1.0, -1.0])
    zero, betas = np.zeros((2, 3)), np.ones(10)
    one, _ = lbs.posed(body, betas, pose[:, 0], pose[:, 1:], zero)
    other, _ = lbs.posed(body, betas, image[:, 0], image[:, 1:], zero)
    assert np.abs(other[:, partner] * [-1.0, 1.0, 1.0] - one).max() < 1e-4


def test_betas_have_unit_variance_and_the_first_is_stature(body):
    with np.load(asset(f"bodies/free_{body.gender}.npz"), allow_pickle=False) as file:
        np.testing.assert_allclose(file["betas_std"], 1, atol=1e-3)
        share = file["explained_variance"]
        mean, deviation = file["population_stature"]
    assert share.sum() > 0.99
    assert (np.diff(share) <= 0).all()
    one = np.eye(10)[0]
    height = [np.ptp(lbs.shaped(body, k * one)[0][:, 1]) for k in (-1, 0, 1)]
    assert height[0] < height[1] < height[2]
    assert height[1] == pytest.approx(mean, abs=0.01)
    assert (height[2] - height[0]) / 2 == pytest.approx(deviation, rel=0.25)


def test_other_betas_add_volume(body):
    for k in range(1, 10):
        more, less = (volume(lbs.shaped(body, s * np.eye(10)[k])[0], body.faces) for s in (1, -1))
        assert more > less


@pytest.mark.parametrize("name", sorted(KEYPOINT_SETS))
def test_keypoints(body, name):
    """Rows are means; left is at +X; keypoints that are joints stay at the joint in posed bodies."""
    chosen, matrix = KEYPOINT_SETS[name], body.keypoint_regressors[name]
    assert len(matrix) == len(chosen.names) == int(name[-2:])
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    rest = matrix @ body.v_template
    assert len(chosen.pairs) >= 6
    for left, right in chosen.pairs:
        assert rest[left, 0] > 0.01
        np.testing.assert_allclose(rest[left] * [-1, 1, 1], rest[right], atol=1e-3)
    pose = 0.3 * np.random.default_rng(5).normal(size=(20, 24, 3))
    vertices, joints = lbs.posed(body, np.zeros(10), pose[:, 0], pose[:, 1:], np.zeros((20, 3)))
    same = [(i, LEFT[n]) for i, n in enumerate(chosen.names) if chosen.sources[i].keys() == {n} and n in LEFT]
    keypoints = matrix @ vertices
    error = np.linalg.norm(np.stack([keypoints[:, i] - joints[:, j] for i, j in same]), axis=-1)
    assert error.mean() < 0.01
    assert error.mean(axis=1).max() < 0.02


def test_landmarks_are_where_they_are_called(body):
    """Geometric search found the right spots: nose before eyes before ears, toes before heel."""
    points = dict(
        zip(KEYPOINT_SETS["openpose25"].names, body.keypoint_regressors["openpose25"] @ body.v_template, strict=True)
    )
    top = body.v_template[:, 1].max()
    assert points["nose"][2] > points["left_eye"][2] > points["left_ear"][2] + 0.05
    assert 0.02 < points["left_eye"][0] < 0.05
    assert 0.06 < points["left_ear"][0] < 0.1
    assert 0.09 < top - points["left_eye"][1] < 0.15
    assert points["left_eye"][1] > points["nose"][1]
    assert points["left_big_toe"][2] - points["left_heel"][2] > 0.2
    assert points["left_small_toe"][0] > points["left_big_toe"][0] + 0.03
    assert points["left_ankle"][1] - points["left_heel"][1] > 0.02


def test_bent_limbs_keep_their_volume(body):
    """Pose blend shapes at work: without them a knee bent by 115 degrees loses more."""
    pose = np.zeros((1, 23, 3))
    pose[0, LEFT["left_knee"] - 1, 0] = 2.0
    pose[0, LEFT["left_hip"] - 1, 0] = -1.5
    zero, betas = np.zeros((1, 3)), np.zeros(10)
    rest = volume(body.v_template, body.faces)
    bent = volume(lbs.posed(body, betas, zero, pose, zero)[0][0], body.faces)
    skin = lbs.skin(body.v_template[None], body.lbs_weights, lbs.joint_transforms(body, betas, zero, pose, zero))[0]
    assert abs(bent - rest) < 0.8 * abs(volume(skin, body.faces) - rest)
    assert abs(bent - rest) / rest < 0.02


def test_a_pose_lowers_both_upper_arms_by_45_degrees(body):
    zero = np.zeros((1, 3))
    for joint in ("left", "right"):
        shoulder, elbow = LEFT[f"{joint}_shoulder"], LEFT[f"{joint}_elbow"]
        t_pose, a_pose = (lbs.posed(body, np.zeros(10), zero, p[None], zero)[1][0] for p in (0 * A_POSE, A_POSE))
        drop = [np.degrees(np.arcsin((j[shoulder] - j[elbow])[1] / np.linalg.norm(j[elbow] - j[shoulder])))
                for j in (t_pose, a_pose)]  # fmt: skip
        assert drop[1] - drop[0] == pytest.approx(45, abs=1)
    assert rest_surface(body, np.zeros(10)).shape == body.v_template.shape
