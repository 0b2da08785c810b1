import dataclasses

import numpy as np
import pytest

from synth.body import lbs
from synth.body.model import load_named
from synth.body.shape import A_POSE, rest_surface, surface_map

NEUTRAL = load_named("free", "neutral")


def other_topology(body):
    """The same body with each triangle cut into four and its vertices in another order."""
    edges = np.concatenate([body.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    unique, inverse = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    F, V = len(body.faces), len(body.v_template)
    ab, bc, ca = V + inverse.reshape(3, F)
    a, b, c = body.faces.T
    faces = np.concatenate([np.stack(f, axis=1) for f in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    order = np.random.default_rng(0).permutation(V + len(unique))
    place = np.argsort(order)

    def split(field):
        return np.concatenate([field, field[unique].mean(axis=1)])[order]

    regressor = np.concatenate([body.J_regressor, np.zeros((24, len(unique)))], axis=1)[:, order]
    return dataclasses.replace(
        body, name="other", v_template=split(body.v_template), shapedirs=split(body.shapedirs),
        posedirs=split(body.posedirs), lbs_weights=split(body.lbs_weights), J_regressor=regressor,
        faces=place[faces], uv=np.zeros((4 * F, 3, 2)), keypoint_regressors={},
    )  # fmt: skip


def test_same_topology_is_the_identity():
    mapped = surface_map(NEUTRAL, load_named("free", "female"))
    assert mapped.shape == (len(NEUTRAL.v_template),) * 2
    np.testing.assert_array_equal(mapped.diagonal(), 1)
    assert mapped.nnz == len(NEUTRAL.v_template)


@pytest.mark.slow
def test_other_topology_corresponds():
    """A map by index, or one that leaps from arm to trunk, is centimetres off."""
    other = other_topology(NEUTRAL)
    mapped = surface_map(NEUTRAL, other)
    np.testing.assert_allclose(np.asarray(mapped.sum(axis=1)).ravel(), 1)
    assert mapped.min() >= 0
    betas = np.zeros(10)
    betas[:2] = 1.0, -1.0
    error = np.linalg.norm(mapped @ rest_surface(other, betas) - rest_surface(NEUTRAL, betas), axis=1)
    assert np.median(error) < 1e-4
    assert error.max() < 5e-3


@pytest.mark.slow
def test_other_shape_and_topology_keeps_parts():
    """The female body in another mesh: neutral vertices land on the same part of it, near the true counterpart."""
    female = load_named("free", "female")
    mapped = surface_map(NEUTRAL, other_topology(female))
    zero = np.zeros((1, 3))
    carried = mapped @ lbs.posed(other_topology(female), np.zeros(10), zero, A_POSE[None], zero)[0][0]
    error = np.linalg.norm(carried - rest_surface(female, np.zeros(10)), axis=1)
    assert np.median(error) < 0.015
    assert np.quantile(error, 0.99) < 0.05
