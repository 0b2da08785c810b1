"""Linear blend skinning of SMPL bodies, in batched NumPy.

Source: Loper et al., "SMPL: A Skinned Multi-Person Linear Model" (2015), equations 2-4 and 6-12.
All is float64: with it the result agrees with smplx to rounding, and flow, which is a difference of two frames, stays
exact to well under a pixel. Frames are posed in blocks, so memory does not grow with the clip.
"""

import numpy as np
from jaxtyping import Float

from synth.geometry.rotations import rotvec_to_rotmat
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["joint_transforms", "posed", "shaped", "skin"]

_BLOCK = 8
"""Frames skinned at once: the blended transforms of a block (8 x 6890 x 12 doubles, 5 MB) stay near the cache."""


def shaped(body: BodyModel, betas: Float[Array, " B"]) -> tuple[Float[Array, "V 3"], Float[Array, "24 3"]]:
    """Vertices and joints of one shape in the rest pose (T-pose), SMPL's frame [m].

    Source: SMPL, equations 8 and 10.

    Args:
        body: The model, with B shape components.
        betas: Shape coefficients, in standard deviations.

    Raises:
        ValueError: the number of betas is not the model's.
    """
    components = body.shapedirs.shape[2]
    if betas.shape != (components,):
        raise ValueError(f"betas: expected ({components},), got {betas.shape}")
    vertices = body.v_template + body.shapedirs @ betas
    return vertices, body.J_regressor @ vertices


def joint_transforms(
    body: BodyModel,
    betas: Float[Array, " B"],
    global_orient: Float[Array, "T 3"],
    body_pose: Float[Array, "T 23 3"],
    transl: Float[Array, "T 3"],
) -> Float[Array, "T 24 4 4"]:
    """Rigid motion of each joint's part, from where it is at rest (T-pose) to where it is in the pose.

    A point x fixed to joint j goes to `T[t, j] @ (x, 1)`; joint j itself is at `T[t, j] @ (rest joint, 1)`. Blended by
    skin weights these are what moves the skin. Source: SMPL, equations 3 and 4.

    Args:
        body: The model.
        betas: Shape coefficients.
        global_orient: Rotation of the root, axis-angle [rad].
        body_pose: Rotations of joints 1-23 relative to their parents, axis-angle [rad].
        transl: Translation [m].

    Raises:
        ValueError: arrays disagree in length, or the number of betas is not the model's.
    """
    _, joints = shaped(body, betas)
    return _transforms(body, joints, _rotations(global_orient, body_pose, transl), transl)


def posed(
    body: BodyModel,
    betas: Float[Array, " B"],
    global_orient: Float[Array, "T 3"],
    body_pose: Float[Array, "T 23 3"],
    transl: Float[Array, "T 3"],
) -> tuple[Float[Array, "T V 3"], Float[Array, "T 24 3"]]:
    """Pose a body over T frames.

    Source: SMPL, equation 6.

    Args:
        body: The model.
        betas: Shape coefficients, one shape for all frames.
        global_orient: Rotation of the root, axis-angle [rad].
        body_pose: Rotations of joints 1-23 relative to their parents, axis-angle [rad].
        transl: Translation [m]; the pelvis comes to rest joint 0 plus this.

    Returns:
        Vertices and joints [m] in the frame that `global_orient` and `transl` are given in.

    Raises:
        ValueError: arrays disagree in length, or the number of betas is not the model's.
    """
    rest, joints = shaped(body, betas)
    rotations = _rotations(global_orient, body_pose, transl)
    transforms = _transforms(body, joints, rotations, transl)
    feature = (rotations[:, 1:] - np.eye(3)).reshape(len(rotations), -1)
    directions = body.posedirs.reshape(-1, feature.shape[1]).T
    vertices = np.empty((len(rotations), *rest.shape))
    for start in range(0, len(rotations), _BLOCK):
        block = slice(start, start + _BLOCK)
        corrected = rest + (feature[block] @ directions).reshape(-1, *rest.shape)
        vertices[block] = skin(corrected, body.lbs_weights, transforms[block])
    return vertices, (transforms[..., :3, :3] @ joints[..., None])[..., 0] + transforms[..., :3, 3]


def skin(
    points: Float[Array, "#T N 3"], lbs_weights: Float[Array, "N 24"], transforms: Float[Array, "T 24 4 4"]
) -> Float[Array, "T N 3"]:
    """Move points by their blend of the joints' transforms.

    Args:
        points: Points at rest [m], the same for all frames (1, N, 3) or one set a frame.
        lbs_weights: Skin weights, rows sum to 1.
        transforms: From `joint_transforms`.
    """
    frames, count = len(transforms), len(lbs_weights)
    blended = lbs_weights @ transforms[:, :, :3].transpose(1, 0, 2, 3).reshape(24, frames * 12)
    blended = blended.reshape(count, frames, 3, 4).transpose(1, 0, 2, 3)
    x, y, z = points[..., 0, None], points[..., 1, None], points[..., 2, None]
    return blended[..., 0] * x + blended[..., 1] * y + blended[..., 2] * z + blended[..., 3]


def _rotations(global_orient: Array, body_pose: Array, transl: Array) -> Float[Array, "T 24 3 3"]:
    frames = len(global_orient)
    if body_pose.shape != (frames, 23, 3) or transl.shape != (frames, 3) or global_orient.shape != (frames, 3):
        raise ValueError(
            f"pose: expected global_orient (T, 3), body_pose (T, 23, 3), transl (T, 3), got {global_orient.shape}, "
            f"{body_pose.shape}, {transl.shape}"
        )
    return rotvec_to_rotmat(np.concatenate([global_orient[:, None], body_pose], axis=1))


def _transforms(body: BodyModel, joints: Array, rotations: Array, transl: Array) -> Float[Array, "T 24 4 4"]:
    """Chain the rotations along the tree; subtract the rest joints (SMPL, equation 4), add the translation."""
    world = np.zeros((len(rotations), 24, 4, 4))
    world[..., 3, 3] = 1.0
    local = world.copy()
    local[..., :3, :3] = rotations
    local[:, 0, :3, 3] = joints[0]
    local[:, 1:, :3, 3] = joints[1:] - joints[body.parents[1:]]
    world[:, 0] = local[:, 0]
    for j in range(1, 24):
        world[:, j] = world[:, body.parents[j]] @ local[:, j]
    world[..., :3, 3] -= (world[..., :3, :3] @ joints[..., None])[..., 0]
    world[..., :3, 3] += transl[:, None]
    return world
