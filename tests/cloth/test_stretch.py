import dataclasses

import numpy as np
import pytest
from cloth_toys import garment, tube

from synth.cloth.stretch import relieved, stretching
from synth.types import DressedGarment


def worn(vertices, quads, moved):
    return DressedGarment(
        garment=garment(vertices, quads), rest_vertices=vertices, lbs_weights=np.zeros((len(vertices), 24)),
        skinned_world=moved,
    )  # fmt: skip


def test_a_garment_drawn_out_evenly_has_that_strain_everywhere():
    """Mutations: energy without its half or its square; the sign of strain lost in the share of long edges."""
    vertices, quads = tube(0.2, 0.0, 0.5)
    moved = np.stack([vertices, 1.1 * vertices, 0.7 * vertices, 1.3 * vertices])
    found = stretching(worn(vertices, quads, moved), moved)
    for name in ("strain", "strain_99", "strain_max"):
        assert found[name] == pytest.approx([0, 0.1, 0.3, 0.3], abs=1e-9)
    stiffness = garment(vertices, quads).fabric.stretch
    assert found["stretch_energy"] == pytest.approx(0.5 * stiffness * np.array([0, 0.01, 0.09, 0.09]), abs=1e-9)
    assert found["stretched"].tolist() == [0, 0, 0, 1]


def test_one_torn_edge_shows_in_the_largest_strain_and_hardly_in_the_mean():
    """Mutation: the 99th percentile or the mean taken for the maximum."""
    vertices, quads = tube(0.2, 0.0, 0.5, around=40, rows=30)
    torn = vertices.copy()
    torn[600] *= 1.5
    found = stretching(worn(vertices, quads, vertices[None]), torn[None])
    assert found["strain_max"][0] > 1.0
    assert found["strain_99"][0] < 0.01
    assert found["strain"][0] < 0.02


def test_a_frame_that_is_not_finite_measures_nothing():
    vertices, quads = tube(0.2, 0.0, 0.5)
    broken = vertices.copy()
    broken[3] = np.nan
    moved = np.stack([vertices, broken])
    found = stretching(worn(vertices, quads, moved), moved)
    assert all(np.isnan(values[1]) and np.isfinite(values[0]) for values in found.values())


def test_a_vertex_that_sticks_out_is_drawn_back_and_sound_cloth_stays():
    """Mutations: sound edges shortened too; the ends pushed apart; pins moved."""
    vertices, quads = tube(0.2, 0.0, 0.5, around=40, rows=30)
    caught = vertices.copy()
    caught[600:603] *= [1.4, 1.4, 1.0]
    moved = np.stack([vertices * [1.2, 1.2, 1.0], caught])
    dressed = worn(vertices, quads, moved)
    found = relieved(dressed, moved)
    np.testing.assert_array_equal(found[0], moved[0])
    before, after = stretching(dressed, moved)["strain_max"], stretching(dressed, found)["strain_max"]
    assert before[1] > 1.5
    assert after[1] < 0.45
    far = np.linalg.norm(vertices - vertices[601], axis=1) > 0.15
    np.testing.assert_array_equal(found[1, far], vertices[far])


def test_pinned_vertices_are_not_drawn_along():
    vertices, quads = tube(0.2, 0.0, 0.5)
    pins = (vertices[:, 2] > 0.49).astype(float)
    low = vertices - [0, 0, 0.05] * (1 - pins[:, None])
    held = dataclasses.replace(worn(vertices, quads, low[None]), garment=garment(vertices, quads, pins=pins))
    found = relieved(held, low[None])[0]
    np.testing.assert_array_equal(found[pins == 1], low[pins == 1])
    assert stretching(held, found[None])["strain_max"][0] < 0.5
