"""A body's skeleton, soles and skin points in torch, for the fits; with `synth.body` for everything else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from synth.body.joints import PARENTS
from synth.motion.contact import Soles, soles
from synth.types import BodyModel

Array = np.ndarray
Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """A posed skeleton, as tensors."""

    six: Tensor
    """Two columns of each local rotation, not orthonormal yet (T, 24, 6)."""
    local: Tensor
    joints: Tensor
    world: Tensor
    rest: Tensor


class Kinematics:
    """A body's skeleton and soles on a device."""

    def __init__(self, body: BodyModel, device: str = "cpu") -> None:
        self.device = device
        self.rest = self.tensor(body.J_regressor @ body.v_template)
        self.rest_shape = self.tensor(np.einsum("jv,vcb->jcb", body.J_regressor, body.shapedirs))
        self.soles = [TorchSoles(sole, self.tensor) for sole in soles(body)]
        self.shapes = body.shapedirs.shape[2]
        depth = [0]
        for j in range(1, 24):
            depth.append(depth[PARENTS[j]] + 1)
        self._levels = [[j for j in range(24) if depth[j] == level] for level in range(1, max(depth) + 1)]
        order = [0, *(j for level in self._levels for j in level)]
        self._place = {j: k for k, j in enumerate(order)}
        self._order = torch.as_tensor(np.argsort(order), device=device)

    def tensor(self, array: Array) -> Tensor:
        """An array in single precision on the device."""
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=self.device)

    def posed(self, six: Tensor, transl: Tensor, betas: Tensor) -> Pose:
        """Forward kinematics, level by level of the tree.

        Args:
            six: Two columns of each local rotation (Zhou et al. 2019), (T, 24, 6).
            transl: SMPL's translation [m], (T, 3).
            betas: Shape.
        """
        first = torch.nn.functional.normalize(six[..., :3], dim=-1)
        second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
        second = torch.nn.functional.normalize(second, dim=-1)
        local = torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
        rest = self.rest + self.rest_shape @ betas
        world, joints = local[:, :1], (rest[0] + transl)[:, None]
        turns, places = [world], [joints]
        above = {0: 0}
        for level in self._levels:
            parents = [int(PARENTS[j]) for j in level]
            columns = [above[p] for p in parents]
            up = world[:, columns]
            bones = (rest[level] - rest[parents])[None, :, :, None]
            joints = joints[:, columns] + (up @ bones)[..., 0]
            world = up @ local[:, level]
            above = {j: k for k, j in enumerate(level)}
            turns.append(world)
            places.append(joints)
        return Pose(
            six=six,
            local=local,
            joints=torch.cat(places, dim=1)[:, self._order],
            world=torch.cat(turns, dim=1)[:, self._order],
            rest=rest,
        )


def rotation_angles(rotations: Tensor) -> Tensor:
    """Turn about each axis [rad] (..., 3): twice the arctangent of the Gibbs vector; the twist for the bone's axis."""
    axial = torch.stack(
        [
            rotations[..., 2, 1] - rotations[..., 1, 2],
            rotations[..., 0, 2] - rotations[..., 2, 0],
            rotations[..., 1, 0] - rotations[..., 0, 1],
        ],
        dim=-1,
    )
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    return 2.0 * torch.atan2(axial, 1.0 + trace + 1e-4)


class TorchSoles:
    """One sole's points as tensors."""

    def __init__(self, sole: Soles, tensor: Callable[[Array], Tensor]) -> None:
        self.points, self.shape, self.weights = tensor(sole.points), tensor(sole.shapedirs), tensor(sole.weights)

    def posed(self, pose: Pose, betas: Tensor) -> Tensor:
        """Linear blend skinning of the sole's points; pose blend shapes hardly move them."""
        return skinned(self.points + self.shape @ betas, self.weights, pose)


def skinned(points: Tensor, weights: Tensor, pose: Pose) -> Tensor:
    """Linear blend skinning of points at rest (K, 3), or of each frame's (T, K, 3)."""
    frames, count = len(pose.world), len(weights)
    blended = (weights @ pose.world.reshape(frames, 24, 9)).reshape(frames, count, 3, 3)
    shift = pose.joints - (pose.world @ pose.rest[..., None])[..., 0]
    return (blended @ points[..., None])[..., 0] + weights @ shift
