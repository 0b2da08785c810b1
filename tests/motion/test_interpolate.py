import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synth.geometry.rotations import canonical_rotvec, rotvec_to_rotmat
from synth.motion.interpolate import between, eased, frames_for, nearest_vectors, pose_distances

VECTOR = arrays(np.float64, (3,), elements=st.floats(-6, 6))


def largest_step(path):
    """Largest angle between consecutive rotations [rad]."""
    matrices = rotvec_to_rotmat(path)
    traces = np.trace(np.swapaxes(matrices[:-1], -1, -2) @ matrices[1:], axis1=-2, axis2=-1)
    return float(np.arccos(np.clip((traces - 1) / 2, -1, 1)).max())


NEAR_PI = (np.array([3.1, 0.05, 0.0]), np.array([-3.1, 0.05, 0.0]))
SHARES = np.linspace(0, 1, 31)


@pytest.mark.parametrize("method", ["axis-angle", "slerp"])
def test_near_a_half_turn_the_path_is_short(method):
    path = between(*NEAR_PI, SHARES, method)
    assert largest_step(path) < 0.01
    for k, end in ((0, NEAR_PI[0]), (-1, NEAR_PI[1])):
        np.testing.assert_allclose(rotvec_to_rotmat(path[k]), rotvec_to_rotmat(end), atol=1e-12)


def test_the_naive_path_spins():
    start, end = NEAR_PI
    naive = start + SHARES[:, None] * (end - start)
    assert largest_step(naive) > 0.15


@example(np.full(3, 2.0), np.full(3, 1e-15))  # no rotation has no axis to turn about
@given(VECTOR, VECTOR)
def test_nearest_vectors_are_the_same_rotations_and_symmetric(start, end):
    first, second = nearest_vectors(start, end)
    np.testing.assert_allclose(rotvec_to_rotmat(first), rotvec_to_rotmat(start), atol=1e-7)
    np.testing.assert_allclose(rotvec_to_rotmat(second), rotvec_to_rotmat(end), atol=1e-7)
    back, forth = nearest_vectors(end, start)
    assert np.linalg.norm(back - forth) == pytest.approx(np.linalg.norm(first - second), abs=1e-9)
    naive = np.linalg.norm(canonical_rotvec(start) - canonical_rotvec(end))
    assert np.linalg.norm(first - second) <= naive + 1e-9


@pytest.mark.parametrize("method", ["axis-angle", "slerp"])
def test_small_turns_are_linear_and_ends_exact(method):
    rng = np.random.default_rng(0)
    start, end = rng.normal(size=(2, 23, 3)) * 1e-4
    path = between(start, end, SHARES, method)
    assert path.shape == (31, 23, 3)
    np.testing.assert_allclose(path[15], (start + end) / 2, atol=1e-8)
    np.testing.assert_allclose(path[[0, -1]], [start, end], atol=1e-12)


def test_axis_angle_is_linear_in_the_vectors():
    start, end = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    np.testing.assert_allclose(between(start, end, np.array([0.25]))[0], [0.75, 0.25, 0], atol=1e-15)


def test_distances_are_those_of_the_nearest_vectors():
    # Catches the plain norm, for which a shoulder turned by pi and -pi counts as contrast.
    rng = np.random.default_rng(1)
    a, b = canonical_rotvec(rng.normal(size=(12, 23, 3)) * 1.3), canonical_rotvec(rng.normal(size=(9, 23, 3)) * 1.3)
    wanted = [[np.linalg.norm(np.subtract(*nearest_vectors(x, y))) for y in b] for x in a]
    found = pose_distances(a, b)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert (found < np.linalg.norm((a[:, None] - b).reshape(12, 9, -1), axis=-1) - 0.1).any()


def test_frames_grow_with_the_distance():
    counts = [frames_for(d, 30.0, 30) for d in (0.0, 2.0, 5.0, 8.0, 16.0)]
    assert counts[0] == counts[1] == 30
    assert counts[1] < counts[2] < counts[3] < counts[4]
    assert frames_for(16.0, 60.0, 30) == 2 * (counts[4] - 1) + 1


@pytest.mark.parametrize("ease", [0.0, 0.2, 0.5])
def test_easing_is_smooth_and_complete(ease):
    shares = eased(101, ease)
    assert shares[0] == 0.0
    assert shares[-1] == pytest.approx(1.0, abs=1e-15)
    steps = np.diff(shares)
    assert steps.min() > 0
    np.testing.assert_allclose(steps, steps[::-1], atol=1e-12)
    assert np.abs(np.diff(steps)).max() < 0.0011


def test_unknown_method():
    with pytest.raises(ValueError, match="method"):
        between(*NEAR_PI, SHARES, "cubic")
