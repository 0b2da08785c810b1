import pickle

import numpy as np
import pytest
from clip_factory import body, make_clip, make_spec, skinned, standing

from synth.body.lbs import posed
from synth.cloth import choice
from synth.cloth.simulate import Rejected, rungs, simulate

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
    def ladder(**more):
        return [(s.solver, s.quality, s.collisions, s.close) for s in rungs(make_spec(**more).simulation, "tshirt")]

    assert ladder(solver="softbody", quality=5, retries=2) == [
        ("softbody", 5, 1, False), ("softbody", 10, 2, False), ("softbody", 20, 2, False), ("cloth", 5, 1, False),
    ]  # fmt: skip
    close = [("cloth", 5, 1, False), ("cloth", 10, 2, False), ("cloth", 10, 2, True)]
    assert ladder(solver="cloth", quality=5, retries=1) == close
    assert ladder(solver="auto", quality=5, retries=1) == [*close, ("softbody", 10, 2, False)]
    assert ladder(solver="cloth", quality=5, retries=0) == close[:1]
    assert ladder(solver="skinned", quality=5, retries=3) == [("skinned", 5, 1, False)]


def test_auto_starts_with_what_was_measured(monkeypatch):
    """Mutation: one solver for the whole outfit."""
    figures = {"skirt": {"cloth": FAILS, "softbody": PASSES}, "tshirt": {"cloth": FOLDS, "softbody": PASSES}}
    monkeypatch.setattr(choice, "measured", lambda: figures)
    simulation = make_spec(outfit=("skirt", "tshirt"), solver="auto", quality=5, retries=1).simulation
    solvers = {name: [s.solver for s in rungs(simulation, name)] for name in ("skirt", "tshirt", "kilt")}
    assert solvers["skirt"] == ["softbody", "softbody", "cloth"]
    assert solvers["tshirt"] == solvers["kilt"] == ["cloth", "cloth", "cloth", "softbody"]


def test_only_what_was_refused_is_tried_with_other_settings():
    """Mutations: the sound garment's settings changed too; the solver that was asked for noted, not that used."""
    asked = []

    def fails_by_cloth(dressed, body_vertices_world, faces, fps, settings, on_frame=None):
        asked.append(settings)
        solved = skinned(dressed, body_vertices_world, faces, fps, settings)
        if settings.of("tshirt").solver == "cloth":
            solved["tshirt"] = np.full_like(solved["tshirt"], np.nan)
        return solved

    spec = make_spec(outfit=("trousers", "tshirt"), solver="auto", retries=1)
    clip = simulate(spec, body(), standing(), fails_by_cloth)
    assert len(asked) == clip.tries == 4
    assert [settings.of("tshirt") for settings in asked] == list(rungs(spec.simulation, "tshirt"))
    assert {settings.of("trousers") for settings in asked} == {rungs(spec.simulation, "trousers")[0]}
    assert str(asked[0]) == "cloth, quality 10"
    assert "tshirt: cloth, quality 20, close" in str(asked[2])
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
