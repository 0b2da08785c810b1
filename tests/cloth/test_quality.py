import dataclasses
import time

import numpy as np
import pytest
import trimesh
from cloth_toys import dressed_cylinder

from synth.cloth.quality import LIMITS, Limits, assess, covered_at_rest


@pytest.fixture
def clip():
    worn, body, faces = dressed_cylinder(frames=12)
    return worn, body, faces, covered_at_rest(worn, body[0], faces)


def judge(clip, vertices, **changes):
    worn, body, faces, covered = clip
    worn = dataclasses.replace(worn, garment=dataclasses.replace(worn.garment, **changes))
    return assess(worn, vertices, body, faces, 30.0, covered)


def test_a_clean_clip_is_accepted_and_its_numbers_are_those_of_a_skinned_garment(clip):
    quality = judge(clip, clip[0].skinned_world)
    assert quality.accepted
    for name in ("penetration", "deep_penetration", "poke_through"):
        assert not getattr(quality, name).any()
    np.testing.assert_allclose(quality.strain, 0, atol=1e-9)
    np.testing.assert_allclose(quality.drift, 0, atol=1e-9)
    np.testing.assert_allclose(quality.coverage, 1)


def test_covered_is_what_lies_under_the_tube(clip):
    """Mutation: the border's closest points counted, so that the whole cylinder is covered."""
    _, body, _, covered = clip
    height = body[0, covered, 2]
    assert height.min() >= 0.3
    assert height.max() <= 0.8
    inside = (body[0, :, 2] > 0.31) & (body[0, :, 2] < 0.79)
    assert set(np.flatnonzero(inside)) <= set(covered.tolist())


def pushed_in(clip, frame, share, depth):
    vertices = clip[0].skinned_world.copy()
    chosen = np.arange(int(share * vertices.shape[1]))
    centre = clip[1][frame, :, :2].mean(axis=0)
    outward = vertices[frame, chosen, :2] - centre
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    vertices[frame, chosen, :2] -= (0.015 + depth) * outward
    return vertices


def test_vertices_pushed_in_are_counted_and_named(clip):
    """Mutation: sign of the distance; the wrong frame named."""
    quality = judge(clip, pushed_in(clip, 7, 0.10, 0.008))
    assert quality.penetration[7] == pytest.approx(0.10, abs=0.003)
    assert quality.deep_penetration[7] == pytest.approx(0.10, abs=0.003)
    assert not quality.penetration[:7].any()
    assert any(
        reason.startswith("tube: frame 7: 10.0 % of vertices > 1 mm inside the body (limit 3 %)")
        for reason in quality.reasons
    )


def test_a_shallow_dent_is_penetration_but_not_deep(clip):
    quality = judge(clip, pushed_in(clip, 3, 0.05, 0.003))
    assert quality.penetration[3] > 0.04
    assert quality.deep_penetration[3] == 0


def test_a_little_in_every_frame_fails_by_its_mean(clip):
    """Mutation: no limit on the mean: 2 % is below the limit of a frame."""
    vertices = clip[0].skinned_world.copy()
    for frame in range(len(vertices)):
        vertices[frame] = pushed_in(clip, frame, 0.02, 0.003)[frame]
    quality = judge(clip, vertices)
    assert quality.penetration.max() < LIMITS.penetration
    assert any("on average (limit 1 %)" in reason for reason in quality.reasons)


def test_skin_in_front_of_the_cloth_pokes_through(clip):
    """Mutation: the direction of 'in front'. The garment shrinks to 3 mm inside the body."""
    worn, body, _, _ = clip
    vertices = worn.skinned_world.copy()
    centre = body[5, :, :2].mean(axis=0)
    vertices[5, :, :2] = centre + (vertices[5, :, :2] - centre) * (0.145 / 0.165)
    quality = judge(clip, vertices)
    assert quality.poke_through[5] > 0.9
    assert quality.poke_through[4] == 0
    assert any("shows through" in reason for reason in quality.reasons)


def test_what_lies_where_the_body_goes_through_itself_is_not_held_against_the_cloth(clip):
    """A ball reaches from within the body through its skin and the tube. Mutations: twice inside counted as inside;
    skin in another limb counted as showing; skin beside the limb no longer counted."""
    worn, body, faces, covered = clip
    limb = trimesh.creation.icosphere(subdivisions=3, radius=0.06)
    place = body[:, :, :2].mean(axis=1)
    height = body[:, covered, 2].mean(axis=1)
    middle = np.concatenate([place + np.array([0.15, 0.0]), height[:, None]], axis=1)
    both = np.concatenate([body, middle[:, None] + np.asarray(limb.vertices)], axis=1)
    joined = np.concatenate([faces, limb.faces + body.shape[1]])

    def measured(vertices, shown, triangles):
        return assess(worn, vertices, shown, triangles, 30.0, covered)

    vertices = worn.skinned_world.copy()
    shrunk = place[5] + (vertices[5, :, :2] - place[5]) * (0.145 / 0.165)
    dent = np.linalg.norm(vertices[5] - middle[5], axis=1) < 0.09
    vertices[5, dent, :2] = shrunk[dent]
    alone, together = measured(vertices, body, faces), measured(vertices, both, joined)
    assert 0.02 < alone.penetration[5] < 0.2
    # The dent lies in the body, and twice in the body where the ball is.
    twice = np.linalg.norm(vertices[5] - middle[5], axis=1) < 0.06
    assert alone.penetration[5] - together.penetration[5] == pytest.approx(np.mean(twice & dent), abs=0.005)
    hidden = np.linalg.norm(body[5, covered] - middle[5], axis=1) < 0.058
    assert 0.02 < alone.poke_through[5] < 0.2
    assert alone.poke_through[5] - together.poke_through[5] == pytest.approx(hidden.mean(), abs=0.01)


def test_an_explosion_is_seen_in_strain_and_speed(clip):
    vertices = clip[0].skinned_world.copy()
    rng = np.random.default_rng(0)
    vertices[6] += rng.normal(scale=0.3, size=vertices[6].shape)
    reasons = " ".join(judge(clip, vertices).reasons)
    assert "strain" in reasons
    assert "flies off" in reasons


def test_a_garment_that_slipped_off_is_seen_in_coverage_and_drift_unless_it_is_loose(clip):
    vertices = clip[0].skinned_world - np.array([0, 0, 0.3])
    tight = judge(clip, vertices)
    assert any("it slips" in reason for reason in tight.reasons)
    assert any("covers" in reason for reason in tight.reasons)
    assert tight.coverage.max() < 0.6
    assert judge(clip, vertices, loose=True).accepted


def test_not_a_number_is_one_reason(clip):
    vertices = clip[0].skinned_world.copy()
    vertices[4:] = np.nan
    quality = judge(clip, vertices)
    assert quality.reasons == ("tube: frame 4: the solver blew up (coordinates are not finite)",)
    assert np.isfinite(quality.penetration[:4]).all()
    assert np.isnan(quality.penetration[4:]).all()


def test_one_frame_is_enough(clip):
    worn, body, faces, covered = clip
    worn = dataclasses.replace(worn, skinned_world=worn.skinned_world[:1])
    assert assess(worn, worn.skinned_world, body[:1], faces, 30.0, covered).accepted


def test_frames_must_agree(clip):
    worn, body, faces, covered = clip
    shorter = dataclasses.replace(worn, skinned_world=worn.skinned_world[:3])
    with pytest.raises(ValueError, match="tube"):
        assess(shorter, worn.skinned_world, body, faces, 30.0, covered)


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="drift"):
        Limits(drift=0.0)


def test_it_is_fast_enough(clip):
    """480 vertices; a real outfit of 3,300 over 6,849 body vertices took 42 ms."""
    start = time.process_time()
    judge(clip, clip[0].skinned_world)
    assert (time.process_time() - start) / 12 < 0.06
