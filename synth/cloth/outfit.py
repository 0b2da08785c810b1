"""Who wears what: which garments go together, in which order and of which fabric. Outfits know no gender.

The rules: one garment for the whole body, or one for above and one for below. Something that swings freely is not worn
over something else that does (a coat over a skirt). What is for above hangs over what is for below, or, if it is of
thin cloth and fits closely enough, is at times worn in it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from garments import catalog
from garments.garment import Garment
from synth.errors import SynthError
from synth.spec import GarmentSpec, MaterialSpec

OTHER_FABRIC = 0.5
"""Share of garments that are of another fabric than the one they were made for."""
RARE = ("leather",)
"""Fabrics worn only where a garment is made for them."""
TUCKED = 0.3
"""Share of the shirts that could be worn in trousers or skirt that are."""
THIN = 0.2
"""Cloth up to this density can be tucked in [kg/m2]."""
BOOT_ROOM = 0.03
"""Boots are worn under what ends at least so far above them [m]; cloth is not simulated over them."""
LOW_SHOES = -1.10
"""Shoes that end below this height on the reference body [m], at the ankles, are worn with everything."""
SOLES = ((0.75, 0.75, 0.72), (0.03, 0.03, 0.03), (0.18, 0.10, 0.05))
"""White, black and brown, linear RGB."""
OPEN = 3
"""From this layer on a garment for above stands open, and is worn over a shirt without long sleeves."""
_FOREARMS = (19, 20)
SIZES = {"M": 0.5, "S": 0.15, "L": 0.25, "XL": 0.1}
"""How often each size is worn; all of an outfit in one."""


def outfits(allowed: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
    """Every outfit that can be put together: a garment for the whole body, or one for above and one for below.

    A jacket that stands open comes as a third, over a shirt.

    Args:
        allowed: Garments to choose from; empty: all there are; ("none",): bare bodies.

    Returns:
        Names of each outfit's garments, innermost first; an empty outfit for bare bodies.

    Raises:
        SynthError: a garment is unknown, or those allowed make no outfit.
    """
    if allowed == ("none",):
        return ((),)
    there = catalog.names()
    if unknown := [name for name in allowed if name not in (*there, "none")]:
        raise SynthError(f"garment {unknown[0]!r}: there is none of that name", f"There are: {', '.join(there)}, none")
    if "none" in allowed:
        raise SynthError("garment 'none' goes with no other", "Give it alone, or not at all")
    garments = [catalog.load(name) for name in allowed or there]
    upper, lower, full = ([g for g in garments if g.covers == kind] for kind in ("upper", "lower", "full"))
    open_, upper = [g for g in upper if g.layer >= OPEN], [g for g in upper if g.layer < OPEN]
    pairs = [tuple(sorted((a, b), key=lambda g: g.layer)) for a in upper for b in lower if not (a.loose and b.loose)]
    shirts = [g for g in upper if g.layer == 1 and not g.loose and not np.isin(g.region, _FOREARMS).any()]
    pairs += [(b, a, over) for over in open_ for a in shirts for b in lower if not b.loose]
    # an outfit of half a body is what was asked for when only such garments are allowed
    alone = [(g,) for g in full] + ([(g,) for g in upper + lower + open_] if not pairs and allowed else [])
    found = tuple(tuple(g.name for g in worn) for worn in [*pairs, *alone])
    if not found:
        raise SynthError("the wardrobe is empty", "Install the project again")
    return found


def taken_in_turn(found: tuple[tuple[str, ...], ...], rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """An order in which to go through the outfits: what clothes the legs changes from one to the next.

    Each round has every garment for the legs (or for the whole body) once, in random order, each time with another
    garment for above, until every outfit has come up. A short run so wears as many different garments as it can.

    Args:
        found: The outfits (`outfits`).
        rng: Source of all randomness.

    Returns:
        Every outfit at least once; those of one garment once a round.
    """
    groups: dict[str, list[tuple[str, ...]]] = {}
    for names in found:
        groups.setdefault(_on_legs(names), []).append(names)
    mixed = [[group[k] for k in rng.permutation(len(group))] for group in groups.values()]
    order = []
    for turn in range(max(len(group) for group in mixed)):
        order += [mixed[k][turn % len(mixed[k])] for k in rng.permutation(len(mixed))]
    return tuple(order)


def _on_legs(names: tuple[str, ...]) -> str:
    """The garment of an outfit that is not for above; the only one if it is all there is."""
    below = [name for name in names if catalog.load(name).covers != "upper"]
    return (below or list(names) or [""])[0]


def sample_outfit(
    rng: np.random.Generator, names: tuple[str, ...], look: Callable[[np.random.Generator], MaterialSpec]
) -> tuple[GarmentSpec, ...]:
    """Choose fabrics and looks for an outfit, and whether its shirt is worn over or in.

    Args:
        rng: Source of all randomness.
        names: Its garments, innermost first, a shirt outside.
        look: Draws a material.

    Returns:
        The garments, innermost first: a shirt that is worn in trousers or a skirt comes before them.
    """
    fabrics, worn = sorted(set(catalog.fabrics()) - set(RARE)), []
    for name in names:
        other, fabric = rng.random() < OTHER_FABRIC, str(rng.choice(fabrics))
        own = catalog.load(name).fabric.name
        worn.append(
            GarmentSpec(name=name, fabric=fabric if other else own, sha256=catalog.digest(name), material=look(rng))
        )
    tucked = rng.random() < TUCKED
    size = str(rng.choice(list(SIZES), p=list(SIZES.values())))
    worn = [replace(g, size=size) if size in catalog.load(g.name).sizes else g for g in worn]
    return tuple(reversed(worn)) if tucked and _can_be_tucked(worn) else tuple(worn)


def sample_items(
    rng: np.random.Generator,
    outfit: tuple[GarmentSpec, ...],
    *,
    hair: float,
    shoes: float,
    hair_colour: tuple[float, float, float] | None,
    look: Callable[[np.random.Generator], MaterialSpec],
) -> tuple[GarmentSpec, ...]:
    """Choose hair and shoes; no outfit (a bare body), no items.

    Args:
        rng: Source of all randomness.
        outfit: What else is worn: boots only where they are not under a trouser leg.
        hair: Share of heads with hair, of those that are not bald.
        shoes: Share of feet with shoes.
        hair_colour: Linear RGB; None for the bald.
        look: Draws a material; its colours are taken for shoes.
    """
    there = [_garment(name, catalog.digest(name)) for name in catalog.names()]
    lowest = min((float(_garment(g.name, g.sha256).vertices[:, 1].min()) for g in outfit), default=0.0)
    low = {g.name for g in there if g.covers == "feet" and g.vertices[:, 1].max() < LOW_SHOES}
    on_head = [g.name for g in there if g.covers == "head"]
    high = {g.name for g in there if g.covers == "feet" and g.vertices[:, 1].max() < lowest - BOOT_ROOM}
    on_feet = sorted(low | high)
    shod, curls, colours = rng.random() < shoes, rng.random() < hair, look(rng)
    style, kind, seed = rng.random(), rng.random(), int(rng.integers(2**31 - 1))
    items = []
    if outfit and hair_colour is not None and curls and on_head:
        paler = tuple(min(1.35 * value + 0.004, 1.0) for value in hair_colour)
        material = MaterialSpec(
            kind="procedural",
            seed=seed,
            colour=hair_colour,
            accent=(paler[0], paler[1], paler[2]),
            pattern="strands",
            scale=8.0,
            rotation=0.0,
            roughness=0.45,
        )
        items.append(_item(on_head[int(style * len(on_head))], material))
    if outfit and shod and on_feet:
        sole = SOLES[int(rng.integers(len(SOLES)))]
        material = replace(
            colours, kind="procedural", image=None, accent=sole, pattern="sole", scale=1.0, rotation=0.0, roughness=0.5
        )
        items.append(_item(on_feet[int(kind * len(on_feet))], material))
    return tuple(items)


@cache
def _garment(name: str, sha256: str) -> Garment:
    """A garment, read once as long as it stays what it was."""
    return catalog.load(name)


def _item(name: str, material: MaterialSpec) -> GarmentSpec:
    fabric = catalog.load(name).fabric.name
    return GarmentSpec(name=name, fabric=fabric, sha256=catalog.digest(name), material=material)


def _can_be_tucked(worn: list[GarmentSpec]) -> bool:
    """Whether the outer garment of two can be worn in the inner one."""
    if len(worn) != 2:
        return False
    inner, outer = (catalog.load(garment.name) for garment in worn)
    thin = catalog.fabrics()[worn[1].fabric].density <= THIN
    return inner.covers == "lower" and outer.covers == "upper" and outer.layer < 2 and thin and not outer.loose
