"""Garments on a body that comes in the layout of the licensed files, with another mesh than the free body's."""

import numpy as np
from cloth_items_toys import items_of

from garments import catalog
from garments.check import check_fit
from synth.body.model import load_body, load_named
from synth.cloth.dress import fitted, fitted_to


def in_smpls_layout(path):
    """The free man as such a file: vertices in another order, one triangle cut into three."""
    body = load_named("free", "male")
    corners, count = body.faces[-1], len(body.v_template)
    order = np.random.default_rng(0).permutation(count + 1)
    place = np.argsort(order)
    faces = np.concatenate([body.faces[:-1], [[*corners[[i, (i + 1) % 3]], count] for i in range(3)]])

    def more(field):
        return np.concatenate([field, field[corners].mean(axis=0, keepdims=True)])[order]

    regressor = np.concatenate([body.J_regressor, np.zeros((24, 1))], axis=1)[:, order]
    np.savez(
        path,
        v_template=more(body.v_template),
        shapedirs=more(body.shapedirs),
        posedirs=more(body.posedirs),
        J_regressor=regressor,
        weights=more(body.lbs_weights),
        kintree_table=np.stack([np.where(body.parents < 0, 2**32 - 1, body.parents), np.arange(24)]).astype(np.uint32),
        f=place[faces].astype(np.uint32),
        bs_style="lbs",
    )


def test_garments_hair_and_shoes_fit_and_follow_a_body_of_another_mesh(tmp_path):
    """Mutation: the garment bound by the indices of the body's vertices instead of by its surface."""
    in_smpls_layout(tmp_path / "SMPL_MALE.npz")
    body, own = load_body(tmp_path / "SMPL_MALE.npz", "male"), load_named("free", "male")
    betas = np.zeros(body.shapedirs.shape[2])
    betas[0] = -2.0
    for name in ("tshirt", "trousers", "hair_bob", "sneakers"):
        garment = catalog.load(name)
        skin, vertices = fitted_to(body, betas, garment)
        assert check_fit(garment, name, skin, vertices) == []
        apart = np.linalg.norm(vertices - fitted_to(own, betas[:10], garment)[1], axis=1)
        assert np.median(apart) < 0.012  # along the surface, where nothing says which point is which
        assert apart.max() < 0.04
    ((_, _, weights),) = fitted(body, betas, items_of("sneakers"))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-9)
    assert weights[:, [4, 5, 7, 8, 10, 11]].sum(axis=1).min() > 0.9
