"""The rig: where the cameras stand, what they track, and that the person fits."""

import dataclasses

import numpy as np
import pytest

from synth.geometry.camera import camera_position, project
from synth.scene.cameras import cameras, evenly_around, extents, fitting_distance
from synth.spec import CameraRigSpec

RIG = CameraRigSpec(
    azimuths=evenly_around(4), elevation=0.1, distance=12.0, focal_mm=180.0, sensor_mm=32.0, width=250, height=250
)
PELVIS = np.array([[1.0, 2.0, 0.9], [1.2, 2.1, 1.0], [1.4, 1.9, 0.8]])


def test_four_views_are_east_west_south_north():
    np.testing.assert_allclose(np.degrees(evenly_around(4)), [0, 180, 270, 90])
    centre = PELVIS.mean(axis=0)
    places = [camera_position(c)[0] - centre for c in cameras(RIG, PELVIS)]
    flat = 12 * np.cos(0.1)
    expected = [[flat, 0], [-flat, 0], [0, -flat], [0, flat]]
    np.testing.assert_allclose([p[:2] for p in places], expected, atol=1e-9)
    np.testing.assert_allclose([p[2] for p in places], 12 * np.sin(0.1), atol=1e-9)


@pytest.mark.parametrize("views", [1, 2, 3, 5, 8])
def test_any_number_of_views_is_evenly_spaced(views):
    angles = np.sort(evenly_around(views))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / views)
    assert len(angles) == views


def test_no_views_is_an_error():
    with pytest.raises(ValueError, match="views"):
        evenly_around(0)


def test_cameras_stand_still_and_keep_the_pelvis_in_the_centre():
    for camera in cameras(RIG, PELVIS):
        places = camera_position(camera)
        np.testing.assert_allclose(places, np.broadcast_to(places[:1], places.shape), atol=1e-9)
        for t, pelvis in enumerate(PELVIS):
            np.testing.assert_allclose(project(pelvis, camera, t), [125, 125], atol=1e-9)


def test_whoever_fits_the_extents_fits_into_every_picture():
    rng = np.random.default_rng(0)
    points = PELVIS[:, None] + rng.normal(size=(3, 400, 3)) * [0.3, 0.3, 0.4]
    extent, travel = extents(points, PELVIS)
    assert travel == pytest.approx(np.linalg.norm(PELVIS - PELVIS.mean(axis=0), axis=1).max())
    for width, height in ((250, 250), (320, 180), (180, 320)):
        distance = fitting_distance(extent, travel, 180.0, 32.0, width, height)
        rig = dataclasses.replace(RIG, distance=distance, width=width, height=height)
        reach = []
        for camera in cameras(rig, PELVIS):
            for t in range(3):
                pixels = project(points[t], camera, t)
                assert (pixels >= 0).all()
                assert (pixels <= [width, height]).all()
                reach.append(np.abs(pixels - [width / 2, height / 2]).max() / (min(width, height) / 2))
        assert max(reach) > 0.7  # and not from farther away than needed


def test_walking_into_the_camera_is_refused():
    path = np.array([[0.0, 0, 1], [30.0, 0, 1]])
    with pytest.raises(ValueError, match="into the camera"):
        cameras(RIG, path)
