"""Hair and shoes: meshes that fit every body, follow head and feet, and come after the garments."""

import dataclasses

import numpy as np
import pytest
from cloth_items_toys import bare_clip, items_of

from garments import catalog
from synth.body.joints import JOINT_NAMES
from synth.body.model import load_named
from synth.body.shape import rest_pose
from synth.cloth.caps import cap_pattern, sock_pattern
from synth.cloth.items import ITEMS, made, with_items
from synth.errors import SynthError


def surface(pattern):
    """Number of borders' edges and Euler's number of a pattern; asserts that it is a manifold."""
    faces = np.array(pattern.faces)
    directed = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    assert len(np.unique(directed, axis=0)) == len(directed)
    edges, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    assert uses.max() == 2
    return int((uses == 1).sum()), len(pattern.start) - len(edges) + len(faces)


def test_a_cap_and_a_sock_have_one_opening():
    """Mutations: a gap at an end of the toes' seam; faces there turned over."""
    assert surface(cap_pattern(6, np.zeros(3), 0.1, 1.5)) == (24, 1)
    angle = 2 * np.pi * np.arange(12) / 12
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    rings = ring[None] + np.arange(4)[:, None, None] * np.array([0.0, 0.0, 1.0])
    for mirrored in (False, True):
        assert surface(sock_pattern(rings, mirrored)) == (12, 1)


def test_hair_follows_the_head_rigidly_and_shoes_the_feet():
    """Mutations: the nearest skin's weights for long hair (the neck bends it); left and right shoes mixed."""
    pose = np.tile(rest_pose(), (2, 1, 1))
    pose[1, JOINT_NAMES.index("neck") - 1] = [0.5, 0.0, 0.0]
    pose[1, JOINT_NAMES.index("left_knee") - 1] = [1.0, 0.0, 0.0]
    body, clip = bare_clip("female", pose)
    worn = with_items(clip, items_of("hair_long", "sneakers"), body)
    assert [item.garment.name for item in worn.garments] == ["hair_long", "sneakers"]
    hair, shoes = (worn.garment_vertices_world[name] for name in ("hair_long", "sneakers"))
    near = hair[:, ::50]
    apart = np.linalg.norm(near[:, :, None] - near[:, None], axis=-1)
    np.testing.assert_allclose(apart[1], apart[0], atol=1e-9)
    assert np.linalg.norm(hair[1] - hair[0], axis=1).max() > 0.03
    moved = np.linalg.norm(shoes[1] - shoes[0], axis=1)
    half = len(moved) // 2
    assert moved[:half].min() > 0.1
    assert moved[half:].max() < 1e-6
    for quality in worn.quality.values():
        assert quality.penetration.max() < 0.01
        assert quality.accepted


def test_without_items_the_clip_stays_as_it_is():
    body, clip = bare_clip("male", rest_pose()[None])
    assert with_items(clip, items_of(), body) is clip


def test_a_vertex_inside_the_body_is_measured():
    """Mutation: quality filled with zeros."""
    body, clip = bare_clip("neutral", rest_pose()[None])
    swollen = dataclasses.replace(clip, body_vertices_world=clip.body_vertices_world * 1.05)
    worn = with_items(swollen, items_of("sneakers"), body)
    assert worn.quality["sneakers"].penetration[0] > 0.02
    assert worn.quality["sneakers"].depth[0] > 0.001


def test_the_shipped_hair_comes_from_its_pattern():
    new, _ = made("hair_bun", load_named("free", "neutral"))
    shipped = catalog.load("hair_bun")
    np.testing.assert_array_equal(new.faces, shipped.faces)
    np.testing.assert_allclose(new.vertices, shipped.vertices, atol=1e-4)
    with pytest.raises(SynthError, match="wig"):
        made("wig", load_named("free", "neutral"))
    assert {"hair_bun", "sneakers"} <= set(ITEMS)
