import numpy as np
import pytest

from garments import catalog
from synth.cloth.outfit import outfits, sample_outfit
from synth.errors import SynthError
from synth.spec import MaterialSpec


def look(rng: np.random.Generator) -> MaterialSpec:
    colour = (float(rng.random()), 0.0, 0.0)
    return MaterialSpec(
        kind="procedural", seed=0, colour=colour, accent=colour, pattern="plain", scale=1.0, rotation=0.0, roughness=0.5
    )


def test_every_outfit_covers_above_and_below_once_and_has_its_layers_in_order() -> None:
    found = outfits()
    assert len(found) >= 2
    assert len(set(found)) == len(found)
    for names in found:
        worn = [catalog.load(name) for name in names]
        assert sorted(g.covers for g in worn) in (["full"], ["lower", "upper"])
        assert [g.layer for g in worn] == sorted(g.layer for g in worn)


def test_only_what_is_allowed_is_worn() -> None:
    assert outfits(("none",)) == ((),)
    assert outfits(("trousers",)) == (("trousers",),)
    assert outfits(("tshirt", "skirt")) == (("skirt", "tshirt"),)
    with pytest.raises(SynthError, match=r"toga.*tshirt"):
        outfits(("toga",))
    with pytest.raises(SynthError, match="goes with no other"):
        outfits(("none", "tshirt"))


def test_fabrics_and_looks_follow_the_generator() -> None:
    names = outfits()[0]
    first = sample_outfit(np.random.default_rng(1), names, look)
    assert first == sample_outfit(np.random.default_rng(1), names, look)
    seen = {sample_outfit(np.random.default_rng(k), names, look) for k in range(20)}
    assert len({tuple(g.fabric for g in worn) for worn in seen}) > 3
    assert [g.name for g in first] == list(names)
    assert all(g.sha256 == catalog.digest(g.name) and g.fabric in catalog.fabrics() for g in first)
