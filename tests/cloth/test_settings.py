import dataclasses

import numpy as np
import pytest
from cloth_toys import COTTON, garment, tube

from garments import catalog
from synth.cloth.settings import (
    SolverSettings,
    cloth_distance,
    cloth_settings,
    collider_settings,
    goal_weights,
    pace,
    softbody_settings,
    time_scale,
    vertex_mass,
)


def test_time_scale_makes_gravity_the_same_at_every_rate():
    """Blender's g is 0.00981 fps^2 times the square of the time scale."""
    for fps in (24.0, 30.0, 120.0):
        assert 0.00981 * (fps * time_scale(fps)) ** 2 == pytest.approx(9.81)


def test_substeps_follow_the_frame_rate_and_legs_get_twice_as_many():
    """Mutation: sub-steps counted per frame, not per 1/30 s."""
    shirt, trousers = garment(*tube(0.1, 0, 1)), garment(*tube(0.1, 0, 1), covers="lower")
    asked = SolverSettings(quality=10)
    assert cloth_settings(shirt, 1.0, 30.0, asked).quality == 10
    assert cloth_settings(trousers, 1.0, 30.0, asked).quality == 20
    assert cloth_settings(trousers, 1.0, 120.0, asked).quality == 5


def test_mass_is_density_times_area_shared_out():
    light, heavy = COTTON, dataclasses.replace(COTTON, density=2 * COTTON.density)
    assert vertex_mass(heavy, 1.0, 1000) == pytest.approx(2 * vertex_mass(light, 1.0, 1000))
    assert vertex_mass(light, 1.0, 1000) == pytest.approx(4 * vertex_mass(light, 1.0, 4000))
    reference = dataclasses.replace(COTTON, density=0.2)
    assert vertex_mass(reference, 1.0, 1600) == pytest.approx(0.3)  # 1 m2 in cells of 25 mm


def test_stiffer_fabric_is_stiffer_in_both_solvers():
    soft = garment(*tube(0.1, 0, 1))
    stiff = dataclasses.replace(soft, fabric=dataclasses.replace(COTTON, stretch=40.0, shear=20.0, bend=8.0))
    asked = SolverSettings()
    for name in ("tension_stiffness", "compression_stiffness", "shear_stiffness", "bending_stiffness"):
        assert getattr(cloth_settings(stiff, 1.0, 30.0, asked), name) > getattr(
            cloth_settings(soft, 1.0, 30.0, asked), name
        )
    for name in ("pull", "push", "shear", "bend"):
        assert getattr(softbody_settings(stiff, 1.0, 30.0, asked), name) > getattr(
            softbody_settings(soft, 1.0, 30.0, asked), name
        )


def test_every_fabric_is_another_cloth_to_both_solvers():
    """Mutation: a stiffness clipped away, so that two presets become one."""
    presets = catalog.fabrics()
    assert {"cotton", "denim", "silk", "wool", "jersey", "leather"} <= presets.keys()
    worn = {name: dataclasses.replace(garment(*tube(0.1, 0, 1)), fabric=fabric) for name, fabric in presets.items()}
    for numbers in (cloth_settings, softbody_settings):
        found = {name: dataclasses.astuple(numbers(g, 1.0, 30.0, SolverSettings())) for name, g in worn.items()}
        assert len(set(found.values())) == len(presets)
    bends = {name: softbody_settings(g, 1.0, 30.0, SolverSettings()).bend for name, g in worn.items()}
    assert bends["silk"] < bends["jersey"] < bends["cotton"] < bends["wool"] < bends["denim"] < bends["leather"]


def test_faster_motion_gets_more_substeps_within_bounds():
    """Mutations: metres per frame taken for metres per second; the factor unbounded."""
    shirt = garment(*tube(0.1, 0, 1))
    body, _ = tube(0.1, 0, 1)
    for speed, factor in ((4.0, 1.0), (8.0, 2.0), (0.1, 0.75), (50.0, 2.5)):
        moving = body + np.arange(5)[:, None, None] * [speed / 120.0, 0.0, 0.0]
        assert pace(moving, 120.0) == pytest.approx(factor)
        assert cloth_settings(shirt, 1.0, 30.0, SolverSettings(quality=20), factor).quality == 20 * factor
    assert pace(body[None], 30.0) == 0.75


def test_no_fabric_leaves_the_range_in_which_the_soft_body_is_stable():
    for stretch, density in ((0.1, 0.01), (500.0, 5.0)):
        odd = dataclasses.replace(
            garment(*tube(0.1, 0, 1)), fabric=dataclasses.replace(COTTON, stretch=stretch, density=density)
        )
        chosen = softbody_settings(odd, 1.0, 30.0, SolverSettings(solver="softbody"))
        assert 0.4 <= chosen.pull <= 0.88
        assert 0.5 <= chosen.mass <= 2.0


def test_pinned_vertices_have_the_full_goal_openings_theirs_and_panels_less():
    """Mutations: one goal for all; weak openings and strong panels."""
    vertices, quads = tube(0.1, 0, 1)
    pins = (vertices[:, 2] > 0.9).astype(float)
    worn = dataclasses.replace(garment(vertices, quads), pins=pins)
    assert (goal_weights(worn)[pins == 1] == 1).all()
    weights = goal_weights(worn)
    assert weights[np.isclose(vertices[:, 2], 0.0)] == pytest.approx(0.9)
    assert weights[np.abs(vertices[:, 2] - 0.5) < 0.1] == pytest.approx(0.6)
    assert (goal_weights(dataclasses.replace(worn, goals=pins))[pins == 0] == 0).all()


def test_the_soft_body_meets_a_thicker_body():
    assert collider_settings(5.0, "softbody").thickness_outer > collider_settings(5.0, "cloth").thickness_outer
    assert collider_settings(7.0, "cloth").cloth_friction == 7.0


def test_close_cloth_keeps_less_distance_and_slides():
    """Mutation: the soft body's shell made thin too, which it does not survive."""
    usual, close = (collider_settings(7.0, "cloth", close) for close in (False, True))
    assert close.thickness_outer < usual.thickness_outer
    assert close.cloth_friction < usual.cloth_friction
    assert cloth_distance(close=True) < cloth_distance(close=False)
    assert (
        collider_settings(7.0, "softbody", True).thickness_outer == collider_settings(7.0, "softbody").thickness_outer
    )


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="solver"):
        SolverSettings(solver="jelly")
    with pytest.raises(ValueError, match="quality"):
        SolverSettings(quality=0)
