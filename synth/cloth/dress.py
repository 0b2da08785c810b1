"""Put clothes on: carry each garment to a body's shape, give it skin weights, and let it follow the body."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from garments import catalog, fit
from garments.garment import Garment
from synth.body import lbs
from synth.body.joints import JOINT_NAMES
from synth.body.model import load_named
from synth.body.shape import rest_pose, rest_surface, surface_map
from synth.cloth.tuck import is_tucked, tucked_in
from synth.errors import SynthError
from synth.geometry.triangles import ClosestPoint
from synth.spec import GarmentSpec
from synth.types import BodyModel, DressedGarment, Motion

__all__ = ["dress", "fitted", "fitted_to"]

Array = np.ndarray

_CLEARANCE = 0.006
"""Least distance of the innermost garment from the skin [m]; or as little as where it was made."""
_LEAST = 0.003
"""Least distance of any vertex from the skin [m]."""
_BETWEEN = 0.008
"""Least distance of a garment from the one beneath [m]."""
_WEIGHT_ROUNDS = 3
_LOOSE_WEIGHT_ROUNDS = 30
"""Laplacian rounds on the skin weights; a skirt must not tear between the legs."""


@cache
def _reference() -> tuple[BodyModel, Array]:
    """The body that garments are made on, and its surface in the A-pose."""
    body = load_named("free", "neutral")
    return body, rest_surface(body, np.zeros(body.shapedirs.shape[2]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Binding:
    """A garment and, for each vertex, the reference body's closest point."""

    garment: Garment
    corners: Int[Array, "Vg 3"]
    share: Float[Array, "Vg 3"]
    """Barycentric weights of the corners."""
    distance: Float[Array, " Vg"]
    """[m]"""
    widening: Float[Array, "Vg 3"]
    """Where each vertex moves in a garment that is wider by one metre."""


def _binding(garment: Garment) -> _Binding:
    body, surface = _reference()
    below = ClosestPoint(surface, body.faces)(garment.vertices, exact=True)
    if not garment.region.all():
        garment = replace(garment, region=body.face_parts[below.face].astype(np.int8))
    return _Binding(
        garment=garment,
        corners=body.faces[below.face],
        share=below.barycentric,
        distance=below.distance,
        widening=_widening(garment, below.normal),
    )


def _widening(garment: Garment, outwards: Float[Array, "Vg 3"]) -> Float[Array, "Vg 3"]:
    """Outwards, but not where pins hold it, and of two legs not towards each other."""
    free = 1.0 - garment.pins
    if garment.covers == "lower" and not garment.loose:
        free = free * np.clip(np.sign(garment.vertices[:, 0]) * outwards[:, 0] + 0.5, 0.0, 1.0)
    return free[:, None] * outwards


@cache
def _bound(name: str, sha256: str) -> _Binding:
    """One of the project's garments, bound to the reference body."""
    try:
        garment, found = catalog.load(name), catalog.digest(name)
    except catalog.CatalogError as error:
        raise SynthError(str(error), "List the garments with `synth garment list`") from None
    if found != sha256:
        raise SynthError(f"garment {name}: was changed since the plan was made", "Plan anew, or put the garment back")
    return _binding(garment)


def dress(
    body: BodyModel, betas: Float[Array, " B"], outfit: tuple[GarmentSpec, ...], motion: Motion
) -> tuple[DressedGarment, ...]:
    """Dress a body for a motion.

    Args:
        body: Any body model with SMPL's joints.
        betas: Its shape.
        outfit: The garments, innermost first.
        motion: All frames that are simulated, lead-in included.

    Returns:
        The garments in the outfit's order, fitted in the A-pose and carried along by the skin.

    Raises:
        SynthError: a garment is unknown or not the one that the spec was made with.
    """
    origin, rest = np.zeros((1, 3)), rest_pose()[None]
    from_rest = lbs.joint_transforms(body, betas, origin, rest, origin)
    moving = lbs.joint_transforms(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    worn = []
    for garment, vertices, weights in fitted(body, betas, outfit):
        unposed = _unposed(vertices, weights, from_rest[0])
        worn.append(
            DressedGarment(
                garment=garment,
                rest_vertices=vertices,
                lbs_weights=weights,
                skinned_world=lbs.skin(unposed[None], weights, moving),
            )
        )
    return tuple(worn)


def _unposed(
    vertices: Float[Array, "Vg 3"], weights: Float[Array, "Vg 24"], transforms: Float[Array, "24 4 4"]
) -> Float[Array, "Vg 3"]:
    """Where skinning must start from to arrive at these vertices."""
    blended = np.einsum("vj,jab->vab", weights, transforms)
    return np.linalg.solve(blended[:, :3, :3], (vertices - blended[:, :3, 3])[..., None])[..., 0]


def fitted(
    body: BodyModel, betas: Float[Array, " B"], outfit: tuple[GarmentSpec, ...]
) -> list[tuple[Garment, Float[Array, "Vg 3"], Float[Array, "Vg 24"]]]:
    """Fit an outfit to a body in the A-pose: garment, vertices [m] (SMPL's frame) and skin weights of each."""
    surface = rest_surface(body, betas)
    skin = _nearest(ClosestPoint(surface, body.faces))
    moved, carried = _carried(body, surface)
    result: list[tuple[Garment, Array, Array]] = []
    bindings = [_bound(worn.name, worn.sha256) for worn in outfit]
    patterns = tuple(binding.garment for binding in bindings)
    for position, (worn, binding) in enumerate(zip(outfit, bindings, strict=True)):
        if worn.fabric not in catalog.fabrics():
            raise SynthError(f"fabric {worn.fabric!r}: not known", f"Fabrics: {', '.join(catalog.fabrics())}")
        garment = replace(binding.garment, fabric=catalog.fabrics()[worn.fabric])
        if worn.size not in garment.sizes:
            raise SynthError(f"garment {worn.name}: no size {worn.size!r}", f"Sizes: {', '.join(garment.sizes)}")
        wider = garment.sizes[worn.size]
        vertices = _fitted(binding, moved, skin, _CLEARANCE + _BETWEEN * len(result), wider)
        if is_tucked(position, patterns):
            garment, vertices = tucked_in(garment, vertices, _waist(bindings[position + 1 :], moved), skin)
        for inner, beneath, _ in result:
            vertices = _over(vertices, binding.garment, inner, beneath)
        result.append((garment, vertices, _weights(binding, carried)))
    return result


def _waist(outer: list[_Binding], moved: Float[Array, "R 3"]) -> float:
    """Height of the waistband of what is worn over a shirt [m]."""
    lower = next(binding for binding in outer if binding.garment.covers == "lower")
    top = lower.garment.vertices[:, 1].max()
    band = lower.garment.vertices[:, 1] > top - 0.005
    rise = np.einsum("vk,vk->v", lower.share[band], moved[lower.corners[band], 1])
    return float(top + rise.mean())


def fitted_to(body: BodyModel, betas: Float[Array, " B"], garment: Garment) -> tuple[fit.Nearest, Float[Array, "Vg 3"]]:
    """Fit any single garment to a body: the body's surface and the garment's vertices in the A-pose [m]."""
    surface = rest_surface(body, betas)
    skin = _nearest(ClosestPoint(surface, body.faces))
    return skin, _fitted(_binding(garment), _carried(body, surface)[0], skin, _CLEARANCE)


def _carried(body: BodyModel, surface: Float[Array, "V 3"]) -> tuple[Float[Array, "R 3"], Float[Array, "R 24"]]:
    """How far the reference's vertices move to this body's surface [m], and the skin weights they meet there."""
    reference, before = _reference()
    across = surface_map(reference, body)
    return across @ surface - before, across @ body.lbs_weights


def _fitted(
    binding: _Binding, moved: Float[Array, "R 3"], skin: fit.Nearest, clearance: float, wider: float = 0.0
) -> Float[Array, "Vg 3"]:
    garment = binding.garment
    return fit.fit(
        garment.vertices,
        garment.faces,
        garment.edges,
        np.einsum("vk,vki->vi", binding.share, moved[binding.corners]) + wider * binding.widening,
        skin,
        clearance=np.clip(binding.distance, _LEAST, clearance),
    )


def _weights(binding: _Binding, carried: Float[Array, "R 24"]) -> Float[Array, "Vg 24"]:
    """Skin weights of the body beneath, smoothed over the cloth; rows sum to 1."""
    garment = binding.garment
    if garment.covers == "head":
        return np.tile(np.eye(24)[JOINT_NAMES.index("head")], (len(garment.vertices), 1))
    average = fit.averaging(garment.edges, len(garment.vertices))
    rounds = _LOOSE_WEIGHT_ROUNDS if garment.loose else _WEIGHT_ROUNDS
    weights = fit.smoothed(np.einsum("vk,vkj->vj", binding.share, carried[binding.corners]), average, rounds)
    return weights / weights.sum(axis=1, keepdims=True)


def _nearest(surface: ClosestPoint) -> fit.Nearest:
    """A surface as the fit sees it."""

    def nearest(points: Array) -> tuple[Array, Array]:
        found = surface(points)
        return found.distance, found.normal

    return nearest


def _over(vertices: Float[Array, "Vg 3"], garment: Garment, inner: Garment, beneath: Array) -> Array:
    """Push a garment out of the one beneath it, except where it only passes that one's hem."""
    surface = ClosestPoint(beneath, inner.triangles)
    hem = _on_hem(inner)

    def nearest(points: Array) -> tuple[Array, Array]:
        found = surface(points)
        beside = hem[found.face] | (np.abs(found.distance) > 0.06)
        return np.where(beside, np.inf, found.distance), found.normal

    return fit.pushed_out(vertices, garment.faces, garment.edges, nearest, np.full(len(vertices), _BETWEEN))


def _on_hem(garment: Garment) -> Array:
    """For each triangle, whether it touches an open border."""
    triangles = garment.triangles
    edges = np.sort(np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    border = np.zeros(len(garment.vertices), dtype=bool)
    border[unique[count == 1]] = True
    return border[triangles].any(axis=1)
