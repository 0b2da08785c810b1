"""Make the garments: own patterns laid over the free body's hull in A-pose. Lengths in metres, SMPL's frame (Y up)."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from garments import catalog
from garments.garment import Garment
from synth.body import lbs
from synth.body.shape import rest_pose
from synth.cloth.additions import hooded, opened
from synth.cloth.figure import Cut, Figure, eased
from synth.cloth.lowers import skirt, trousers
from synth.cloth.pattern import Pattern
from synth.cloth.relax import flattened
from synth.cloth.uppers import CREW, SCOOP, Collar, upper
from synth.errors import SynthError
from synth.geometry.triangles import ClosestPoint
from synth.types import BodyModel

__all__ = ["CUTS", "Cut", "tailored"]

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """One kind of garment: how it is made and what it is."""

    make: Callable[["Figure", Cut], tuple[Array, Pattern, Array]]
    cut: Cut
    layer: int
    covers: str
    loose: bool
    fabric: str

    @property
    def sizes(self) -> dict[str, float]:
        """Wider and narrower ones; what lies close to the body changes less."""
        step = 0.3 * min(self.cut.ease, 0.02)
        return {"S": -round(step, 4), "M": 0.0, "L": round(1.5 * step, 4), "XL": round(3 * step, 4)}


def tailored(name: str, body: BodyModel, cut: Cut | None = None) -> tuple[Garment, dict[str, float]]:
    """Make a garment.

    Args:
        name: One of CUTS.
        body: The body it is made on: the free neutral one.
        cut: Its measures, by default those in CUTS.

    Returns:
        The garment and its parameters.

    Raises:
        SynthError: no pattern of that name.
    """
    if name not in _MODELS:
        raise SynthError(f"garment {name!r}: no pattern of that name", f"Patterns: {', '.join(_MODELS)}")
    model = _MODELS[name]
    cut = cut or model.cut
    origin, betas = np.zeros((1, 3)), np.zeros(body.shapedirs.shape[2])
    vertices, joints = lbs.posed(body, betas, origin, rest_pose()[None], origin)
    figure = Figure(vertices=vertices[0], faces=body.faces, face_parts=body.face_parts, joints=joints[0])
    placed, pattern, held = model.make(figure, cut)
    hang = eased((placed[:, 1].max() - placed[:, 1]) / np.ptp(placed[:, 1])) if model.loose else 0.0
    garment = Garment(
        name=name,
        layer=model.layer,
        covers=model.covers,
        vertices=placed,
        faces=np.array(pattern.faces),
        uv=flattened(placed, pattern),
        pins=held,
        goals=np.maximum(0.9 - 0.3 * hang, held),
        loose=model.loose,
        fabric=catalog.fabrics()[model.fabric],
        source="made for this project around its own free body",
        licence="CC0-1.0",
        region=body.face_parts[ClosestPoint(vertices[0], body.faces)(placed, exact=True).face].astype(np.int8),
        sizes=model.sizes,
    )
    return garment, {field.name: getattr(cut, field.name) for field in fields(cut)}


def _top(cut: Cut, fabric: str, *, loose: bool = False, collar: Collar = CREW) -> _Model:
    """Something for above the waist, worn over what is below it."""
    make = partial(upper, dress=False, collar=collar)
    return _Model(make=make, cut=cut, layer=1, covers="upper", loose=loose, fabric=fabric)


def _hoodie(figure: "Figure", cut: Cut) -> tuple[Array, Pattern, Array]:
    """A sweater with a hood, which is held loosely: it lies there."""
    placed, pattern, held = upper(figure, cut, dress=False, neck_edges=0.27)
    whole, pattern = hooded(placed, pattern)
    return whole, pattern, np.concatenate([held, np.full(len(whole) - len(held), 0.35)])


def _jacket(figure: "Figure", cut: Cut) -> tuple[Array, Pattern, Array]:
    """A jacket that stands open in front."""
    placed, pattern, held = upper(figure, cut, dress=False)
    placed, pattern, copied = opened(placed, pattern, (0.012, 0.05))
    return placed, pattern, np.concatenate([held, held[copied]])


def _bottom(cut: Cut, fabric: str = "cotton") -> _Model:
    return _Model(make=trousers, cut=cut, layer=0, covers="lower", loose=False, fabric=fabric)


def _skirt(cut: Cut, fabric: str = "cotton") -> _Model:
    return _Model(make=skirt, cut=cut, layer=0, covers="lower", loose=True, fabric=fabric)


def _dress(cut: Cut, fabric: str = "cotton", *, collar: Collar = CREW) -> _Model:
    make = partial(upper, dress=True, collar=collar)
    return _Model(make=make, cut=cut, layer=0, covers="full", loose=True, fabric=fabric)


_MODELS = {
    "tshirt": _top(Cut(edge=0.0186), "jersey"),
    "longsleeve": _top(Cut(edge=0.0218, ease=0.016, sleeve=1.9), "jersey"),
    "loose_shirt": _top(Cut(edge=0.0228, ease=0.030, taper=0.0, sleeve=1.85, hem=0.2), "cotton"),
    "tank_top": _top(Cut(edge=0.0172, ease=0.012, sleeve=0.0), "jersey", collar=SCOOP),
    "sweater": _top(Cut(edge=0.0219, ease=0.034, taper=0.10, sleeve=1.9, hem=0.05), "wool"),
    "hoodie": _Model(
        make=_hoodie,
        cut=Cut(edge=0.0240, ease=0.028, taper=0.10, sleeve=1.9, hem=0.05),
        layer=2,
        covers="upper",
        loose=False,
        fabric="jersey",
    ),
    "jacket": _Model(
        make=_jacket,
        cut=Cut(edge=0.0224, ease=0.032, taper=0.02, sleeve=1.92, hem=0.12),
        layer=3,
        covers="upper",
        loose=True,
        fabric="denim",
    ),
    "coat": _top(Cut(edge=0.027, ease=0.036, taper=-0.06, sleeve=1.93, hem=0.95), "wool", loose=True),
    "trousers": _bottom(Cut(edge=0.0238, ease=0.010, taper=0.13, hem=1.93)),
    "loose_trousers": _bottom(Cut(edge=0.0238, ease=0.014, taper=-0.01, hem=1.93)),
    "leggings": _bottom(Cut(edge=0.0226, ease=0.006, taper=1.0, hem=1.9), "jersey"),
    "shorts": _bottom(Cut(edge=0.0166, ease=0.010, taper=0.02, hem=0.85)),
    "skirt": _skirt(Cut(edge=0.0174, ease=0.012, taper=-0.16, hem=0.85)),
    "short_skirt": _skirt(Cut(edge=0.0151, ease=0.012, taper=-0.10, hem=0.5), "denim"),
    "long_skirt": _skirt(Cut(edge=0.0226, ease=0.012, taper=-0.13, hem=1.7)),
    "dress": _dress(Cut(edge=0.0229, ease=0.014, taper=-0.14, sleeve=0.6, hem=0.9)),
    "long_dress": _dress(Cut(edge=0.028, ease=0.014, taper=-0.13, sleeve=1.85, hem=1.6)),
    "sundress": _dress(Cut(edge=0.0228, ease=0.012, taper=-0.16, sleeve=0.0, hem=0.8), collar=SCOOP),
}

CUTS: dict[str, Cut] = {name: model.cut for name, model in _MODELS.items()}
"""The garments there are patterns for, and their measures."""
