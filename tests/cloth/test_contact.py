import numpy as np
import pytest
from cloth_toys import dressed_cylinder, garment, triangles, tube

from synth.cloth.contact import CONTACT_LIMITS, ContactLimits, contacts, crumpled, pierced, reasons
from synth.cloth.stretch import stretching
from synth.types import DressedGarment

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    ("start", "end", "through"),
    [
        ([0.7, 0.2, -0.1], [0.7, 0.2, 0.1], True),
        ([0.7, 0.2, 0.1], [0.7, 0.2, -0.1], True),
        ([0.7, 0.2, 0.1], [0.7, 0.2, 0.3], False),  # stops short of it
        ([1.7, 0.2, -0.1], [1.7, 0.2, 0.1], False),  # passes beside it
        ([0.2, 0.2, 0.1], [0.8, 0.3, 0.1], False),  # runs along it
    ],
)
def test_an_edge_pierces_a_triangle_it_crosses_and_no_other(start, end, through):
    found = pierced(np.array([start, end]), np.array([[0, 1]]), SQUARE, HALVES)
    assert found.tolist() == [through]


def test_neighbours_in_one_mesh_do_not_count():
    """Mutation: `same` ignored: every edge touches its own faces."""
    vertices, quads = tube(0.1, 0.0, 0.3)
    edges = np.unique(np.sort(np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]]]), axis=1), axis=0)
    assert not pierced(vertices, edges, vertices, triangles(quads), same=True).any()
    folded = vertices.copy()
    folded[-24:] = folded[24:48] * [0.4, 0.4, 1.0]  # the top ring goes down inside and out through the wall
    folded[-48:-24] = folded[24:48] * [1.6, 1.6, 1.0] + [0, 0, 0.05]
    assert pierced(folded, edges, folded, triangles(quads), same=True).any()


def test_an_outer_garment_that_sinks_into_the_inner_one_is_refused():
    inner, _, _ = dressed_cylinder(frames=3, name="inner")
    outer, _, _ = dressed_cylinder(frames=3, offset=0.03, name="outer", layer=1)
    worn = {"inner": inner.skinned_world, "outer": outer.skinned_world}
    clear = contacts((inner, outer), worn, every=1)
    assert clear["outer"]["layers"].max() == 0
    assert reasons(outer.garment, clear["outer"], every=1) == []
    sunk = worn["outer"].copy()
    rows = np.arange(sunk.shape[1]) // 30 % 2 == 0
    centre = sunk[2].mean(axis=0) * [1, 1, 0]
    sunk[2, rows] = (sunk[2, rows] - centre) * [0.8, 0.8, 1.0] + centre
    found = contacts((inner, outer), worn | {"outer": sunk}, every=1)["outer"]
    assert found["layers"][2] > 0.3
    assert found["layers"][:2].max() == 0
    said = reasons(outer.garment, found, every=1)
    assert any("frame 2" in line and "garment beneath" in line for line in said)


def test_folds_that_were_not_there_at_rest_count_as_crumpled():
    """Mutation: rest folds counted; a smooth turn taken for a fold."""
    vertices, quads = tube(0.2, 0.0, 0.5)
    wave = vertices.copy()
    wave[:, :2] *= np.where(np.arange(len(vertices)) // 24 % 2 == 0, 0.7, 1.3)[:, None]
    moved = np.stack([vertices, wave])
    share = crumpled(moved, quads, vertices)
    assert share[0] == 0
    assert share[1] > 0.3
    assert crumpled(moved, quads, wave)[1] == 0


def test_what_hangs_free_may_stretch_less_than_what_is_drawn_over_a_limb():
    """Mutations: shortened edges counted; one limit for both kinds."""
    vertices, quads = tube(0.2, 0.0, 0.5)
    worn = garment(vertices, quads, loose=True)
    ruff = vertices.copy()
    ruff[:48, :2] *= 1.4
    moved = np.stack([vertices, ruff, 0.7 * vertices])
    dressed = DressedGarment(
        garment=worn, rest_vertices=vertices, lbs_weights=np.zeros((len(vertices), 24)), skinned_world=moved
    )
    share = stretching(dressed, moved)["stretched"]
    assert share[0] == share[2] == 0
    assert 0.05 < share[1] < 0.15
    measured = {name: np.zeros(3) for name in ("layers", "itself", "crumpled")} | {"stretched": share}
    assert "frame 1" in reasons(worn, measured)[0]
    assert reasons(garment(vertices, quads), measured) == []


def test_a_limit_is_positive():
    assert CONTACT_LIMITS.layers > 0
    with pytest.raises(ValueError, match="crumpled"):
        ContactLimits(crumpled=0.0)
