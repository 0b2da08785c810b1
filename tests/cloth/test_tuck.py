"""A shirt in the trousers, on the real garments and the free body."""

import numpy as np
import pytest

from garments import catalog
from synth.body.model import load_named
from synth.body.shape import rest_surface
from synth.cloth.dress import fitted
from synth.cloth.tuck import is_tucked
from synth.geometry.triangles import ClosestPoint
from synth.spec import GarmentSpec, MaterialSpec

GREY = (0.5, 0.5, 0.5)
LOOK = MaterialSpec(
    kind="procedural", seed=0, colour=GREY, accent=GREY, pattern="plain", scale=1.0, rotation=0.0, roughness=0.8
)


def specs(*names: str) -> tuple[GarmentSpec, ...]:
    return tuple(GarmentSpec(name=name, fabric="cotton", sha256=catalog.digest(name), material=LOOK) for name in names)


def test_only_a_shirt_beneath_something_for_below_is_tucked() -> None:
    shirt, trousers, dress = (catalog.load(name) for name in ("tshirt", "trousers", "dress"))
    assert is_tucked(0, (shirt, trousers))
    assert not is_tucked(1, (shirt, trousers))
    assert not is_tucked(1, (trousers, shirt))
    assert not is_tucked(0, (dress, trousers))


@pytest.mark.parametrize("shirt", ["tshirt", "loose_shirt"])
def test_below_the_waistband_a_tucked_shirt_lies_on_the_skin_inside_the_trousers(shirt: str) -> None:
    """Mutations: nothing pulled in; what is above the waist pulled in too; nothing held; the hem held too; a long
    shirt not folded."""
    body = load_named("free", "female")
    betas = np.zeros(body.shapedirs.shape[2])
    betas[1] = 1.0
    skin = ClosestPoint(rest_surface(body, betas), body.faces)
    (inside, placed, weights), (outside, over, _) = fitted(body, betas, specs(shirt, "trousers"))
    (_, free, _), (loose, hanging, _) = fitted(body, betas, specs("trousers", shirt))
    waist = over[:, 1].max()
    below, above = placed[:, 1] < waist - 0.03, placed[:, 1] > waist + 0.10
    away = skin(placed).distance
    assert away.min() > 0.002
    assert np.percentile(away[below], 95) < 0.012
    belt = (placed[:, 1] < waist - 0.042) & (placed[:, 1] > waist - 0.05)
    assert belt.sum() > 10
    assert (inside.pins[belt] > 0.99).all()
    assert (inside.pins[placed[:, 1] < waist - 0.12] == 0).all()
    assert (inside.pins[above] == loose.pins[above]).all()
    assert np.abs(placed[above] - hanging[above]).max() < 0.02
    assert placed[:, 1].min() > waist - 0.2
    assert weights.shape == (len(placed), 24)
    through = ClosestPoint(placed, inside.triangles)(over)
    near = (np.abs(through.distance) < 0.03) & (over[:, 1] < waist - 0.02) & (over[:, 1] > placed[:, 1].min() + 0.03)
    assert near.sum() > 100
    assert np.mean(through.distance[near] < 0.003) < 0.02
    assert np.abs(over - free).max() < 0.06
    assert outside.name == "trousers"
