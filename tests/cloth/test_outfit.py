import numpy as np
import pytest

from garments import catalog
from synth.cloth.outfit import OPEN, SIZES, THIN, outfits, sample_items, sample_outfit, taken_in_turn
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
        assert sorted(g.covers for g in worn) in (["full"], ["lower", "upper"], ["lower", "upper", "upper"])
        assert (len(worn) == 3) == (worn[-1].layer == OPEN)
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
    assert sorted(g.name for g in first) == sorted(names)
    assert all(g.sha256 == catalog.digest(g.name) and g.fabric in catalog.fabrics() for g in first)


def test_what_swings_is_not_worn_over_what_swings() -> None:
    found = set(outfits())
    assert ("trousers", "coat") in found
    assert not any(names[-1] == "coat" and catalog.load(names[0]).loose for names in found)


def test_outfits_are_taken_in_turn_by_what_clothes_the_legs() -> None:
    """Mutations: a plain shuffle (dresses hardly ever come up); rounds in the same order."""
    found = outfits()
    order = taken_in_turn(found, np.random.default_rng(3))
    assert order == taken_in_turn(found, np.random.default_rng(3))
    assert order != taken_in_turn(found, np.random.default_rng(4))
    assert set(order) == set(found)
    legs = {names[0] for names in found}
    first, second = order[: len(legs)], order[len(legs) : 2 * len(legs)]
    assert {names[0] for names in first} == {names[0] for names in second} == legs
    assert len({names[-1] for names in first}) > len(legs) / 3
    assert [names[0] for names in first] != [names[0] for names in second]
    assert taken_in_turn(((),), np.random.default_rng(0)) == ((),)


def test_thin_shirts_are_at_times_worn_in_and_thick_ones_never() -> None:
    """Mutations: never reversed; a sweater of wool tucked in."""
    shirts = [sample_outfit(np.random.default_rng(k), ("trousers", "tshirt"), look) for k in range(60)]
    tucked = [worn for worn in shirts if worn[0].name == "tshirt"]
    assert 5 < len(tucked) < 30
    assert all(catalog.fabrics()[worn[0].fabric].density <= THIN for worn in tucked)
    assert any(catalog.fabrics()[worn[1].fabric].density > THIN for worn in tucked)
    coats = [sample_outfit(np.random.default_rng(k), ("trousers", "coat"), look) for k in range(30)]
    assert all(worn[1].name == "coat" for worn in coats)


def items(outfit, seed, **changes):
    settings = {"hair": 0.8, "shoes": 0.8, "hair_colour": (0.1, 0.05, 0.02), "look": look} | changes
    return sample_items(np.random.default_rng(seed), outfit, **settings)


def test_hair_and_shoes_are_drawn_by_rule() -> None:
    """Mutations: boots under trousers; hair on the bald; items on bare bodies; one style for all."""
    trousers, dress = (sample_outfit(np.random.default_rng(0), names, look) for names in (("trousers",), ("dress",)))
    under = [item.name for seed in range(60) for item in items(trousers, seed)]
    assert "boots" not in under
    seen = [items(dress, seed) for seed in range(80)]
    names = [[item.name for item in worn] for worn in seen]
    assert {"boots", "sneakers", "flats"} <= {name for worn in names for name in worn}
    assert len({name for worn in names for name in worn if name.startswith("hair")}) >= 4
    assert 3 < sum(not any(name.startswith("hair") for name in worn) for worn in names) < 40
    assert 3 < sum(not any(catalog.load(name).covers == "feet" for name in worn) for worn in names) < 40
    assert items(dress, 5) == items(dress, 5)
    assert items((), 5) == ()
    assert not any(item.name.startswith("hair") for seed in range(30) for item in items(dress, seed, hair_colour=None))
    assert items(dress, 7, hair=0.0, shoes=0.0) == ()


def test_an_outfit_is_of_one_size_and_all_sizes_are_worn() -> None:
    worn = [sample_outfit(np.random.default_rng(k), ("trousers", "tshirt"), look) for k in range(80)]
    assert all(len({garment.size for garment in outfit}) == 1 for outfit in worn)
    assert {outfit[0].size for outfit in worn} == set(SIZES)
