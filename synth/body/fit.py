"""Turn figures in the T-pose into a model: shape components, joint regressor, symmetric by construction."""

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.optimize import nnls
from scipy.spatial import KDTree

from synth.body.joints import PAIRS, PARENTS
from synth.geometry.triangles import ClosestPoint

Array = np.ndarray

__all__ = ["fit_regressor", "mirror_map", "on_surface", "shape_components", "symmetric", "volume"]


_TRUNK = [0, 3, 6, 9, 12, 13, 14]
"""Pelvis, spine, neck and collars: read off the trunk as a whole."""


def on_surface(
    points: Float[Array, "V 3"], vertices: Float[Array, "S 3"], triangles: Int[Array, "F 3"]
) -> scipy.sparse.csr_matrix:
    """Barycentric weights (V, S) of the closest surface point of each point."""
    found = ClosestPoint(vertices, triangles)(points, exact=True)
    weight = np.clip(found.barycentric, 0.0, None)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), 3)
    shape = (len(points), len(vertices))
    return scipy.sparse.csr_matrix((weight.ravel(), (rows, triangles[found.face].ravel())), shape=shape)


def mirror_map(vertices: Float[Array, "V 3"]) -> tuple[Int[Array, " V"], float]:
    """For each vertex the one at its mirror image about X = 0, and the largest distance between the two [m].

    Raises:
        ValueError: vertices do not pair up.
    """
    distance, partner = map(np.asarray, KDTree(vertices).query(vertices * [-1.0, 1.0, 1.0]))
    if not np.array_equal(partner[partner], np.arange(len(vertices))):
        raise ValueError(f"{int((partner[partner] != np.arange(len(vertices))).sum())} vertices have no mirror image")
    return partner, float(distance.max())


def symmetric(field: Float[Array, "*S V 3"], partner: Int[Array, " V"]) -> Float[Array, "*S V 3"]:
    """Mean of a field of vectors and its mirror image."""
    return (field + field[..., partner, :] * np.array([-1.0, 1.0, 1.0])) / 2


def volume(vertices: Float[Array, "*S V 3"], faces: Int[Array, "F 3"]) -> Float[Array, "*S"]:
    """Volume [m3] enclosed by a closed mesh (divergence theorem)."""
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    return np.asarray((a * np.cross(b, c)).sum(axis=(-1, -2)) / 6)


def shape_components(
    figures: Float[Array, "S V 3"], faces: Int[Array, "F 3"], count: int
) -> tuple[Float[Array, "V 3"], Float[Array, "V 3 B"], Float[Array, "S B"], Float[Array, " B"]]:
    """Principal components of figures, each scaled by its standard deviation.

    Signs: a positive first beta is taller, every other one enlarges the volume.

    Returns:
        Mean, components [m per standard deviation], the figures' betas, and each component's share of the variance.
    """
    mean = figures.mean(axis=0)
    centred = (figures - mean).reshape(len(figures), -1)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    scale = np.sqrt(values / (len(figures) - 1))
    components = (centred.T @ vectors / np.sqrt(values) * scale).reshape(*mean.shape, count)
    top, bottom = mean[:, 1].argmax(), mean[:, 1].argmin()
    growth = volume(mean + np.moveaxis(components, -1, 0), faces) - volume(mean, faces)
    growth[0] = components[top, 1, 0] - components[bottom, 1, 0]
    sign = np.where(growth < 0, -1.0, 1.0)
    betas = vectors * np.sqrt(values) / scale * sign
    return mean, components * sign, betas, values / float((centred**2).sum())


def fit_regressor(
    figures: Float[Array, "S V 3"],
    joints: Float[Array, "S 24 3"],
    weights: Float[Array, "V 24"],
    partner: Int[Array, " V"],
    template: Float[Array, "V 3"],
    template_joints: Float[Array, "24 3"],
) -> Float[Array, "24 V"]:
    """Non-negative weights over the skin around each joint that give the joint's place in every figure.

    Left joints and those in the middle are fitted; right ones mirror the left. Rows sum to 1.

    Args:
        figures: Bodies, in rest or posed [m].
        joints: Their joints [m].
        weights: Skin weights; a joint is read off skin that moves with it or its neighbours.
        partner: Each vertex's mirror image.
        template: The body in rest [m], which says what skin is near.
        template_joints: Its joints [m].
    """
    regressor = np.zeros((24, len(template)))
    mirrored = dict(PAIRS)
    for j in sorted(set(range(24)) - set(mirrored.values())):
        near = _candidates(template, template_joints[j], weights, j, 500 if j in _TRUNK else 240)
        centre = figures[:, near].mean(axis=1)
        A = np.moveaxis(figures[:, near] - centre[:, None], 1, 2).reshape(-1, len(near))
        b = (joints[:, j] - centre).reshape(-1)
        # A heavy last row asks for a sum of one.
        heavy = np.full((1, len(near)), 30.0)
        row = nnls(np.concatenate([A, heavy]), np.append(b, 30.0), maxiter=20 * len(near))[0]
        row[row < 1e-5] = 0.0
        regressor[j, near] = row / row.sum()
        if j in mirrored:
            regressor[mirrored[j]] = regressor[j][partner]
        else:
            regressor[j] = (regressor[j] + regressor[j][partner]) / 2
    return regressor


def _candidates(mean: Array, joint: Array, weights: Array, j: int, limit: int) -> Int[Array, " K"]:
    """Up to `limit` vertices spread evenly over the nearest skin that moves with the joint, its parent or its child."""
    around = [j, *np.flatnonzero(j == PARENTS)] + ([PARENTS[j]] if j > 0 else [])
    if j in _TRUNK:
        around = sorted({*around, *_TRUNK})
    moves = np.flatnonzero(weights[:, around].sum(axis=1) > 0.25)
    distance = np.linalg.norm(mean[moves] - joint, axis=1)
    radius = max(1.6 * float(np.median(np.sort(distance)[:200])), 0.06, 0.2 if j in _TRUNK[:4] else 0.0)
    near = moves[distance < radius]
    return near[:: max(1, -(-len(near) // limit))]
