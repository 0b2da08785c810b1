"""Signs, axes and curves of the passes, on values known by hand."""

import numpy as np
import pytest

pytest.importorskip("bpy")

from synth.blender import passes

pytestmark = pytest.mark.blender


def test_flow_signs():
    # Z = current - next in x: a point that moves right has a negative Z; y is up in the pass, down in ours.
    vector = np.array([[[9.0, 9.0, -2.0, 3.0], [1.0, 1.0, 1.0, 1.0]]], dtype=np.float32)
    flow = passes.forward_flow(vector, np.array([[True, False]]))
    np.testing.assert_array_equal(flow, [[[2.0, 3.0], [0.0, 0.0]]])


def test_normals_face_the_camera_and_are_unit():
    rotation = np.eye(4)
    rotation[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # camera's z is the world's y
    world = np.array([[[0.0, -1.0, 0.0], [0.6, -0.8, 0.0], [0.0, 1e-3, 1.0], [0.0, 0.0, 0.0]]], dtype=np.float32)
    got = passes.camera_normal(world, np.array([[True, True, True, False]]), rotation)
    np.testing.assert_allclose(got[0, :2], [[0, 0, -1], [0.6, 0, -0.8]], atol=1e-6)
    assert got[0, 2, 2] < 0
    np.testing.assert_allclose(np.linalg.norm(got[0, :3], axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(got[0, 3], 0)


def test_srgb_curve_against_known_values_and_its_inverse():
    np.testing.assert_allclose(
        passes.linear_to_srgb(np.array([0.0, 0.0031308, 0.2140, 1.0, 7.0])), [0, 0.04045, 0.5, 1, 1], atol=1e-4
    )
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(passes.linear_to_srgb(passes.srgb_to_linear(values)), values, atol=1e-5)


def test_the_person_covers_the_background_by_alpha():
    person = np.array([[[0.2, 0.0, 0.0, 1.0], [0.1, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]]])
    background = np.full((1, 3, 3), 0.4)
    rgb = passes.compose(person, background, 1.0)
    linear = np.array([[0.2, 0, 0], [0.3, 0.2, 0.2], [0.4, 0.4, 0.4]])
    np.testing.assert_array_equal(rgb[0], np.round(255 * passes.linear_to_srgb(linear)))
    assert (passes.compose(person, background, 2.0) >= rgb).all()
