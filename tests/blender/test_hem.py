"""Hems have a thickness: a rim at a garment's openings, nothing elsewhere."""

import numpy as np
import pytest

pytest.importorskip("bpy")

import render_toys as toys

from garments.garment import Fabric
from synth.blender import scene
from synth.blender.render import ClipRenderer

pytestmark = pytest.mark.blender


def fabric(density: float) -> Fabric:
    return Fabric(name="cloth", density=density, stretch=1.0, shear=1.0, bend=1.0, friction=1.0)


def test_a_hem_is_as_thick_as_three_layers_of_its_cloth():
    """Mutations: density over stiffness; no upper bound, so that a stiff coat's hem enters the leg."""
    assert scene.hem_thickness(fabric(0.4)) == pytest.approx(0.003)
    assert scene.hem_thickness(fabric(0.01)) == 0.001
    assert scene.hem_thickness(fabric(5.0)) == 0.005


def test_only_openings_get_a_rim_and_it_goes_inwards():
    """Mutations: a whole shell (twice the faces); a rim outwards (wider than the tube); a rim on the body."""
    clip = toys.toy_clip(toys.toy_body())
    spec = toys.toy_spec(clip)
    with ClipRenderer(spec, clip, toys.toy_body(), toys.toy_cameras(spec, clip), "cpu") as made:
        body, tube = made._figure.objects
        made._figure.pose(0)
        layer = made._truth.view_layers[0]
        layer.update()
        meshes = [thing.evaluated_get(layer.depsgraph).to_mesh() for thing in (body, tube)]
        garment = clip.garments[0].garment
        assert len(meshes[0].polygons) == len(toys.toy_body().faces)
        assert len(meshes[1].polygons) == len(garment.faces) + 2 * 24
        places = np.array([vertex.co for vertex in meshes[1].vertices]) + made._figure.origin
    sheet, rim = places[: len(garment.vertices)], places[len(garment.vertices) :]
    nearest = np.linalg.norm(rim[:, None] - sheet[None], axis=2)
    np.testing.assert_allclose(nearest.min(axis=1), scene.hem_thickness(garment.fabric), atol=1e-4)
    axis = sheet.mean(axis=0)[:2]
    inner, outer = (np.linalg.norm(p[:, :2] - axis, axis=1) for p in (rim, sheet[nearest.argmin(axis=1)]))
    assert (inner < outer).mean() > 0.9
