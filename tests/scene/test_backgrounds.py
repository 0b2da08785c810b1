"""Backgrounds: which way round, how wide, how they move with the camera."""

import numpy as np
import pytest

from synth.geometry.camera import intrinsics, look_at
from synth.scene import backgrounds
from synth.spec import BackgroundSpec
from synth.types import Camera


def panning(azimuths, width=64, height=48) -> Camera:
    """A camera at the origin that looks in these directions."""
    target = np.stack([np.cos(azimuths), np.sin(azimuths), np.zeros(len(azimuths))], axis=1)
    poses = look_at(np.zeros_like(target), target)
    return Camera(K=intrinsics(180.0, 32.0, width, height), T_camera_world=poses, width=width, height=height)


def spec(kind="environment", scale=1.0, rotation=0.0, seed=1) -> BackgroundSpec:
    return BackgroundSpec(kind=kind, seed=seed, scale=scale, rotation=rotation)


def sphere_of(function, height=256) -> np.ndarray:
    """Equirectangular picture of a function of the direction, by the formula of Cycles' convention."""
    u = (np.arange(2 * height) + 0.5) / (2 * height)
    v = (np.arange(height) + 0.5) / height
    azimuth, elevation = np.meshgrid((0.5 - u) * 2 * np.pi, (0.5 - v) * np.pi)
    directions = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    return function(np.stack(directions, axis=-1)).astype(np.float32)


@pytest.mark.parametrize("rotation", [0.0, 1.1])
def test_the_sphere_is_seen_in_the_right_direction(rotation):
    picture = sphere_of(lambda d: 0.5 + 0.5 * d)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(9, 7, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    cos, sin = np.cos(rotation), np.sin(rotation)
    turned_back = directions @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    found = backgrounds.sphere(picture, directions, rotation)
    np.testing.assert_allclose(found, 0.5 + 0.5 * turned_back, atol=0.01)


def test_at_scale_one_the_rays_are_the_cameras_own():
    camera = panning(np.array([0.4, 0.6]))
    from synth.geometry.camera import unproject

    own = unproject(np.ones((48, 64)), camera, 1)
    rays = backgrounds.wide_rays(camera, 1, 1.0)
    np.testing.assert_allclose(rays, own, atol=1e-12)


def test_scale_widens_the_view_and_a_pan_moves_it_by_as_many_pixels():
    camera = panning(np.array([-0.01, 0.01]))
    for scale in (1.0, 5.0):
        before, after = (backgrounds.wide_rays(camera, t, scale)[24] for t in (0, 1))
        azimuth = [np.arctan2(rays[:, 1], rays[:, 0]) for rays in (before, after)]
        span = azimuth[0][0] - azimuth[0][-1]
        assert span == pytest.approx(scale * 2 * np.arctan(0.5 * 63 / camera.K[0, 0]), rel=0.02)
        # The camera turns left by 0.02 rad: what is behind moves right by about 0.02 f pixels.
        moved = np.interp(-azimuth[0][32], -azimuth[1], np.arange(64)) - 32
        assert moved == pytest.approx(0.02 * camera.K[0, 0], rel=0.1)


def test_a_flat_picture_moves_the_same_way():
    camera = panning(np.array([-0.01, 0.01]))
    x = np.arange(400) / 400
    picture = np.repeat(np.repeat(x[None, :, None], 300, axis=0), 3, axis=2).astype(np.float32)
    first, second = (backgrounds.background(spec("picture", 1.5), picture, camera, t) for t in (0, 1))
    row = first[24, :, 0].astype(float)
    assert (np.diff(row) > 0).all()  # not mirrored
    step = np.diff(row).mean()
    np.testing.assert_allclose((second[24, :, 0] - row)[20:-20] / step, -0.02 * camera.K[0, 0], rtol=0.05)


def test_views_see_other_parts_of_a_flat_picture():
    camera = panning(np.zeros(1))
    picture = backgrounds.generated(3, 0)
    a, b = (backgrounds.background(spec("generated", 1.6), picture, camera, 0, view=v) for v in (0, 1))
    assert np.abs(a - b).max() > 0.01


def test_beyond_its_edges_a_picture_is_mirrored():
    x = np.array([[0.5, -0.5, -1.5, 9.5, 10.5, 11.5]])
    np.testing.assert_allclose(backgrounds._mirror(x, 10), [[0.5, 1.5, 2.5, 9.5, 8.5, 7.5]])


def test_generated_pictures_are_pictures():
    seen = [backgrounds.generated(seed, 0) for seed in range(6)]
    for picture in seen:
        assert picture.shape == (320, 320, 3)
        assert 0 <= picture.min() <= picture.max() <= 1
        assert 0.03 < picture.mean() < 0.8
        assert picture.std() > 0.02
    assert np.abs(seen[0] - seen[1]).mean() > 0.02
    np.testing.assert_array_equal(seen[0], backgrounds.generated(0, 0))


def test_shrinking_keeps_the_light():
    picture = np.random.default_rng(0).random((64, 128, 3)).astype(np.float32)
    small = backgrounds.fitted(picture, 4.9)
    assert small.shape == (16, 32, 3)
    np.testing.assert_allclose(small.mean(), picture.mean(), rtol=1e-5)
    assert backgrounds.fitted(picture, 0.3) is not None
    np.testing.assert_array_equal(backgrounds.fitted(picture, 0.3), picture)


def test_brightness_of_known_skies():
    white = np.ones((64, 128, 3), dtype=np.float32)
    assert backgrounds.brightness(white) == pytest.approx(1.0, rel=0.01)
    # Only the upper half is lit: an upright wall sees half of its light.
    half = white.copy()
    half[32:] = 0
    assert backgrounds.brightness(half) == pytest.approx(0.5, rel=0.01)
    assert backgrounds.brightness(3 * half) == pytest.approx(1.5, rel=0.01)
    assert backgrounds.brightness(0 * half) > 0
