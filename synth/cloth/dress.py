"""Put clothes on: carry each garment to a body's shape, give it skin weights, and let it follow the body."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

from garments import catalog, fit
from garments.garment import Garment
from synth.body import lbs
from synth.body.model import load_named
from synth.body.shape import rest_pose, rest_surface, surface_map
from synth.errors import SynthError
from synth.geometry.triangles import ClosestPoint
from synth.spec import GarmentSpec
from synth.types import BodyModel, DressedGarment, Motion

__all__ = ["dress", "fitted"]

Array = np.ndarray

_CLEARANCE = 0.004
"""Least distance of the innermost garment from the skin [m]; where the garment lay closer, it may lie as close again."""
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


@cache
def _bound(name: str, sha256: str) -> tuple[Garment, Int[Array, "Vg 3"], Float[Array, "Vg 3"], Float[Array, " Vg"]]:
    """A garment, and for each vertex the reference body's closest point: corners, weights and distance."""
    garment = catalog.load(name)
    if catalog.digest(name) != sha256:
        raise SynthError(f"garment {name}: was changed since the plan was made", "Plan anew, or put the garment back")
    body, surface = _reference()
    found = ClosestPoint(surface, body.faces)(garment.vertices, exact=True)
    return garment, body.faces[found.face], found.barycentric, found.distance


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
    reference, before = _reference()
    across = surface_map(reference, body)
    surface = rest_surface(body, betas)
    moved, carried = across @ surface - before, across @ body.lbs_weights
    skin = _nearest(ClosestPoint(surface, body.faces))
    result: list[tuple[Garment, Array, Array]] = []
    for worn in outfit:
        garment, corners, share, distance = _bound(worn.name, worn.sha256)
        vertices = fit.fit(
            garment.vertices,
            garment.edges,
            np.einsum("vk,vki->vi", share, moved[corners]),
            skin,
            clearance=np.minimum(distance, _CLEARANCE + _BETWEEN * len(result)),
        )
        average = fit.averaging(garment.edges, len(vertices))
        for inner, beneath, _ in result:
            vertices = _over(vertices, average, inner, beneath)
        rounds = _LOOSE_WEIGHT_ROUNDS if garment.loose else _WEIGHT_ROUNDS
        weights = fit.smoothed(np.einsum("vk,vkj->vj", share, carried[corners]), average, rounds)
        result.append((garment, vertices, weights / weights.sum(axis=1, keepdims=True)))
    return result


def _nearest(surface: ClosestPoint) -> fit.Nearest:
    """A surface as the fit sees it."""

    def nearest(points: Array) -> tuple[Array, Array]:
        found = surface(points)
        return found.distance, found.normal

    return nearest


def _over(vertices: Float[Array, "Vg 3"], average: fit.csr_matrix, inner: Garment, beneath: Array) -> Array:
    """Push a garment out of the one beneath it, except where it only passes that one's hem."""
    surface = ClosestPoint(beneath, inner.triangles)
    hem = _on_hem(inner)

    def nearest(points: Array) -> tuple[Array, Array]:
        found = surface(points)
        beside = hem[found.face] | (np.abs(found.distance) > 0.06)
        return np.where(beside, np.inf, found.distance), found.normal

    return fit.pushed_out(vertices, average, nearest, np.full(len(vertices), _BETWEEN))


def _on_hem(garment: Garment) -> Array:
    """For each triangle, whether it touches an open border."""
    triangles = garment.triangles
    edges = np.sort(np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    border = np.zeros(len(garment.vertices), dtype=bool)
    border[unique[count == 1]] = True
    return border[triangles].any(axis=1)
