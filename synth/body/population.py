"""Draw adults from MakeHuman's traits, so that their shapes can be analysed into betas.

Stature follows measurement: ANSUR II (Gordon et al. 2014, "2012 Anthropometric Survey of U.S. Army Personnel"), men
1.756 m, standard deviation 0.069 m; women 1.629 m, 0.064 m. All other distributions are chosen, not measured: they are
broad enough to hold thin and heavy, old and young, muscular and slack figures, and MakeHuman's scales for them have
no physical unit. Weight is shifted upwards from MakeHuman's middle figure, which is slender; the volumes that result
(men 77 l, standard deviation 11 l; women 58 l, 10 l) are still below the soldiers' of that survey. Ages run from 25 to
about 77 years with most below 50.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synth.body.makehuman import ANCESTRIES, PROPORTIONS

Array = np.ndarray

__all__ = ["STATURE", "Adults", "draw_adults"]

STATURE = {"male": (1.756, 0.069), "female": (1.629, 0.064)}
"""Mean and standard deviation [m], ANSUR II."""
_OLDEST = 0.8
"""On MakeHuman's scale from 25 (0) to 90 years (1)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adults:
    """Drawn figures: how strongly each morph target acts, and how tall each is."""

    strengths: Float[Array, "S M"]
    stature: Float[Array, " S"]
    """[m]"""


def draw_adults(rng: np.random.Generator, count: int, gender: str, targets: list[tuple[str, ...]]) -> Adults:
    """Draw figures.

    Args:
        rng: Source of randomness.
        count: Number of figures.
        gender: "male", "female", or "neutral" for men and women in turn.
        targets: Traits of each morph target (see `makehuman.morph_targets`).
    """

    def normal(mean: Array | float, deviation: float) -> Array:
        return np.clip(rng.normal(mean, deviation, count), 0.0, 1.0)

    woman = {"male": np.zeros(count), "female": np.ones(count)}.get(gender, np.arange(count) % 2.0)
    femininity = np.abs(woman - np.clip(rng.normal(0.0, 0.08, count), 0.0, 0.25))
    old = _OLDEST * rng.beta(1.3, 3.0, count)
    tall = rng.normal(0.0, 1.0, count)
    traits = {"male": 1 - femininity, "female": femininity, "young": 1 - old, "old": old}
    traits |= _between(("minmuscle", "averagemuscle", "maxmuscle"), normal(0.55 - 0.1 * woman, 0.2))
    traits |= _between(("minweight", "averageweight", "maxweight"), normal(0.72, 0.28))
    # Long legs go with tall stature; the remaining scale is uniform.
    traits |= _between(("minheight", "maxheight"), np.clip(0.385 + 0.06 * tall, 0.02, 0.98))
    traits |= _between(PROPORTIONS, normal(0.6, 0.2))
    traits |= _between(("mincup", "averagecup", "maxcup"), normal(0.5, 0.2))
    traits |= _between(("minfirmness", "averagefirmness", "maxfirmness"), normal(0.55, 0.2))
    traits |= dict(zip(ANCESTRIES, rng.dirichlet([0.7, 0.7, 0.7], count).T, strict=True))
    strengths = np.stack([np.prod([traits[trait] for trait in key], axis=0) for key in targets], axis=1)
    return Adults(strengths=strengths, stature=_stature(woman, tall))


def _stature(woman: Array, tall: Array) -> Array:
    mean, deviation = (np.where(woman > 0.5, STATURE["female"][i], STATURE["male"][i]) for i in (0, 1))
    return mean + deviation * tall


def _between(names: tuple[str, ...], position: Float[Array, " S"]) -> dict[str, Float[Array, " S"]]:
    """Shares of neighbouring levels for a position in [0, 1], linear in between."""
    knots = np.linspace(0.0, 1.0, len(names))
    return {name: np.interp(position, knots, np.eye(len(names))[i]) for i, name in enumerate(names)}
