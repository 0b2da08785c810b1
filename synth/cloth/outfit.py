"""Who wears what: which garments go together and of which fabric. Outfits know no gender."""

from collections.abc import Callable

import numpy as np

from garments import catalog
from synth.errors import SynthError
from synth.spec import GarmentSpec, MaterialSpec

OTHER_FABRIC = 0.5
"""Share of garments that are of another fabric than the one they were made for."""
RARE = ("leather",)
"""Fabrics worn only where a garment is made for them."""


def outfits(allowed: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
    """Every outfit that can be put together: a garment for the whole body, or one for above and one for below.

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
    pairs = [tuple(sorted((a, b), key=lambda g: g.layer)) for a in upper for b in lower]
    # an outfit of half a body is what was asked for when only such garments are allowed
    alone = [(g,) for g in full] + ([(g,) for g in upper + lower] if not pairs and allowed else [])
    found = tuple(tuple(g.name for g in worn) for worn in [*pairs, *alone])
    if not found:
        raise SynthError("the wardrobe is empty", "Install the project again")
    return found


def sample_outfit(
    rng: np.random.Generator, names: tuple[str, ...], look: Callable[[np.random.Generator], MaterialSpec]
) -> tuple[GarmentSpec, ...]:
    """Choose fabrics and looks for an outfit.

    Args:
        rng: Source of all randomness.
        names: Its garments, innermost first.
        look: Draws a material.
    """
    fabrics, worn = sorted(set(catalog.fabrics()) - set(RARE)), []
    for name in names:
        other, fabric = rng.random() < OTHER_FABRIC, str(rng.choice(fabrics))
        own = catalog.load(name).fabric.name
        worn.append(
            GarmentSpec(name=name, fabric=fabric if other else own, sha256=catalog.digest(name), material=look(rng))
        )
    return tuple(worn)
