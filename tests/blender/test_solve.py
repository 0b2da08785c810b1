import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cloth"))

from cloth_toys import dressed_cylinder, garment, tube

from synth.cloth.quality import assess, covered_at_rest
from synth.cloth.settings import SolverSettings
from synth.types import DressedGarment

pytestmark = pytest.mark.blender

FAR = np.array([[100.0, 0, 0], [101, 0, 0], [100, 1, 0]])
FAR_FACE = np.array([[0, 1, 2]])
OTHER = SolverSettings(solver="softbody", quality=4)


def still(vertices, quads, frames, pins=None):
    return DressedGarment(
        garment=garment(vertices, quads, pins=pins),
        rest_vertices=vertices,
        lbs_weights=np.eye(24)[np.zeros(len(vertices), dtype=int)],
        skinned_world=np.repeat(vertices[None], frames, axis=0),
    )


def run(dressed, body, faces, solver="cloth", fps=30.0, quality=6, **more):
    from synth.blender.simulate import solve

    return solve(dressed, body, faces, fps, SolverSettings(solver=solver, quality=quality), **more)


@pytest.mark.parametrize("fps", [30.0, 120.0])
def test_cloth_falls_at_g(fps, monkeypatch):
    """Mutation: no time scale (8.8 m/s2 at 30 Hz, 141 at 120)."""
    from synth.blender import simulate

    original = simulate.cloth_settings
    monkeypatch.setattr(
        simulate, "cloth_settings", lambda *a: dataclasses.replace(original(*a), air_damping=0.0, quality=20)
    )
    frames = 10
    worn = still(*tube(0.1, 0.0, 0.3), frames)
    fallen = run((worn,), np.repeat(FAR[None], frames, 0), FAR_FACE, fps=fps)["tube"].astype(np.float64)
    height = fallen[:, :, 2].mean(axis=1)
    acceleration = np.diff(height, 2)[2:].mean() * fps**2
    assert acceleration == pytest.approx(-9.81, rel=0.01)


def test_softbody_without_goals_falls_at_g(monkeypatch):
    """Mutation: `speed` left at 1."""
    from synth.blender import simulate

    original = simulate.softbody_settings
    monkeypatch.setattr(simulate, "softbody_settings", lambda *a: dataclasses.replace(original(*a), friction=0.0))
    monkeypatch.setattr(simulate, "goal_weights", lambda garment: np.zeros(len(garment.vertices)))
    frames = 10
    worn = still(*tube(0.1, 0.0, 0.3), frames)
    fallen = run((worn,), np.repeat(FAR[None], frames, 0), FAR_FACE, solver="softbody")["tube"].astype(np.float64)
    acceleration = np.diff(fallen[:, :, 2].mean(axis=1), 2)[2:].mean() * 30.0**2
    assert acceleration == pytest.approx(-9.81, rel=0.01)


@pytest.mark.parametrize("solver", ["cloth", "softbody"])
def test_a_garment_stays_on_a_moving_body_and_its_pins_follow_it(solver):
    """Mutations: the solver before the file that moves the pins; the body not an obstacle; pins unused."""
    worn, body, faces = dressed_cylinder(frames=25)
    moved = run((worn,), body, faces, solver=solver)["tube"]
    pinned = worn.garment.pins == 1
    np.testing.assert_allclose(moved[:, pinned], worn.skinned_world[:, pinned], atol=2e-3)
    assert np.abs(moved[:, ~pinned] - worn.skinned_world[:, ~pinned]).max() > 2e-3, "nothing was simulated"
    quality = assess(worn, moved, body, faces, 30.0, covered_at_rest(worn, body[0], faces))
    assert quality.accepted, quality.reasons


def test_skinned_is_the_skinned_garment():
    worn, body, faces = dressed_cylinder(frames=3)
    np.testing.assert_array_equal(
        run((worn,), body, faces, solver="skinned")["tube"], worn.skinned_world.astype(np.float32)
    )


def test_outer_garments_rest_on_inner_ones_and_never_move_them():
    """Mutations: inner garment no obstacle (the outer comes to rest on the body); outer obstacle for the inner."""
    inner, body, faces = dressed_cylinder(frames=15, name="inner")
    outer, _, _ = dressed_cylinder(frames=15, offset=0.03, name="outer", layer=1)
    both = run((inner, outer), body, faces)
    alone = run((inner,), body, faces)
    np.testing.assert_array_equal(both["inner"], alone["inner"])
    lone = run((outer,), body, faces)

    def radius(moved):
        return np.linalg.norm(moved[-5:, :, :2] - body[-5:, :, :2].mean(axis=1)[:, None], axis=2)

    assert radius(both["outer"]).mean() > radius(both["inner"]).mean() + 0.003
    assert radius(both["outer"]).mean() > radius(lone["outer"]).mean() + 0.001


SCRIPT = """
import sys, hashlib
sys.path.insert(0, {toys!r})
from cloth_toys import dressed_cylinder
from synth.blender.simulate import solve
from synth.cloth.settings import SolverSettings
worn, body, faces = dressed_cylinder(frames=8)
for solver in ("cloth", "softbody"):
    moved = solve((worn,), body, faces, 30.0, SolverSettings(solver=solver, quality=4))["tube"]
    sys.stderr.write("DIGEST " + hashlib.sha256(moved.tobytes()).hexdigest() + chr(10))
"""


def test_two_processes_give_the_same_bits():
    script = SCRIPT.format(toys=str(Path(__file__).parents[1] / "cloth"))
    seen = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
        seen.append([line for line in done.stderr.splitlines() if line.startswith("DIGEST")])
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]


def test_a_blown_up_solver_is_a_reason_not_a_crash(monkeypatch):
    """Mutation: frames after the first bad one kept, or stepping on to the end."""
    from synth.blender import session

    original, calls = session.evaluated_vertices, []

    def exploding(thing):
        calls.append(1)
        vertices = original(thing)
        return vertices * np.nan if len(calls) == 4 else vertices

    monkeypatch.setattr(session, "evaluated_vertices", exploding)
    worn, body, faces = dressed_cylinder(frames=8)
    moved = run((worn,), body, faces)["tube"]
    assert len(calls) == 4
    assert np.isfinite(moved[:3]).all()
    assert np.isnan(moved[3:]).all()
    quality = assess(worn, moved, body, faces, 30.0, covered_at_rest(worn, body[0], faces))
    assert "frame 3" in quality.reasons[0]


def test_progress_is_told_and_blender_is_quiet(tmp_path, capfd):
    worn, body, faces = dressed_cylinder(frames=3)
    told = []
    run((worn,), body, faces, on_frame=lambda done, of: told.append((done, of)), log=tmp_path / "blender.log")
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert capfd.readouterr().out == ""


def test_another_number_of_frames_is_a_wrong_argument():
    worn, body, faces = dressed_cylinder(frames=4)
    with pytest.raises(ValueError, match="tube: 4 frames, the body has 3"):
        run((worn,), body[:3], faces)


def test_output_goes_to_the_log_and_comes_back(tmp_path, capfd):
    """Mutation: descriptors not restored."""
    import os

    from synth.blender import session

    with session.output_to(tmp_path / "log"):
        os.write(1, b"from C\n")
    os.write(1, b"after\n")
    assert (tmp_path / "log").read_text() == "from C\n"
    assert capfd.readouterr().out == "after\n"


def test_each_garment_of_an_outfit_may_have_a_solver_of_its_own():
    """Mutations: one solver for all; the inner garment given the soft body's thin body as obstacle."""
    import bpy

    from synth.blender.simulate import solve

    inner, body, faces = dressed_cylinder(frames=8, name="inner")
    outer, _, _ = dressed_cylinder(frames=8, offset=0.04, name="outer", layer=1)
    settings = SolverSettings(solver="cloth", quality=4, by_garment=(("outer", OTHER),))
    mixed = solve((inner, outer), body, faces, 30.0, settings)
    assert len(bpy.data.objects) == 0, "what reads the folder's files must not outlive it"
    by_cloth = run((inner, outer), body, faces, quality=4)
    np.testing.assert_array_equal(mixed["inner"], by_cloth["inner"])
    assert np.isfinite(mixed["outer"]).all()
    assert np.abs(mixed["outer"] - by_cloth["outer"]).max() > 1e-4
    still_there = SolverSettings(solver="skinned")
    np.testing.assert_array_equal(
        solve((inner, outer), body, faces, 30.0, still_there)["outer"], outer.skinned_world.astype(np.float32)
    )


def test_only_the_garments_named_lie_close(monkeypatch):
    """Mutations: all of them close; the body's shell the usual one; the slippery shell for others."""
    from synth.blender import simulate

    found = {}

    def look(scene, dressed, things, frames, on_frame):
        for thing in things:
            collisions = thing.modifiers["cloth"].collision_settings
            shells = {around.name.split(".")[0]: around.collision for around in collisions.collection.objects}
            found[thing.name] = (
                round(collisions.distance_min, 4),
                {name: (round(shell.thickness_outer, 4), shell.cloth_friction) for name, shell in shells.items()},
            )
        return {}

    monkeypatch.setattr(simulate, "_step", look)
    worn, body, faces = dressed_cylinder(frames=3)
    outer = dataclasses.replace(worn, garment=dataclasses.replace(worn.garment, name="outer"))
    simulate.solve(
        (worn, outer), body, faces, 30.0, SolverSettings(by_garment=(("outer", SolverSettings(close=True)),))
    )
    assert found["tube"] == (0.005, {"body": (0.003, 5.0)})
    assert found["outer"] == (0.002, {"body": (0.001, 1.0), "tube": (0.001, 1.0)})
