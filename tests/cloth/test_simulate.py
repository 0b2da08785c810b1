import pickle

import numpy as np
import pytest
from clip_factory import body, make_clip, make_spec, skinned, standing

from synth.body.lbs import posed
from synth.cloth import choice
from synth.cloth.simulate import Rejected, attempts, simulate

FAILS = {"accepted": 0.5, "wrinkle": 9.0}
FOLDS = {"accepted": 1.0, "wrinkle": 5.0}
PASSES = {"accepted": 1.0, "wrinkle": 2.0}


class Failing:
    """A solver that gives rubbish on its first tries; keeps what it was asked."""

    def __init__(self, bad):
        self.bad, self.asked = bad, []

    def __call__(self, dressed, body_vertices_world, faces, fps, settings, on_frame=None):
        self.asked.append((settings.solver, settings.quality))
        solved = skinned(dressed, body_vertices_world, faces, fps, settings)
        if len(self.asked) <= self.bad:
            solved = {name: np.full_like(moved, np.nan) for name, moved in solved.items()}
        return solved


def test_the_lead_in_is_gone_and_the_motion_is_the_one_asked_for():
    """Mutation: cut by one frame too few or too many."""
    _, _, clip = make_clip()
    motion = standing()
    np.testing.assert_array_equal(clip.motion.body_pose, motion.body_pose)
    np.testing.assert_array_equal(clip.motion.source_frames, motion.source_frames)
    vertices, joints = posed(body(), clip.betas, motion.global_orient, motion.body_pose, motion.transl)
    np.testing.assert_allclose(clip.body_vertices_world, vertices, atol=1e-12)
    np.testing.assert_allclose(clip.joints_world, joints, atol=1e-12)
    assert clip.garment_vertices_world["tshirt"].shape[0] == len(motion)
    assert clip.garments[0].skinned_world.shape[0] == len(motion)
    assert clip.quality["tshirt"].accepted


def test_the_solver_sees_the_lead_in_from_the_rest_pose():
    seen = []

    def watching(dressed, body_vertices_world, faces, fps, settings, on_frame=None):
        seen.append(len(body_vertices_world))
        return skinned(dressed, body_vertices_world, faces, fps, settings)

    simulate(make_spec(), body(), standing(), watching)
    assert seen[0] >= 10 + 4


def test_tries_double_the_substeps_and_end_with_the_cloth_solver():
    asked = [(s.solver, s.quality) for s in attempts(make_spec(solver="softbody", quality=5, retries=2).simulation)]
    assert asked == [("softbody", 5), ("softbody", 10), ("softbody", 20), ("cloth", 5)]
    asked = [(s.solver, s.quality) for s in attempts(make_spec(solver="cloth", quality=5, retries=1).simulation)]
    assert asked == [("cloth", 5), ("cloth", 10), ("cloth", 10)]
    assert [s.close for s in attempts(make_spec(solver="cloth", retries=1).simulation)] == [False, False, True]
    assert len(attempts(make_spec(solver="cloth", retries=0).simulation)) == 1
    assert len(attempts(make_spec(solver="skinned", retries=3).simulation)) == 1


def test_auto_starts_with_what_was_measured_and_doubles_like_the_others(monkeypatch):
    """Mutation: one solver for the whole outfit."""
    figures = {"skirt": {"cloth": FAILS, "softbody": PASSES}, "tshirt": {"cloth": FOLDS, "softbody": PASSES}}
    monkeypatch.setattr(choice, "measured", lambda: figures)
    spec = make_spec(outfit=("skirt", "tshirt"), solver="auto", quality=5, retries=1)
    ladder = attempts(spec.simulation, ("skirt", "tshirt", "kilt"))
    assert [[s.of(name) for name in ("skirt", "tshirt", "kilt")] for s in ladder] == [
        ["softbody", "cloth", "cloth"]
    ] * 3
    assert [(s.quality, s.collisions, s.close) for s in ladder] == [(5, 1, False), (10, 2, False), (10, 2, True)]
    assert str(ladder[2]) == "cloth (skirt: softbody), quality 10, close"
    assert str(ladder[0]) == "cloth (skirt: softbody), quality 5"


def test_auto_ends_with_the_other_solver_for_what_was_refused():
    """Mutations: the sound garment's solver changed too; the solver that was asked for noted instead of that used."""
    asked = []

    def fails_by_cloth(dressed, body_vertices_world, faces, fps, settings, on_frame=None):
        asked.append(settings)
        solved = skinned(dressed, body_vertices_world, faces, fps, settings)
        if settings.of("tshirt") == "cloth":
            solved["tshirt"] = np.full_like(solved["tshirt"], np.nan)
        return solved

    spec = make_spec(outfit=("trousers", "tshirt"), solver="auto", retries=1)
    clip = simulate(spec, body(), standing(), fails_by_cloth)
    assert len(asked) == clip.tries == 4
    assert [settings.close for settings in asked] == [False, False, True, False]
    assert clip.solvers == {"trousers": "cloth", "tshirt": "softbody"}


def test_a_failed_try_is_tried_again_and_the_first_good_one_kept():
    solve = Failing(bad=1)
    clip = simulate(make_spec(solver="cloth", retries=3), body(), standing(), solve)
    assert solve.asked == [("cloth", 10), ("cloth", 20)]
    assert clip.quality["tshirt"].accepted
    assert (clip.tries, clip.solvers) == (2, {"tshirt": "cloth"})


def test_a_clip_that_never_passes_is_rejected_with_the_reasons_of_every_try():
    """Mutation: the last try accepted unseen."""
    solve = Failing(bad=99)
    with pytest.raises(Rejected) as caught:
        simulate(make_spec(solver="softbody", retries=1), body(), standing(), solve)
    assert len(solve.asked) == 3
    assert caught.value.reasons[0].startswith("tshirt: frame 0: the solver blew up")
    assert caught.value.reasons[0].endswith("[softbody, quality 10]")
    assert "[cloth, quality 10]" in caught.value.reasons[-1]
    assert pickle.loads(pickle.dumps(caught.value)).reasons == caught.value.reasons


def test_a_bare_body_is_not_simulated():
    def never(*_, **__):
        raise AssertionError("there is nothing to solve")

    clip = simulate(make_spec(outfit=()), body(), standing(), never)
    assert clip.garments == ()
    assert clip.quality == {}
    assert len(clip.body_vertices_world) == 4


def test_two_garments_are_repaired_and_judged_in_order():
    _, _, clip = make_clip(outfit=("trousers", "tshirt"))
    assert [worn.garment.name for worn in clip.garments] == ["trousers", "tshirt"]
    assert set(clip.quality) == {"trousers", "tshirt"}
