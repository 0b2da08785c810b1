import dataclasses

import pytest
from cloth_toys import COTTON, garment, tube

from synth.cloth.settings import (
    SolverSettings,
    cloth_settings,
    collider_settings,
    goal_weights,
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
    assert softbody_settings(stiff, 1.0, 30.0, asked).pull > softbody_settings(soft, 1.0, 30.0, asked).pull


def test_no_fabric_leaves_the_range_in_which_the_soft_body_is_stable():
    for stretch, density in ((0.1, 0.01), (500.0, 5.0)):
        odd = dataclasses.replace(
            garment(*tube(0.1, 0, 1)), fabric=dataclasses.replace(COTTON, stretch=stretch, density=density)
        )
        chosen = softbody_settings(odd, 1.0, 30.0, SolverSettings(solver="softbody"))
        assert 0.3 <= chosen.pull <= 0.7
        assert 0.5 <= chosen.mass <= 2.0


def test_pinned_vertices_have_the_full_goal():
    vertices, quads = tube(0.1, 0, 1)
    pins = (vertices[:, 2] > 0.9).astype(float)
    worn = dataclasses.replace(garment(vertices, quads), pins=pins)
    assert (goal_weights(worn)[pins == 1] == 1).all()
    assert (goal_weights(worn)[pins == 0] == 0.9).all()


def test_the_soft_body_meets_a_thicker_body():
    assert collider_settings(5.0, "softbody").thickness_outer > collider_settings(5.0, "cloth").thickness_outer
    assert collider_settings(7.0, "cloth").cloth_friction == 7.0


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="solver"):
        SolverSettings(solver="jelly")
    with pytest.raises(ValueError, match="quality"):
        SolverSettings(quality=0)
