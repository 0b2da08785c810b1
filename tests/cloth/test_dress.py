"""Clothes on real bodies: clear of the skin, one over the other, and moving with the body."""

import dataclasses

import numpy as np
import pytest

from garments import catalog
from garments.check import check
from synth.body import lbs
from synth.body.model import load_named
from synth.body.shape import rest_pose, rest_surface
from synth.cloth.dress import dress, fitted, fitted_to
from synth.errors import SynthError
from synth.geometry.triangles import ClosestPoint
from synth.spec import GarmentSpec, MaterialSpec
from synth.types import Motion

PLAIN = MaterialSpec(
    kind="procedural",
    seed=0,
    colour=(0.5, 0.5, 0.5),
    accent=(0.5, 0.5, 0.5),
    pattern="plain",
    scale=1.0,
    rotation=0.0,
    roughness=0.8,
)
SHAPES = [("neutral", 0, 0.0), ("male", 0, 2.5), ("female", 1, 2.0), ("male", 1, -2.5), ("female", 0, -2.5)]


def worn(*names: str, fabric: str = "cotton") -> tuple[GarmentSpec, ...]:
    return tuple(GarmentSpec(name=name, fabric=fabric, sha256=catalog.digest(name), material=PLAIN) for name in names)


def shape(component: int, value: float) -> np.ndarray:
    betas = np.zeros(10)
    betas[component] = value
    return betas


def still(frames: int, orient: np.ndarray, place: np.ndarray, pose: np.ndarray) -> Motion:
    return Motion(
        fps=30.0,
        global_orient=np.tile(orient, (frames, 1)),
        body_pose=np.tile(pose, (frames, 1, 1)),
        transl=np.tile(place, (frames, 1)),
        source="test",
        source_frames=np.arange(frames, dtype=np.float64),
    )


@pytest.mark.parametrize(("gender", "component", "value"), SHAPES)
def test_every_garment_starts_outside_every_body(gender: str, component: int, value: float) -> None:
    # Catches a displacement bound to the wrong face, and a missing push.
    body = load_named("free", gender)
    first = SHAPES.index((gender, component, value)) % 3
    for name in catalog.names()[first::3]:  # `synth garment check` tries them all on 81 bodies
        garment = catalog.load(name)
        surface, vertices = fitted_to(body, shape(component, value), garment)
        assert check(garment, [(gender, surface, vertices)]) == []
        edges = garment.edges
        before, after = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (garment.vertices, vertices))
        assert (after / before).min() > 0.4
        # a few edges between heavy thighs are drawn further
        assert np.quantile(after / before, 0.995) < 2.0
        assert (after / before).max() < 3.0


@pytest.mark.parametrize(("gender", "component", "value"), SHAPES[:3])
def test_the_shirt_hangs_over_trousers_and_skirt(gender: str, component: int, value: float) -> None:
    body = load_named("free", gender)
    for lower in ("trousers", "skirt"):
        (inner, beneath, _), (_, above, _) = fitted(body, shape(component, value), worn(lower, "tshirt"))
        answer = ClosestPoint(beneath, inner.triangles)(above)
        waist = beneath[:, 1].max()
        over = (above[:, 1] < waist - 0.03) & (np.abs(answer.distance) < 0.06)
        assert over.sum() > 50
        assert answer.distance[over].min() > 0.004


def test_no_skin_shows_through_the_faces() -> None:
    # The vertices alone are clear of a nipple that stands between them.
    body = load_named("free", "female")
    betas = shape(1, 2.5)
    surface = rest_surface(body, betas)
    for name in ("tshirt", "dress"):
        ((garment, vertices, _),) = fitted(body, betas, worn(name))
        answer = ClosestPoint(vertices, garment.triangles)(surface)
        chest = (surface[:, 1] > -0.1) & (surface[:, 1] < 0.1) & (np.abs(surface[:, 0]) < 0.12)
        assert chest.sum() > 200
        assert answer.distance[chest].max() < 0


def test_standing_in_the_a_pose_the_cloth_is_where_it_was_fitted() -> None:
    body = load_named("free", "male")
    motion = still(2, np.zeros(3), np.array([0.3, -0.2, 0.5]), rest_pose())
    (garment,) = dress(body, shape(0, 1.0), worn("tshirt"), motion)
    np.testing.assert_allclose(garment.skinned_world[1], garment.rest_vertices + motion.transl[0], atol=1e-9)
    np.testing.assert_allclose(garment.lbs_weights.sum(axis=1), 1.0, atol=1e-12)


def test_sleeves_follow_the_arms_and_legs_the_legs() -> None:
    # Catches swapped sides and a wrong bind pose.
    body = load_named("free", "neutral")
    pose = rest_pose()
    pose[15, 2] = 0.0
    pose[0, 0] = -0.8
    motion = still(1, np.zeros(3), np.zeros(3), pose)
    trousers, tshirt = dress(body, np.zeros(10), worn("trousers", "tshirt"), motion)
    moved = np.linalg.norm(tshirt.skinned_world[0] - tshirt.rest_vertices, axis=1)
    sleeve = np.abs(tshirt.rest_vertices[:, 0]) > 0.3
    assert moved[sleeve & (tshirt.rest_vertices[:, 0] > 0)].min() > 0.05
    assert moved[sleeve & (tshirt.rest_vertices[:, 0] < 0)].max() < 1e-6
    shin = trousers.rest_vertices[:, 1] < -0.9
    ahead = (trousers.skinned_world[0] - trousers.rest_vertices)[:, 2]
    assert ahead[shin & (trousers.rest_vertices[:, 0] > 0)].min() > 0.2
    assert np.abs(ahead[shin & (trousers.rest_vertices[:, 0] < 0)]).max() < 1e-6
    vertices, _ = lbs.posed(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)
    distance = ClosestPoint(vertices[0], body.faces)(tshirt.skinned_world[0]).distance
    assert (distance > 0).mean() > 0.98


def test_dressing_is_the_same_every_time_and_wears_the_fabric_asked_for() -> None:
    body = load_named("free", "female")
    motion = still(3, np.array([0.1, 0.2, 0.3]), np.zeros(3), rest_pose())
    first, second = (dress(body, shape(2, 1.0), worn("skirt", "tshirt", fabric="denim"), motion) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.skinned_world, other.skinned_world)
        assert one.garment.fabric.name == "denim"


def test_a_changed_or_unknown_garment_or_fabric_is_refused() -> None:
    body = load_named("free", "neutral")
    (spec,) = worn("tshirt")
    for bad in (
        GarmentSpec(name="tshirt", fabric="cotton", sha256="0" * 64, material=PLAIN),
        GarmentSpec(name="cape", fabric="cotton", sha256=spec.sha256, material=PLAIN),
        GarmentSpec(name="tshirt", fabric="tin", sha256=spec.sha256, material=PLAIN),
    ):
        with pytest.raises(SynthError):
            fitted(body, np.zeros(10), (bad,))


def test_a_wider_size_is_wider_and_an_unknown_one_is_refused() -> None:
    """Mutations: the size is ignored; the waistband grows with it."""
    body = load_named("free", "neutral")
    girth = {}
    for size in ("S", "M", "XL"):
        (spec,) = worn("trousers")
        ((garment, vertices, _),) = fitted(body, np.zeros(10), (dataclasses.replace(spec, size=size),))
        shin = np.abs(vertices[:, 1] + 0.9) < 0.05
        girth[size] = np.ptp(vertices[shin & (vertices[:, 0] > 0), 0])
        band = garment.pins == 1
        girth[size, "waist"] = np.ptp(vertices[band, 0])
    assert girth["S"] < girth["M"] - 0.001
    assert girth["XL"] > girth["M"] + 0.004
    assert abs(girth["XL", "waist"] - girth["M", "waist"]) < 0.009
    with pytest.raises(SynthError, match="no size"):
        fitted(body, np.zeros(10), (dataclasses.replace(worn("trousers")[0], size="XXS"),))


def test_every_vertex_knows_the_body_part_beneath_it() -> None:
    """Mutations: regions of a garment without a map stay 0; those of other vertices."""
    body = load_named("free", "male")
    (spec,) = worn("trousers")
    ((garment, _, weights),) = fitted(body, np.zeros(10), (spec,))
    assert garment.region.min() >= 1
    # the joint with most of the skin weight is the region's own, but where weights are blended
    assert (weights.argmax(axis=1) + 1 == garment.region).mean() > 0.85
