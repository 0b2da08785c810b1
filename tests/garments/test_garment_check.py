"""The check passes the project's garments and names each planted fault."""

from dataclasses import replace

import numpy as np
import pytest

from garments import catalog
from garments.check import check, check_fit
from garments.garment import Garment


@pytest.fixture(scope="module")
def tshirt() -> Garment:
    return catalog.load("tshirt")


@pytest.mark.parametrize("name", catalog.names())
def test_the_projects_garments_are_sound(name: str) -> None:
    assert check(catalog.load(name)) == []


def test_an_edge_of_three_faces_is_found(tshirt: Garment) -> None:
    faces = np.concatenate([tshirt.faces, tshirt.faces[:1]])
    faults = check(replace(tshirt, faces=faces, uv=np.concatenate([tshirt.uv, tshirt.uv[:1]])))
    assert any("more than two faces" in fault for fault in faults)


def test_a_turned_face_and_a_garment_inside_out_are_found(tshirt: Garment) -> None:
    faces = tshirt.faces.copy()
    faces[40] = faces[40, ::-1]
    assert any("opposite ways" in fault for fault in check(replace(tshirt, faces=faces)))
    inside_out = replace(tshirt, faces=tshirt.faces[:, ::-1], uv=tshirt.uv[:, ::-1])
    assert check(inside_out) == ["faces look inwards"]


def test_a_sliver_is_found(tshirt: Garment) -> None:
    vertices = tshirt.vertices.copy()
    a, b = tshirt.edges[100]
    vertices[a] += 0.9 * (vertices[b] - vertices[a])
    assert any("times the mean" in fault for fault in check(replace(tshirt, vertices=vertices)))


def test_stretched_texture_lost_pins_and_loose_vertices_are_found(tshirt: Garment) -> None:
    assert any("uv" in fault for fault in check(replace(tshirt, uv=1.5 * tshirt.uv)))
    trousers = catalog.load("trousers")
    assert any("waist" in fault for fault in check(replace(trousers, pins=0 * trousers.pins)))
    extra = replace(
        tshirt,
        vertices=np.concatenate([tshirt.vertices, tshirt.vertices[:1]]),
        pins=np.append(tshirt.pins, 0.0),
        goals=np.append(tshirt.goals, 0.9),
        region=np.append(tshirt.region, tshirt.region[:1]),
    )
    assert any("no face" in fault for fault in check(extra))


def test_a_vertex_inside_the_body_is_found(tshirt: Garment) -> None:
    distance = np.full(len(tshirt.vertices), 0.01)
    surface = lambda points: (distance, np.zeros_like(points))  # noqa: E731
    assert check_fit(tshirt, "someone", surface, tshirt.vertices) == []
    distance[7] = -0.002
    (fault,) = check_fit(tshirt, "someone", surface, tshirt.vertices)
    assert "someone" in fault
    assert "vertex 7 by 2.0 mm" in fault
