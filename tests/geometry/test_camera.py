"""Cameras: known values, round trips and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synth.geometry.camera import (
    camera_position,
    intrinsics,
    look_at,
    pixel_centres,
    project,
    unproject,
    world_to_camera,
)
from synth.types import Camera

finite = st.floats(-5, 5, width=32)
points = arrays(np.float64, (6, 3), elements=finite)


def make_camera(azimuth=0.0, elevation=0.1, distance=12.0, width=250, height=250, target=(0.3, -0.2, 0.9)) -> Camera:
    target = np.array(target, dtype=np.float64)
    direction = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    eye = target + distance * np.array(direction)
    pose = look_at(eye[None], target[None])
    return Camera(K=intrinsics(180.0, 32.0, width, height), T_camera_world=pose, width=width, height=height)


def test_mviper_lens():
    np.testing.assert_array_equal(intrinsics(180.0, 32.0, 250, 200), [[1406.25, 0, 125], [0, 1406.25, 100], [0, 0, 1]])


def test_axes():
    # A camera south of the person looks along +Y: +X is right in the picture, +Z is up (y smaller), +Y is farther.
    camera = make_camera(azimuth=-np.pi / 2, elevation=0.0, target=(0, 0, 0))
    np.testing.assert_allclose(project(np.zeros((1, 3)), camera, 0), [[125, 125]], atol=1e-9)
    pixels = project(np.array([[0.1, 0, 0], [0, 0, 0.1]]), camera, 0)
    np.testing.assert_allclose(pixels, [[125 + 140.625 / 12, 125], [125, 125 - 140.625 / 12]], atol=1e-9)
    np.testing.assert_allclose(world_to_camera(np.array([0, 1.0, 0]), camera, 0), [0, 0, 13], atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    azimuth=st.floats(-4, 4),
    elevation=st.floats(-1.2, 1.2),
    distance=st.floats(1, 50),
    target=arrays(float, 3, elements=finite),
)
def test_look_at_is_a_rotation_with_the_target_in_the_centre(azimuth, elevation, distance, target):
    camera = make_camera(azimuth, elevation, distance, target=target)
    rotation = camera.T_camera_world[0, :3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(project(target, camera, 0), [125, 125], atol=1e-6)
    assert np.linalg.norm(camera_position(camera)[0] - target) == pytest.approx(distance, rel=1e-9)
    assert world_to_camera(target + np.array([0, 0, 0.1]), camera, 0)[1] < 0  # up in the world is up in the picture


@settings(max_examples=50, deadline=None)
@given(depth=arrays(np.float64, (7, 9), elements=st.floats(0.5, 60)), azimuth=st.floats(-4, 4))
def test_projecting_what_was_unprojected_gives_pixel_centres(depth, azimuth):
    # A half-pixel shift, a transposed rotation or a forgotten translation in either function fails here.
    camera = make_camera(azimuth, width=9, height=7)
    np.testing.assert_allclose(project(unproject(depth, camera, 0), camera, 0), pixel_centres(camera), atol=1e-8)
    np.testing.assert_allclose(world_to_camera(unproject(depth, camera, 0), camera, 0)[..., 2], depth, rtol=1e-10)


def test_unproject_knows_its_pixels_and_the_background():
    camera = make_camera(width=4, height=4)
    depth = np.zeros((4, 4))
    depth[1, 3] = 10.0
    found = unproject(depth, camera, 0)
    assert np.isfinite(found).all(axis=-1).sum() == 1
    np.testing.assert_allclose(project(found[1, 3], camera, 0), [3.5, 1.5], atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(points)
def test_projection_does_not_depend_on_the_order_or_shape_of_the_points(points_world):
    camera = make_camera(distance=20.0)
    flat = project(points_world, camera, 0)
    np.testing.assert_allclose(project(points_world.reshape(2, 3, 3), camera, 0).reshape(6, 2), flat, atol=1e-9)


def test_points_behind_the_camera_are_refused():
    camera = make_camera(azimuth=0, elevation=0, distance=2, target=(0, 0, 0))
    for point in ([2.0, 0, 0], [3.0, 0, 0], [np.nan, 0, 0]):
        with pytest.raises(ValueError, match="in front"):
            project(np.array([point], dtype=np.float64), camera, 0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="positive"):
        intrinsics(0.0, 32.0, 250, 250)
    for eye, target in (([0, 0, 1.0], [0, 0, 1.0]), ([0, 0, 5.0], [0, 0, 1.0])):
        with pytest.raises(ValueError, match="look_at"):
            look_at(np.array(eye), np.array(target))
    with pytest.raises(ValueError, match="depth"):
        unproject(np.ones((3, 3)), make_camera(), 0)
