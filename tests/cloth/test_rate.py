import dataclasses

import numpy as np
import pytest
from clip_factory import body, make_spec, skinned, standing

from synth.assets import asset, reference
from synth.cloth.rate import captured, finer, thinned
from synth.cloth.simulate import simulate
from synth.motion.clips import realise
from synth.spec import MotionSpec, VariationSpec


def recorded(**changes):
    file = reference(asset("motions/cmu/01_01.npz"))
    spec = MotionSpec(kind="original", sources=(file,), names=("cmu/01_01",), frames=(600, 637), count=10, fps=30.0)
    return dataclasses.replace(spec, **changes)


def test_a_recording_at_120_hz_is_simulated_at_120_hz():
    """Mutations: the rendered rate; a slowed recording said to have frames that it has not."""
    assert finer(recorded()) == 4
    assert finer(recorded(fps=60.0)) == 2
    assert finer(recorded(fps=50.0)) == 2
    assert finer(recorded(variation=VariationSpec(speed=0.5))) == 2
    assert finer(recorded(kind="interpolated")) == 1


def test_every_fourth_frame_is_one_of_the_rendered_motion():
    """Mutation: a fine motion that ends early or starts a frame late."""
    betas = np.zeros(10)
    fine, every = captured(recorded(), body(), betas)
    coarse, _ = realise(recorded(), body(), betas)
    assert (every, len(fine), fine.fps) == (4, 37, 120.0)
    kept = thinned(fine, 0, every)
    assert kept.fps == 30.0
    np.testing.assert_allclose(kept.full_pose, coarse.full_pose, atol=1e-9)
    np.testing.assert_allclose(kept.source_frames, coarse.source_frames)
    assert np.abs(kept.transl - coarse.transl).max() < 0.02  # the floor is found in more frames


def test_the_solver_sees_every_frame_and_the_clip_keeps_those_that_are_rendered():
    """Mutations: thinned before the solver; garments and body thinned differently."""
    seen = []

    def watching(dressed, body_vertices_world, faces, fps, settings, on_frame=None):
        seen.append((len(body_vertices_world), fps))
        return skinned(dressed, body_vertices_world, faces, fps, settings)

    motion = dataclasses.replace(standing(9), fps=120.0)
    clip = simulate(make_spec(), body(), motion, watching, every=4)
    assert seen[0][0] >= 40 + 9
    assert seen[0][1] == 120.0
    assert (len(clip.motion), clip.motion.fps) == (3, 30.0)
    np.testing.assert_array_equal(clip.motion.body_pose, motion.body_pose[::4])
    assert len(clip.garment_vertices_world["tshirt"]) == len(clip.body_vertices_world) == 3
    assert clip.quality["tshirt"].accepted


@pytest.mark.parametrize("every", [1, 4])
def test_a_bare_body_keeps_the_same_frames(every):
    clip = simulate(make_spec(outfit=()), body(), standing(9), skinned, every=every)
    assert len(clip.motion) == len(clip.body_vertices_world) == len(range(0, 9, every))
