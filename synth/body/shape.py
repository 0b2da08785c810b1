"""The pose garments are made and put on in, and how a garment made on one body's surface is carried to another's."""

import numpy as np
import scipy.sparse
from jaxtyping import Float

from synth.body import lbs
from synth.body.joints import JOINT_NAMES
from synth.geometry.triangles import ClosestPoint
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["A_POSE", "rest_pose", "rest_surface", "surface_map"]


def rest_pose() -> Float[Array, "23 3"]:
    """The A-pose: SMPL's T-pose with both upper arms turned 45 degrees down about Z.

    Collar bones do 15 degrees of it and shoulders 30, the third and two thirds of the scapulo-humeral rhythm (Inman et
    al. 1944): from the shoulder alone the figure would shrug. At 45 degrees the shirt's shoulder is neither stretched
    as in a T-pose nor is cloth caught in the armpit.

    Returns:
        Rotations of joints 1-23, axis-angle [rad].
    """
    pose = np.zeros((23, 3))
    for joint, degrees in (("collar", 15.0), ("shoulder", 30.0)):
        pose[JOINT_NAMES.index(f"left_{joint}") - 1, 2] = -np.radians(degrees)
        pose[JOINT_NAMES.index(f"right_{joint}") - 1, 2] = np.radians(degrees)
    return pose


A_POSE: Float[Array, "23 3"] = rest_pose()
A_POSE.flags.writeable = False


def rest_surface(body: BodyModel, betas: Float[Array, " B"]) -> Float[Array, "V 3"]:
    """Vertices of a body in the A-pose, in SMPL's frame (Y up, no translation) [m].

    Raises:
        ValueError: the number of betas is not the model's.
    """
    origin = np.zeros((1, 3))
    return lbs.posed(body, betas, origin, A_POSE[None], origin)[0][0]


def surface_map(reference: BodyModel, body: BodyModel) -> scipy.sparse.csr_matrix:
    """Say where each vertex of the reference body lies on another body's surface.

    The two meet in the T-pose of their mean shapes: each part of the reference is moved, turned and scaled so that its
    bone lies on the other body's, then each vertex goes to the closest point of the same part or one next to it.

    Args:
        reference: The body that garments are made on (free, neutral).
        body: Any body with SMPL's joints.

    Returns:
        Barycentric weights, shape (V of the reference, V of the body), rows sum to 1: times the body's vertices, posed
        and shaped in any way, it gives points that correspond to the reference's vertices. The identity where both
        have the same faces.
    """
    rows = len(reference.v_template)
    if len(body.v_template) == rows and np.array_equal(reference.faces, body.faces):
        return scipy.sparse.csr_matrix(scipy.sparse.identity(rows))
    moved = lbs.skin(reference.v_template[None], reference.lbs_weights, _bone_transforms(reference, body)[None])[0]
    index, weight = np.zeros((rows, 3), dtype=np.int64), np.zeros((rows, 3))
    parts, face_parts = reference.vertex_parts, body.face_parts
    for part in np.unique(parts):
        near = np.isin(face_parts, _neighbours(int(part), body.parents))
        faces = body.faces[near] if near.any() else body.faces
        chosen = parts == part
        found = ClosestPoint(body.v_template, faces)(moved[chosen], exact=True)
        index[chosen], weight[chosen] = faces[found.face], found.barycentric
    weight = np.clip(weight, 0, None)
    weight /= weight.sum(axis=1, keepdims=True)
    entries = (weight.ravel(), (np.repeat(np.arange(rows), 3), index.ravel()))
    return scipy.sparse.csr_matrix(entries, shape=(rows, len(body.v_template)))


def _neighbours(part: int, parents: Array) -> list[int]:
    """The part, the one it hangs on and those that hang on it (parts count from 1)."""
    joint = part - 1
    around = [joint, *np.flatnonzero(parents == joint)] + ([parents[joint]] if parents[joint] >= 0 else [])
    return [int(j) + 1 for j in around]


def _bone_transforms(reference: BodyModel, body: BodyModel) -> Float[Array, "24 4 4"]:
    """For each joint, what lays the reference's bone on the other body's: translation, shortest turn, scale."""
    start, goal = (b.J_regressor @ b.v_template for b in (reference, body))
    children = [np.flatnonzero(body.parents == j) for j in range(24)]
    result = np.tile(np.eye(4), (24, 1, 1))
    for joint in range(24):
        tips = children[joint]
        if len(tips) == 1:
            linear = _turn_and_scale(start[tips[0]] - start[joint], goal[tips[0]] - goal[joint])
        elif len(tips) == 0:
            linear = result[body.parents[joint], :3, :3]
        else:
            linear = np.eye(3) * np.linalg.norm(goal[tips] - goal[joint]) / np.linalg.norm(start[tips] - start[joint])
        result[joint, :3, :3] = linear
        result[joint, :3, 3] = goal[joint] - linear @ start[joint]
    return result


def _turn_and_scale(source: Float[Array, " 3"], target: Float[Array, " 3"]) -> Float[Array, "3 3"]:
    """Shortest rotation from one vector to another, times the ratio of their lengths."""
    lengths = np.linalg.norm(source), np.linalg.norm(target)
    a, b = source / lengths[0], target / lengths[1]
    x, y, z = np.cross(a, b)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + K + K @ K / (1 + a @ b)) * (lengths[1] / lengths[0])
