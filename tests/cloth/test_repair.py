import numpy as np
import pytest
from cloth_toys import dressed_cylinder

from synth.cloth.quality import assess, covered_at_rest
from synth.cloth.repair import CLEARANCE, repair
from synth.cloth.stretch import stretching
from synth.geometry.triangles import ClosestPoint


@pytest.fixture
def clip():
    return dressed_cylinder(frames=9)


def outward_of(vertices, body):
    outward = np.zeros_like(vertices)
    outward[:, :2] = vertices[:, :2] - body[:, :2].mean(axis=0)
    return outward / np.linalg.norm(outward, axis=1, keepdims=True)


def dented(clip, frame, depth=0.005, chosen=slice(100, 112)):
    worn, body, _ = clip
    vertices = worn.skinned_world.copy()
    vertices[frame, chosen] -= (0.015 + depth) * outward_of(vertices[frame], body[frame])[chosen]
    return vertices


def mend(clip, vertices):
    worn, body, faces = clip
    return repair((worn,), {"tube": vertices}, body, faces, body[0])["tube"]


def test_clear_cloth_is_not_touched(clip):
    """Mutation: everything pushed to the clearance, or smoothed."""
    vertices = clip[0].skinned_world.astype(np.float32)
    np.testing.assert_array_equal(mend(clip, vertices), vertices)


def test_a_dent_is_pushed_out_to_the_clearance_along_the_body_s_normal(clip):
    worn, body, faces = clip
    mended = mend(clip, dented(clip, 4))
    distance = ClosestPoint(body[4], faces)(mended[4].astype(float)).distance
    assert distance.min() > CLEARANCE - 5e-4
    moved = mended[4] - dented(clip, 4)[4]
    assert np.abs(moved[:, 2]).max() < 1e-3, "pushed along the surface, not out of it"
    quality = assess(worn, mended, body, faces, 30.0, covered_at_rest(worn, body[0], faces))
    assert quality.penetration.max() == 0


def test_only_the_neighbouring_frames_feel_it_and_less(clip):
    """Mutations: no spreading over time (a pop); spread over the whole clip."""
    planted = dented(clip, 4).astype(np.float32)
    moved = np.linalg.norm(mend(clip, planted) - planted, axis=2).max(axis=1)
    assert 0 < moved[3] < 0.5 * moved[4]
    assert 0 < moved[5] < 0.5 * moved[4]
    assert not moved[[0, 1, 2, 6, 7, 8]].any()


def test_the_push_grows_steadily_with_the_depth(clip):
    """Mutation: a threshold, which makes cloth jump. 0.2 mm deeper may not move a vertex by more than 1 mm."""
    places = [mend(clip, dented(clip, 4, depth=depth))[4] for depth in np.arange(-0.004, 0.004, 0.0002)]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=2)
    assert steps.max() < 1e-3


def test_a_face_that_skin_shows_through_is_lifted(clip):
    """A coarse garment whose vertices are all outside while its faces cut the body (the bent knee).

    Mutation: only the garment's vertices looked at.
    """
    worn, body, faces = clip
    vertices = worn.skinned_world.copy()
    bump = body.copy()
    covered = covered_at_rest(worn, body[0], faces)
    middle = covered[np.argmin(np.abs(body[0, covered, 2] - 0.55) + np.abs(body[0, covered, 1]))]
    bump[:, middle] += 0.02 * outward_of(body[0], body[0])[middle]
    before = assess(worn, vertices, bump, faces, 30.0, covered)
    assert before.poke_through.max() > 0
    mended = repair((worn,), {"tube": vertices}, bump, faces, body[0])["tube"]
    assert assess(worn, mended, bump, faces, 30.0, covered).poke_through.max() == 0


def test_outer_cloth_is_pushed_out_of_inner_cloth(clip):
    """Mutation: only the body looked at."""
    inner, body, faces = dressed_cylinder(frames=4, offset=0.020, name="inner")
    outer, _, _ = dressed_cylinder(frames=4, offset=0.030, name="outer", layer=1)
    sunk = outer.skinned_world.copy()
    for frame in range(4):
        sunk[frame] -= 0.013 * outward_of(sunk[frame], body[frame])
    mended = repair((inner, outer), {"inner": inner.skinned_world, "outer": sunk}, body, faces, body[0])
    np.testing.assert_array_equal(mended["inner"], inner.skinned_world.astype(np.float32))
    inside = ClosestPoint(mended["inner"][2].astype(float), inner.garment.triangles)
    rows = slice(60, -60)  # beside the open borders there is no inside
    assert inside(mended["outer"][2].astype(float)).distance[rows].min() > 0.002


def test_frames_that_are_not_finite_stay_as_they_are(clip):
    vertices = dented(clip, 2)
    vertices[5:] = np.nan
    mended = mend(clip, vertices)
    assert np.isnan(mended[5:]).all()
    assert np.isfinite(mended[:5]).all()


def test_what_is_too_deep_is_left_to_the_gate(clip):
    """A limb out of its sleeve: dragging it back would tear the cloth. Mutation: the push does not fade with depth."""
    worn, body, faces = clip
    mended = mend(clip, dented(clip, 4, depth=0.06).astype(np.float32))
    quality = assess(worn, mended, body, faces, 30.0, covered_at_rest(worn, body[0], faces))
    assert quality.depth[4] > 0.01
    assert any("inside the body" in reason for reason in quality.reasons)


@pytest.mark.parametrize("depth", [0.002, 0.006, 0.012, 0.02])
def test_repair_does_not_tear(clip, depth):
    """Mutations: single vertices pushed without their neighbours; no drawing together of what is too long."""
    worn, _, _ = clip
    planted = dented(clip, 4, depth=depth)
    mended = mend(clip, planted)
    before, after = stretching(worn, planted), stretching(worn, mended)
    assert after["strain_max"].max() <= max(before["strain_max"].max(), 0.1)
    assert after["strain"].max() <= before["strain"].max() + 0.005
    jump = np.linalg.norm(np.diff(mended, axis=0), axis=2).max(axis=1)
    still = np.linalg.norm(np.diff(planted, axis=0), axis=2).max(axis=1)
    assert jump.max() <= still.max() + 1e-3
