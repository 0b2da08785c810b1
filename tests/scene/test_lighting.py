"""Suns and sky: the same light in sum, from the same side, whatever the picture."""

import numpy as np
import pytest

from synth.scene import backgrounds, lighting


def landscape(spots=(), height=64) -> np.ndarray:
    """Blue above, brown below, and bright spots: (direction, radius [rad], radiance)."""
    towards, _ = lighting.sphere_grid(height, 2 * height)
    up = 0.5 + 0.5 * towards[..., 2:]
    picture = up * [0.4, 0.6, 1.0] + (1 - up) * [0.3, 0.2, 0.1]
    for direction, radius, radiance in spots:
        picture[towards @ direction > np.cos(radius)] += radiance
    return picture.astype(np.float32)


def irradiance(picture, normals) -> np.ndarray:
    towards, solid_angle = lighting.sphere_grid(*picture.shape[:2])
    cosines = np.maximum(normals @ towards.reshape(-1, 3).T, 0.0)
    return cosines @ (picture * solid_angle[..., None]).reshape(-1, 3)


def light(picture) -> np.ndarray:
    """All of it, over the whole sphere."""
    _, solid_angle = lighting.sphere_grid(*picture.shape[:2])
    return (picture * solid_angle[..., None]).sum(axis=(0, 1))


def directions(count, seed=0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_surface_gets_as_much_light_from_suns_and_sky_as_from_the_picture():
    # catches light lost or doubled, colours mixed up, a sun on the wrong side
    one, two, three = directions(3, seed=1)
    picture = landscape([(one, 0.05, [300.0, 250.0, 200.0]), (two, 0.2, [2.0, 4.0, 8.0]), (three, 0.06, [99.0, 9, 0])])
    suns, sky = lighting.split(picture)
    normals = directions(200)
    wanted = irradiance(picture, normals)
    found = irradiance(sky, normals)
    for sun in suns:
        found += np.maximum(normals @ sun.direction, 0.0)[:, None] * sun.irradiance
    assert 2 <= len(suns) <= lighting.SUNS
    np.testing.assert_allclose(found, wanted, atol=0.06 * wanted.mean())


def test_a_disc_becomes_one_sun_of_its_size_and_place():
    (direction,) = directions(1, seed=2)
    (sun,), sky = lighting.split(landscape([(direction, 0.15, [20.0, 20.0, 20.0])], height=256))
    assert np.degrees(np.arccos(sun.direction @ direction)) < 0.5
    assert sun.radius == pytest.approx(0.15, rel=0.1)
    assert sky.shape == (lighting.SKY_WIDTH // 2, lighting.SKY_WIDTH, 3)


def test_even_light_and_no_light_need_no_sun():
    for value in (0.0, 3.0):
        suns, sky = lighting.split(np.full((64, 128, 3), value, np.float32))
        assert suns == []
        np.testing.assert_allclose(sky, value, rtol=5e-3)


def test_the_sky_keeps_the_mean_and_is_nowhere_negative():
    picture = landscape([(np.array([0.0, 0.0, 1.0]), 0.3, [50.0, 5.0, 0.0])])
    sky = lighting.smooth(picture)
    assert sky.min() >= 0
    np.testing.assert_allclose(light(sky), light(picture), rtol=0.01)


def test_many_lamps_stay_within_the_limit():
    spots = [(d, 0.04, [80.0, 80.0, 80.0]) for d in directions(40, seed=3)]
    suns, sky = lighting.split(landscape(spots))
    assert len(suns) == lighting.SUNS
    np.testing.assert_allclose(sum(sun.irradiance for sun in suns) + light(sky), light(landscape(spots)), rtol=0.01)


def test_the_grid_is_the_one_backgrounds_are_looked_up_in():
    towards, _ = lighting.sphere_grid(32, 64)
    picture = (0.5 + 0.5 * towards).astype(np.float32)
    asked = directions(50)[:, None]
    asked = asked[np.abs(asked[..., 2]) < 0.95][:, None]
    np.testing.assert_allclose(backgrounds.sphere(picture, asked, 0.0), 0.5 + 0.5 * asked, atol=0.01)
