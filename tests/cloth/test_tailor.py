"""The patterns and what lays them out; the garments themselves are checked in tests/garments."""

import dataclasses
import tomllib

import numpy as np
import pytest

from garments import catalog
from garments.check import check
from synth.body.joints import JOINT_NAMES
from synth.body.model import load_named
from synth.cloth.additions import hooded, opened
from synth.cloth.items import ITEMS
from synth.cloth.pattern import TrousersCounts, UpperCounts, skirt_pattern, trousers_pattern, upper_pattern
from synth.cloth.relax import flattened, relaxed
from synth.cloth.shell import Field, closed, hung, united
from synth.cloth.tailor import CUTS, tailored
from synth.errors import SynthError


def ball(radius: float, step: float = 0.02) -> Field:
    axis = np.arange(-0.5, 0.5 + step / 2, step)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return Field(origin=np.full(3, -0.5), step=step, values=np.sqrt(x * x + y * y + z * z) - radius)


def test_closing_fills_a_gap_and_leaves_a_ball_alone() -> None:
    one = ball(0.3)
    np.testing.assert_allclose(closed(one, 0.1).values, one.values, atol=0.007)
    x, _, _ = one.axes()
    slit = one.with_values(np.maximum(one.values, 0.04 - np.abs(x)))
    middle = (25, 25, 25)
    assert slit.values[middle] > 0
    assert closed(slit, 0.1).values[middle] < -0.02
    assert closed(slit, 0.02).values[middle] > 0


def test_what_hangs_keeps_its_width_or_tapers_or_flares() -> None:
    for taper in (0.0, 0.2, -0.2):
        values = hung(ball(0.2), taper).sampler()
        value, _ = values(np.array([[0.2 - 0.4 * taper, -0.4, 0.0]]))
        assert value[0] == pytest.approx(0.0, abs=0.01)


def test_a_union_is_rounded_only_near_the_crease() -> None:
    a, b = ball(0.2), ball(0.1)
    b = b.with_values(np.full_like(b.values, 1.0))
    np.testing.assert_array_equal(united(a, b, 0.05).values, a.values)
    np.testing.assert_allclose(united(a, a, 0.05).values, a.values - 0.0125, atol=1e-12)


def test_a_tube_is_spread_evenly_over_a_cylinder_and_laid_flat_at_true_size() -> None:
    pattern = skirt_pattern(front=12, length=8, waist=0.4, hem=0.0, middle=0.0, width=0.15, depth=0.25)
    rng = np.random.default_rng(0)
    pattern.start = [p + rng.normal(0, 0.003, 3) for p in pattern.start]

    def surface(points: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = points * [1.0, 0.0, 1.0]
        length = np.linalg.norm(flat, axis=1)
        return length - 0.2, flat / length[:, None]

    def level(height: float):
        return lambda points: (points[:, 1] - height, np.tile([0.0, 1.0, 0.0], (len(points), 1)))

    vertices = relaxed(pattern, surface, [level(0.0), level(0.4)], rounds=800)
    faces = np.array(pattern.faces)
    assert np.abs(np.linalg.norm(vertices[:, [0, 2]], axis=1) - 0.2).max() < 1e-6
    around = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 3]], axis=1)
    up = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1)
    np.testing.assert_allclose(around, 2 * 0.2 * np.sin(np.pi / 24), rtol=0.02)
    np.testing.assert_allclose(up, 0.05, rtol=0.02)
    uv = flattened(vertices, pattern)
    np.testing.assert_allclose(np.linalg.norm(uv[:, 0] - uv[:, 3], axis=1), around, rtol=0.01)
    edge, other = uv[:, 1] - uv[:, 0], uv[:, 3] - uv[:, 0]
    # Not mirrored: seen from outside, u grows to the right and v upwards.
    assert (other[:, 0] * edge[:, 1] - other[:, 1] * edge[:, 0] < 0).all()
    assert edge[:, 1].min() > 0.9 * 0.05


def test_trousers_have_three_openings_and_no_edge_of_three_faces() -> None:
    counts = TrousersCounts(front=12, rise=4, crotch=4, leg=6)
    pattern = trousers_pattern(counts, 0.0, np.array([0.0, -0.3, 0.0]), np.array([0.1, -0.9, 0.0]), 0.2, 0.15)
    faces = np.array(pattern.faces)
    directed = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    assert len(np.unique(directed, axis=0)) == len(directed)
    edges, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    assert uses.max() == 2
    assert (uses == 1).sum() == 24 + 2 * 16
    # Euler's number of a surface with three holes in a sphere.
    assert len(pattern.start) - len(edges) + len(faces) == -1


@pytest.mark.parametrize("sleeve", [0, 5])
def test_a_shirt_has_four_openings_with_or_without_sleeves(sleeve: int) -> None:
    """Mutation: without sleeves the armholes lie on no hem, and wander."""
    counts = UpperCounts(front=12, under=4, body=6, armhole=5, shoulder=2, sleeve=sleeve)
    collar = np.array([[0.0, 0.5, 0.0], [0.06, 0.0, 0.0], [0.0, 0.0, 0.06]])
    arm = np.array([[0.2, 0.4, 0.0], [0.4, 0.2, 0.0]])
    armpit, top = np.array([0.17, 0.3, 0.0]), np.array([0.17, 0.45, 0.0])
    pattern = upper_pattern(counts, hem=0.0, armpit=armpit, top=top, collar=collar, sleeve=arm, depth=0.1)
    faces = np.array(pattern.faces)
    directed = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    assert len(np.unique(directed, axis=0)) == len(directed)
    edges, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    assert uses.max() == 2
    # Euler's number of a surface with four holes in a sphere.
    assert len(pattern.start) - len(edges) + len(faces) == -2
    border = np.unique(edges[uses == 1])
    hems = np.array(pattern.curve)
    assert set(hems[border]) == {0, 1, 2, 3}
    assert (hems == 2).sum() == (hems == 3).sum() == 4 + 2 * 5


def test_the_shipped_garments_are_those_that_there_are_patterns_for() -> None:
    """Mutation: a measure changed and the garment not built anew."""
    assert set(catalog.names(catalog.DATA)) == set(CUTS) | set(ITEMS)
    for name, cut in (CUTS | ITEMS).items():
        table = tomllib.loads((catalog.DATA / name / "garment.toml").read_text())
        wanted = {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(cut).items()
        }
        assert table["parameters"] == {key: value for key, value in wanted.items() if value is not None}, name


def test_every_garment_has_the_vertices_that_folds_need_and_knows_what_it_covers() -> None:
    """Mutations: edges as coarse as they were; a region map of another garment; seams lost."""
    for name in CUTS:
        garment = catalog.load(name)
        assert 2000 <= len(garment.vertices) <= 8000, name
        assert garment.region.min() >= 1
        assert garment.region.max() <= 24
        assert len(garment.seams) > 20
        assert {"S", "M", "L"} <= set(garment.sizes)
    left_knee = 1 + JOINT_NAMES.index("left_knee")
    trousers = catalog.load("trousers")
    assert (trousers.region == left_knee).sum() > 100
    assert trousers.vertices[trousers.region == left_knee, 0].min() > 0


def test_an_unknown_pattern_is_refused() -> None:
    with pytest.raises(SynthError, match="cape"):
        tailored("cape", load_named("free", "neutral"))


@pytest.mark.slow
def test_the_shipped_shorts_come_from_their_pattern() -> None:
    made, parameters = tailored("shorts", load_named("free", "neutral"))
    shipped = catalog.load("shorts")
    assert check(made) == []
    np.testing.assert_array_equal(made.faces, shipped.faces)
    np.testing.assert_allclose(made.vertices, shipped.vertices, atol=1e-4)
    assert parameters["edge"] == CUTS["shorts"].edge


def ring_of_cloth(columns: int = 12, rows: int = 6):
    """A tube around the Y axis, front at +Z, its upper end the neckline (hem 1), as relaxed garments are."""
    pattern = skirt_pattern(front=columns // 2, length=rows, waist=0.3, hem=0.0, middle=0.0, width=0.15, depth=0.15)
    return np.array(pattern.start), pattern


def borders(pattern) -> tuple[int, int]:
    """Edges on borders, and Euler's number; asserts a manifold whose faces look one way."""
    faces = np.array(pattern.faces)
    directed = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    assert len(np.unique(directed, axis=0)) == len(directed)
    edges, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    assert uses.max() == 2
    return int((uses == 1).sum()), len(np.unique(faces)) - len(edges) + len(faces)


def test_a_hood_is_sewn_to_the_neckline_and_an_open_front_is_cut_through() -> None:
    """Mutations: the hood's faces turned over; a vertex of the middle that stays whole; halves drawn together."""
    placed, pattern = ring_of_cloth()
    whole, pattern = hooded(placed, pattern)
    assert borders(pattern) == (24, 0)
    assert len(whole) == len(pattern.start)
    assert set(np.flatnonzero(np.array(pattern.curve) == 1)) == set(range(len(whole) - 12, len(whole)))
    placed, pattern = ring_of_cloth()
    apart, pattern, copied = opened(placed, pattern, (0.01, 0.04))
    assert borders(pattern) == (2 * 12 + 2 * 6, 1)
    np.testing.assert_allclose(apart[copied] * [-1.0, 1.0, 1.0], apart[len(placed) :], atol=2e-3)
    middle = np.sort(apart[copied, 0])
    assert middle.min() > 0.003
    assert middle.max() < 0.05
