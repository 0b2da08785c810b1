"""Fitting on shapes whose right answer is known."""

import numpy as np
import pytest

from garments.fit import averaging, fit, pushed_out, smoothed


def tube(radius: float, rows: int = 12, around: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, quads and edges of an upright tube."""
    angle = 2 * np.pi * np.arange(around) / around
    ring = radius * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    vertices = (ring[None] + np.linspace(0, 0.5, rows)[:, None, None] * [0.0, 1.0, 0.0]).reshape(-1, 3)
    index = np.arange(rows * around).reshape(rows, around)
    after = np.roll(index, -1, axis=1)
    faces = np.stack([index[:-1], index[1:], after[1:], after[:-1]], axis=-1).reshape(-1, 4)
    pairs = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    return vertices, faces, np.unique(np.sort(pairs, axis=1), axis=0)


def cylinder(radius: float):
    """An endless upright cylinder as `Nearest`."""

    def nearest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = points * [1.0, 0.0, 1.0]
        length = np.linalg.norm(flat, axis=1)
        return length - radius, flat / length[:, None]

    return nearest


def test_smoothing_keeps_constants_and_calms_noise() -> None:
    vertices, _, edges = tube(0.1)
    average = averaging(edges, len(vertices))
    np.testing.assert_allclose(smoothed(np.ones((len(vertices), 3)), average, 20), 1.0, atol=1e-12)
    noise = np.random.default_rng(0).normal(size=(len(vertices), 3))
    assert smoothed(noise, average, 20).std() < 0.3 * noise.std()


def test_a_garment_goes_where_the_body_goes() -> None:
    vertices, faces, edges = tube(0.12)
    moved = fit(vertices, faces, edges, np.full_like(vertices, 0.25), cylinder(1e-3), np.zeros(len(vertices)))
    np.testing.assert_allclose(moved, vertices + 0.25, atol=1e-12)


def test_a_narrow_garment_ends_at_its_clearance() -> None:
    # Catches a push inwards, and one that leaves the middles of the faces inside.
    vertices, faces, edges = tube(0.10)
    out = pushed_out(vertices, faces, edges, cylinder(0.12), np.full(len(vertices), 0.005))
    distance = cylinder(0.12)(out)[0]
    middles = cylinder(0.12)(out[faces].mean(axis=1))[0]
    assert distance.min() > 0.0049
    assert middles.min() > 0.0048
    assert distance.max() < 0.008


def test_a_garment_that_is_clear_stays_as_it_is() -> None:
    vertices, faces, edges = tube(0.15)
    np.testing.assert_array_equal(
        pushed_out(vertices, faces, edges, cylinder(0.12), np.full(len(vertices), 0.005)), vertices
    )


def test_a_bump_pushes_without_leaving_a_spike() -> None:
    vertices, faces, edges = tube(0.12)
    bump = vertices[150] * [0.97, 1.0, 0.97]

    def nearest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap = points - bump
        length = np.linalg.norm(gap, axis=1)
        return length - 0.015, gap / length[:, None]

    out = pushed_out(vertices, faces, edges, nearest, np.zeros(len(vertices)))
    assert nearest(out)[0].min() > -2e-4
    step = np.linalg.norm((out - vertices)[edges[:, 0]] - (out - vertices)[edges[:, 1]], axis=1)
    assert step.max() < 0.02
    assert np.linalg.norm(out - vertices, axis=1).max() == pytest.approx(0.0114, abs=0.006)


def test_what_is_caught_in_a_gap_narrower_than_the_clearance_ends_up_just_clear() -> None:
    """Mutation: without the last steps the two walls push it to and fro."""
    vertices, faces, edges = tube(0.0008)

    def walls(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All is solid but a slit of 2 mm around x = 0."""
        toward = -np.where(points[:, 0] < 0, -1.0, 1.0)
        return 0.001 - np.abs(points[:, 0]), toward[:, None] * np.array([1.0, 0.0, 0.0])

    start = vertices + np.array([0.003, 0.0, 0.0])
    clear = fit(start, faces, edges, 0 * start, walls, np.full(len(start), 0.003))
    assert walls(start)[0].max() < 0
    assert walls(clear)[0].min() > -1e-4
