"""Closest points and the z-buffer, against brute force and trimesh's independent code."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.geometry.triangles import ClosestPoint, closest_on_triangles, rasterize, vertex_normals, winding

K = np.array([[60.0, 0.0, 20.0], [0.0, 60.0, 15.0], [0.0, 0.0, 1.0]])


def sphere() -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), squash=st.sampled_from([1.0, 1e-3, 0.0]))
def test_closest_on_triangles_agrees_with_trimesh_in_all_regions(seed: int, squash: float) -> None:
    # Catches a missing Voronoi region and a flat triangle's division by zero.
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(200, 3, 3)) * [1.0, 1.0, squash]
    if squash == 0:
        corners[:, :, 1] = 0.0
    points = rng.normal(size=(200, 3)) * 1.5
    weights = closest_on_triangles(points, corners[:, 0], corners[:, 1], corners[:, 2])
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-9)
    found = np.linalg.norm(np.einsum("nk,nki->ni", weights, corners) - points, axis=1)
    samples = np.random.default_rng(1).dirichlet([0.5, 0.5, 0.5], size=400)
    tried = np.linalg.norm(np.einsum("sk,nki->nsi", samples, corners) - points[:, None], axis=2).min(axis=1)
    assert (found <= tried + 1e-9).all()
    if squash:
        wanted = np.linalg.norm(trimesh.triangles.closest_point(corners, points) - points, axis=1)
        np.testing.assert_allclose(found, wanted, atol=1e-7)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_exact_query_agrees_with_brute_force_on_uneven_triangles(seed: int) -> None:
    # Catches a search that stops at the nearest centroids: the triangles' sizes differ a hundredfold.
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(120, 1, 3))
    corners = centre + rng.normal(size=(120, 3, 3)) * rng.choice([0.01, 1.0], size=(120, 1, 1))
    points = rng.normal(size=(50, 3))
    mesh = ClosestPoint(corners.reshape(-1, 3), np.arange(360).reshape(-1, 3), candidates=3)
    pairs = np.repeat(points, 120, axis=0), np.tile(corners, (50, 1, 1))
    brute = np.linalg.norm(trimesh.triangles.closest_point(pairs[1], pairs[0]) - pairs[0], axis=1).reshape(50, 120)
    answer = mesh(points, exact=True)
    np.testing.assert_allclose(np.abs(answer.distance), brute.min(axis=1), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(answer.point - points, axis=1), brute.min(axis=1), atol=1e-9)


def test_sphere_distance_sign_and_normal() -> None:
    # Catches a flipped sign and normals that are not interpolated.
    vertices, faces = sphere()
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radius = rng.uniform(0.2, 0.9, size=500)
    answer = ClosestPoint(vertices, faces)(directions * radius[:, None])
    np.testing.assert_allclose(answer.distance, radius - 0.5, atol=0.004)
    outward = answer.point / np.linalg.norm(answer.point, axis=1, keepdims=True)
    assert np.einsum("ni,ni->n", answer.normal, outward).min() > 0.9999
    spot = np.einsum("nk,nki->ni", answer.barycentric, vertices[faces[answer.face]])
    np.testing.assert_allclose(spot, answer.point, atol=1e-12)


def test_moved_mesh_answers_for_the_new_place() -> None:
    vertices, faces = sphere()
    answer = ClosestPoint(vertices, faces).moved(vertices + np.array([2.0, 0.0, 0.0]))(np.array([[2.0, 0.0, 0.7]]))
    assert answer.distance[0] == pytest.approx(0.2, abs=0.002)


def test_a_mesh_without_faces_is_refused() -> None:
    with pytest.raises(ValueError, match="faces"):
        ClosestPoint(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64))


def test_vertex_normals_of_a_tilted_square() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1], [9, 9, 9]])
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(normals[:4], np.tile([0, -(0.5**0.5), 0.5**0.5], (4, 1)), atol=1e-12)
    np.testing.assert_array_equal(normals[4], 0.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.03, 0.2, 2.0]))
def test_rasterize_agrees_with_rays_through_the_pixel_centres(seed: int, size: float) -> None:
    # Catches half-pixel shifts, swapped axes, a wrong z-order and affine instead of perspective interpolation.
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-0.6, -0.4, 1.5], [0.6, 0.4, 3.0], size=(40, 3))
    corners = centre[:, None] + rng.normal(size=(40, 3, 3)) * size * [0.5, 0.5, 0.2]
    corners = corners[(corners[:, :, 2] > 0.05).all(axis=1)]
    depth, face, weights = rasterize(corners.reshape(-1, 3), np.arange(corners.size // 3).reshape(-1, 3), K, 40, 30)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    rays = np.stack([(x - 20) / 60, (y - 15) / 60, np.ones_like(x)], axis=-1).reshape(-1, 3)
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    system = np.stack(np.broadcast_arrays(-rays[:, None], ab[None], ac[None]), axis=-1)
    flat = np.abs(np.linalg.det(system)) < 1e-12
    system[flat] = np.eye(3)
    solved = np.linalg.solve(system, np.broadcast_to(-a[None, :, :, None], (len(rays), len(a), 3, 1)))[..., 0]
    t, u, v = solved[..., 0], solved[..., 1], solved[..., 2]
    margin = np.minimum(np.minimum(u, v), 1 - u - v)
    hit = np.where((margin >= 0) & ~flat, t, np.inf)
    wanted = hit.min(axis=1).reshape(30, 40)
    doubtful = (np.abs(margin) < 1e-7).any(axis=1).reshape(30, 40)
    np.testing.assert_array_equal((face >= 0)[~doubtful], np.isfinite(wanted)[~doubtful])
    seen = (face >= 0) & ~doubtful
    np.testing.assert_allclose(depth[seen], wanted[seen], rtol=1e-9)
    spot = np.einsum("nk,nki->ni", weights[seen], corners[face[seen]])
    np.testing.assert_allclose(spot, rays.reshape(30, 40, 3)[seen] * depth[seen][:, None], atol=1e-9)
    assert (depth[face < 0] == 0).all()


def test_rasterize_leaves_no_gap_between_neighbours_and_drops_what_is_behind() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 90), indexing="ij"), axis=-1)
    points = np.concatenate([grid, np.full((90, 90, 1), 2.0)], axis=-1)
    points[1:-1, 1:-1] += rng.uniform(-0.008, 0.008, size=(88, 88, 3))
    index = np.arange(8100).reshape(90, 90)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    assert (rasterize(points.reshape(-1, 3), faces, K, 40, 30)[1] >= 0).all()
    assert (rasterize(points.reshape(-1, 3) * [1, 1, -1], faces, K, 40, 30)[1] < 0).all()


def test_rasterize_of_huge_triangles_in_parts_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = sphere()
    vertices = vertices + np.array([0, 0, 2.0])
    whole = rasterize(vertices, faces, K, 40, 30)
    monkeypatch.setattr("synth.geometry.triangles._CHUNK", 50)
    for one, other in zip(whole, rasterize(vertices, faces, K, 40, 30), strict=True):
        np.testing.assert_array_equal(one, other)


def test_winding_counts_how_often_a_closed_surface_goes_round_a_point() -> None:
    """Two balls that overlap. Mutations: half of the solid angle; the triangles' sense; only the first chunk."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    corners = np.asarray(ball.vertices)
    vertices = np.concatenate([corners, corners + np.array([0.12, 0, 0])])
    faces = np.concatenate([ball.faces, ball.faces + len(corners)])
    points = np.random.default_rng(0).uniform([-0.15, -0.15, -0.15], [0.27, 0.15, 0.15], (3000, 3))
    radii = np.stack([np.linalg.norm(points - centre, axis=1) for centre in ([0, 0, 0], [0.12, 0, 0])])
    clear = (np.abs(radii - 0.099) > 0.002).all(axis=0)
    expected = (radii < 0.099).sum(axis=0)
    found = winding(points, vertices, faces)
    assert set(expected) == {0, 1, 2}
    np.testing.assert_allclose(found[clear], expected[clear], atol=1e-4)
    assert winding(points[:0], vertices, faces).shape == (0,)
