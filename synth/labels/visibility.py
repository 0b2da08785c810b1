"""Why a joint is or is not seen. Joints lie inside the body, so their rays are followed to the skin before them."""

import functools
from enum import IntEnum

import numpy as np
from jaxtyping import Float, Int, UInt8

from synth.body.lbs import shaped
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["Visibility", "first_hit", "flesh_depth", "joint_visibility"]


class Visibility(IntEnum):
    """What stands between the camera and a joint; where several hold, the first in this order counts: 1, 2, 3, 0."""

    VISIBLE = 0
    """The skin over the joint is seen: the bare body's first surface along the joint's ray belongs to the joint's own
    part, its parent's or a child's, lies less than `flesh_depth` before the joint, and no cloth covers it."""
    OUTSIDE = 1
    """The joint projects outside the picture, or lies behind the camera."""
    HIDDEN_BY_BODY = 2
    """The bare body's first surface along the ray is another part's, or lies further before the joint."""
    HIDDEN_BY_CLOTH = 3
    """The bare body would show the joint, but at its pixel the picture shows a garment nearer than the joint."""


@functools.lru_cache(maxsize=8)
def flesh_depth(body: BodyModel, betas: tuple[float, ...]) -> Float[Array, " 24"]:
    """How far before a joint its own skin may lie: the body's thickness around the joint, and 5 cm for bending.

    The thickness is the distance from the joint to the skin in 128 directions, of which the 75th percentile is taken:
    it spans a trunk seen from its side and leaves out the directions along a limb.

    Args:
        body: The body.
        betas: Its shape.

    Returns:
        Bound for each joint [m]; about 8 cm at the wrist, 22 cm at the pelvis.
    """
    rest, joints = shaped(body, np.array(betas))
    step = np.arange(128) + 0.5
    z = 1 - step / 64
    angle = np.pi * (1 + np.sqrt(5)) * step  # a Fibonacci spiral covers the sphere evenly
    ring = np.sqrt(1 - z * z)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z])
    bound = np.empty(24)
    for j, joint in enumerate(joints):
        distance = np.maximum(np.linalg.norm(rest - joint, axis=1), 1e-9)[:, None]
        cosine = (rest - joint) / distance @ directions
        skin = np.where(cosine > 0.96, distance, np.inf).min(axis=0)
        skin = np.where(np.isfinite(skin), skin, distance[cosine.argmax(axis=0), 0])
        bound[j] = np.percentile(skin, 75) + 0.05
    bound.flags.writeable = False
    return bound


def first_hit(
    points_2d: Float[Array, "N 2"],
    vertices_camera: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
    K: Float[Array, "3 3"],
) -> tuple[Float[Array, " N"], Int[Array, " N"]]:
    """First surface along the rays through some points of the picture.

    Args:
        points_2d: Points of the picture [px].
        vertices_camera: The mesh, in the camera's frame [m].
        faces: Its triangles; those that reach behind the camera are left out.
        K: Intrinsics [px].

    Returns:
        Planar depth [m] (infinite where the ray meets nothing) and face (-1) for each point.
    """
    depth, face = np.full(len(points_2d), np.inf), np.full(len(points_2d), -1, dtype=np.int64)
    homogeneous = vertices_camera @ K.T
    # A vertex behind the camera becomes NaN: no comparison with it holds, so its triangles cover nothing.
    pixels = homogeneous[:, :2] / np.where(homogeneous[:, 2:] > 1e-6, homogeneous[:, 2:], np.nan)
    corners = [[column[faces[:, i]] for i in range(3)] for column in np.ascontiguousarray(pixels.T)]
    low_x, low_y = (np.minimum(np.minimum(a, b), c) for a, b, c in corners)
    high_x, high_y = (np.maximum(np.maximum(a, b), c) for a, b, c in corners)
    for i, point in enumerate(points_2d):
        x, y = point
        near = np.flatnonzero((low_x <= x) & (high_x >= x) & (low_y <= y) & (high_y >= y))
        hit, at = _depth_at(point, pixels[faces[near]], vertices_camera[faces[near], 2])
        if hit.any():
            first = int(np.argmin(np.where(hit, at, np.inf)))
            depth[i], face[i] = at[first], near[first]
    return depth, face


def _depth_at(
    point: Float[Array, " 2"], corners: Float[Array, "N 3 2"], z: Float[Array, "N 3"]
) -> tuple[np.ndarray, Float[Array, " N"]]:
    """Whether each projected triangle covers the point, and its planar depth there (1/z is linear in the picture)."""
    edge = np.roll(corners, -1, axis=1) - corners
    to_point = point - corners
    area = edge[..., 0] * to_point[..., 1] - edge[..., 1] * to_point[..., 0]
    total = area.sum(axis=1)
    inside = ((area >= 0).all(axis=1) | (area <= 0).all(axis=1)) & (total != 0)
    weights = np.roll(area, -1, axis=1) / np.where(total == 0, 1.0, total)[:, None]
    with np.errstate(divide="ignore"):
        return inside, 1.0 / (weights / z).sum(axis=1)


def _parts_of(body: BodyModel, faces: Int[Array, " N"]) -> UInt8[Array, " N"]:
    """`body.face_parts` of a few faces."""
    return (np.argmax(body.lbs_weights[body.faces[faces]].sum(axis=1), axis=1) + 1).astype(np.uint8)


def _related(body: BodyModel) -> np.ndarray:
    """(24, 25) bool: whether the part (0 is none) is the joint's own, its parent's or a child's."""
    related = np.eye(24, 25, k=1, dtype=bool)
    for child, parent in enumerate(body.parents):
        if parent >= 0:
            related[child, parent + 1] = related[parent, child + 1] = True
    return related


def joint_visibility(
    joints_camera: Float[Array, "24 3"],
    keypoints_2d: Float[Array, "24 2"],
    vertices_camera: Float[Array, "V 3"],
    body: BodyModel,
    flesh: Float[Array, " 24"],
    K: Float[Array, "3 3"],
    depth: Float[Array, "H W"],
    garments: UInt8[Array, "H W"],
) -> UInt8[Array, " 24"]:
    """Visibility of each joint in one picture.

    Args:
        joints_camera: Joints in the camera's frame [m].
        keypoints_2d: The same, projected [px].
        vertices_camera: The bare body in the camera's frame [m].
        body: Its model.
        flesh: How far before each joint its skin may lie [m], from `flesh_depth`.
        K: Intrinsics [px].
        depth: Planar depth of what the picture shows [m], 0 for the background.
        garments: Garment that each pixel shows, 0 for none.

    Returns:
        A `Visibility` for each joint.
    """
    height, width = depth.shape
    z = joints_camera[:, 2]
    pixel = np.floor(np.nan_to_num(keypoints_2d, nan=-1.0)).astype(np.int64)
    within = (z > 0) & (pixel >= 0).all(axis=1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
    out = np.full(24, Visibility.OUTSIDE, dtype=np.uint8)
    joints = np.flatnonzero(within)
    skin, face = first_hit(keypoints_2d[joints], vertices_camera, body.faces, K)
    part = np.where(face < 0, joints + 1, _parts_of(body, face))
    own = _related(body)[joints, part] & ((face < 0) | (skin > z[joints] - flesh[joints]))
    row, column = pixel[joints, 1], pixel[joints, 0]
    covered = (garments[row, column] > 0) & (depth[row, column] < z[joints])
    out[joints] = np.where(
        own, np.where(covered, Visibility.HIDDEN_BY_CLOTH, Visibility.VISIBLE), Visibility.HIDDEN_BY_BODY
    )
    return out
