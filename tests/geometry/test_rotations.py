import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from synth.geometry.rotations import (
    canonical_rotvec,
    quat_wxyz_to_rotvec,
    rotmat_to_quat_wxyz,
    rotmat_to_rotvec,
    rotvec_to_rotmat,
    slerp,
)

AXES = arrays(np.float64, 3, elements=st.floats(-1, 1)).filter(lambda v: np.linalg.norm(v) > 1e-3)
# Angles that break naive formulas are drawn often: none, tiny, and near pi on both sides.
ANGLES = st.one_of(
    st.floats(0, 3 * np.pi),
    st.sampled_from([0.0, 1e-300, 1e-12, 1e-8, 1e-5, np.pi - 1e-5, np.pi - 1e-9, np.pi, np.pi + 1e-9, 2 * np.pi]),
)


@st.composite
def rotvecs(draw):
    axis = draw(AXES)
    return axis / np.linalg.norm(axis) * draw(ANGLES)


@given(rotvecs())
def test_matrix_matches_scipy_and_is_a_rotation(vector):
    """An independent implementation; a transposed R (the commonest slip) differs at once."""
    R = rotvec_to_rotmat(vector)
    np.testing.assert_allclose(R, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1, abs=1e-12)


@given(rotvecs())
def test_round_trip_through_matrix_gives_the_canonical_vector(vector):
    """arccos of the trace would lose half the digits near 0 and near pi."""
    back = rotmat_to_rotvec(rotvec_to_rotmat(vector))
    assert np.linalg.norm(back) <= np.pi + 1e-9
    np.testing.assert_allclose(rotvec_to_rotmat(back), rotvec_to_rotmat(vector), atol=1e-11)
    angle = np.linalg.norm(vector)
    if angle < np.pi - 1e-6:
        np.testing.assert_allclose(back, vector, atol=1e-12 + 1e-9 * (angle > 3))


@given(rotvecs())
def test_canonical_vector_is_short_unique_and_the_same_rotation(vector):
    """Catches wrapping that flips the axis without changing the angle."""
    short = canonical_rotvec(vector)
    assert np.linalg.norm(short) <= np.pi + 1e-9
    np.testing.assert_allclose(rotvec_to_rotmat(short), rotvec_to_rotmat(vector), atol=1e-11)
    np.testing.assert_allclose(canonical_rotvec(short), short, atol=1e-12)


def test_the_half_turn_has_one_vector():
    """Without a rule for the sign at pi, two equal poses are 2 pi apart."""
    axis = np.array([0.0, -0.6, 0.8])
    np.testing.assert_allclose(canonical_rotvec(np.pi * axis), canonical_rotvec(-np.pi * axis))
    np.testing.assert_allclose(rotmat_to_rotvec(rotvec_to_rotmat(np.pi * axis)), -np.pi * axis, atol=1e-7)


def test_tiny_rotation_keeps_its_digits():
    tiny = np.array([1e-9, -2e-9, 3e-9])
    np.testing.assert_allclose(rotmat_to_rotvec(rotvec_to_rotmat(tiny)), tiny, rtol=1e-6)
    assert (rotmat_to_rotvec(np.eye(3)) == 0).all()


@given(rotvecs())
def test_quaternion_matches_scipy(vector):
    """Order w first, w >= 0."""
    quat = rotmat_to_quat_wxyz(rotvec_to_rotmat(vector))
    expected = Rotation.from_rotvec(vector).as_quat()[[3, 0, 1, 2]]
    assert min(np.abs(quat - expected).max(), np.abs(quat + expected).max()) < 1e-9
    assert quat[0] >= 0
    np.testing.assert_allclose(rotvec_to_rotmat(quat_wxyz_to_rotvec(-quat)), rotvec_to_rotmat(vector), atol=1e-9)


@given(rotvecs(), rotvecs(), st.floats(0, 1))
def test_slerp_moves_at_constant_speed_along_the_shortest_arc(start, stop, weight):
    """Linear interpolation of the vectors fails this as soon as the axes differ."""
    arc = np.linalg.norm(rotmat_to_rotvec(rotvec_to_rotmat(start).T @ rotvec_to_rotmat(stop)))
    middle = rotvec_to_rotmat(slerp(start, stop, weight))
    gone = np.linalg.norm(rotmat_to_rotvec(rotvec_to_rotmat(start).T @ middle))
    left = np.linalg.norm(rotmat_to_rotvec(middle.T @ rotvec_to_rotmat(stop)))
    assert gone == pytest.approx(weight * arc, abs=1e-7)
    assert left == pytest.approx((1 - weight) * arc, abs=1e-7)


def test_batches_of_any_shape():
    vectors = np.random.default_rng(0).normal(size=(2, 5, 24, 3))
    R = rotvec_to_rotmat(vectors)
    assert R.shape == (2, 5, 24, 3, 3)
    np.testing.assert_allclose(R[1, 3, 7], rotvec_to_rotmat(vectors[1, 3, 7]))
    np.testing.assert_allclose(rotvec_to_rotmat(rotmat_to_rotvec(R)), R, atol=1e-12)
    between = slerp(vectors[0], vectors[1], np.linspace(0, 1, 5)[:, None])
    np.testing.assert_allclose(rotvec_to_rotmat(between[0]), R[0, 0], atol=1e-12)
    np.testing.assert_allclose(rotvec_to_rotmat(between[4]), R[1, 4], atol=1e-12)
    with pytest.raises((ValueError, TypeError), match="stop"):
        slerp(vectors[0], vectors[:, 0], 0.5)
