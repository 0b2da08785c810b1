"""The body model as a torch layer: joints by forward kinematics alone, vertices by linear blend skinning.

Source: Loper et al., "SMPL" (2015), equations 2-4 and 6-12; the same arithmetic as `synth.body.lbs`, with gradients.
All positions are relative to the pelvis, so translation is the caller's affair.
"""

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from synth.body.model import load_named
from synth.types import BodyModel
from train.batch import GENDERS, Batch, Prediction

__all__ = ["BodyLayer"]


class BodyLayer(nn.Module):
    """The three genders of one body model, without trainable parameters and left out of checkpoints.

    Args:
        bodies: A model for each of `train.batch.GENDERS`, all of one topology.

    Raises:
        ValueError: the models differ in vertices or in number of shape components.
    """

    parents: tuple[int, ...]

    def __init__(self, bodies: tuple[BodyModel, ...]) -> None:
        super().__init__()
        if len(bodies) != len(GENDERS) or len({b.shapedirs.shape for b in bodies}) != 1:
            raise ValueError("bodies: expected one model for each gender, of one size")
        self.parents = tuple(bodies[0].parents.tolist())
        self.name, self.sha256 = bodies[0].name, tuple(b.sha256 for b in bodies)
        self._keep("v_template", [b.v_template for b in bodies])
        self._keep("shapedirs", [b.shapedirs for b in bodies])
        self._keep("posedirs", [b.posedirs.reshape(-1, 207).T for b in bodies])
        self._keep("lbs_weights", [b.lbs_weights for b in bodies])
        self._keep("rest_joints", [b.J_regressor @ b.v_template for b in bodies])
        self._keep("joint_shapedirs", [np.einsum("jv,vck->jck", b.J_regressor, b.shapedirs) for b in bodies])
        self.register_buffer("faces", torch.from_numpy(bodies[0].faces.copy()), persistent=False)
        self.keypoint_sets = tuple(bodies[0].keypoint_regressors)
        for name in self.keypoint_sets:
            self._keep(f"keypoints_{name}", [b.keypoint_regressors[name] for b in bodies])

    @staticmethod
    def named(name: str = "free") -> "BodyLayer":
        """Load "free", a model file or a folder of files named for their gender.

        Raises:
            SynthError: there is no such body, or its file is bad.
        """
        return BodyLayer(tuple(load_named(name, gender) for gender in GENDERS))

    def _keep(self, name: str, arrays: list[np.ndarray]) -> None:
        self.register_buffer(name, torch.from_numpy(np.stack(arrays)).float(), persistent=False)

    def _of(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))

    @property
    def vertex_count(self) -> int:
        """V."""
        return self._of("v_template").shape[1]

    @property
    def triangles(self) -> Int[np.ndarray, "F 3"]:
        """The faces, counter-clockwise from outside."""
        return self._of("faces").cpu().numpy()

    def rest(self, betas: Float[Tensor, "N 10"], gender: Int[Tensor, " N"]) -> Float[Tensor, "N 24 3"]:
        """Joints of the shaped body in the rest pose (T-pose), SMPL's own frame [m]."""
        components = self._of("joint_shapedirs")[..., : betas.shape[-1]]
        return self._of("rest_joints")[gender] + torch.einsum("njck,nk->njc", components[gender], betas)

    def joints(
        self, rotations: Float[Tensor, "N 24 3 3"], betas: Float[Tensor, "N 10"], gender: Int[Tensor, " N"]
    ) -> Float[Tensor, "N 24 3"]:
        """Posed joints relative to the pelvis [m], in the frame that the root rotation leads to."""
        return self._chain(rotations, self.rest(betas, gender))[1]

    def forward(
        self, rotations: Float[Tensor, "N 24 3 3"], betas: Float[Tensor, "N 10"], gender: Int[Tensor, " N"]
    ) -> tuple[Float[Tensor, "N V 3"], Float[Tensor, "N 24 3"]]:
        """Posed vertices and joints relative to the pelvis [m].

        Args:
            rotations: Root, then joints 1-23 relative to their parents.
            betas: Shape.
            gender: Index in `train.batch.GENDERS`.
        """
        # In single precision whatever autocast says: half a millimetre is half precision's step at one metre.
        with torch.autocast(rotations.device.type, enabled=False):
            rotations, betas = rotations.float(), betas.float()
            rest = self.rest(betas, gender)
            world, joints = self._chain(rotations, rest)
            vertices = rest.new_empty(len(rest), self.vertex_count, 3)
            kinds = gender.unique().tolist()
            if len(kinds) == 1:  # no copying into place
                return self._skin(kinds[0], rotations, betas, rest, world, joints), joints
            for kind in kinds:
                chosen = gender == kind
                part = (rotations[chosen], betas[chosen], rest[chosen], world[chosen], joints[chosen])
                vertices[chosen] = self._skin(kind, *part)
        return vertices, joints

    def _chain(self, rotations: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations from rest to posed, and joints with the pelvis at the origin."""
        world, joints = [rotations[:, 0]], [torch.zeros_like(rest[:, 0])]
        for joint in range(1, 24):
            parent = self.parents[joint]
            bone = (rest[:, joint] - rest[:, parent])[..., None]
            joints.append(joints[parent] + (world[parent] @ bone)[..., 0])
            world.append(world[parent] @ rotations[:, joint])
        return torch.stack(world, 1), torch.stack(joints, 1)

    def _skin(
        self, kind: int, rotations: Tensor, betas: Tensor, rest: Tensor, world: Tensor, joints: Tensor
    ) -> Float[Tensor, "N V 3"]:
        """Blend the joints' transforms and move the shaped, pose-corrected vertices (equations 6-9)."""
        count = len(rotations)
        eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        feature = (rotations[:, 1:] - eye).reshape(count, 207)
        shapedirs = self._of("shapedirs")[kind, ..., : betas.shape[-1]].flatten(0, 1)
        offsets = betas @ shapedirs.T + feature @ self._of("posedirs")[kind]
        vertices = self._of("v_template")[kind] + offsets.view(count, -1, 3)
        shift = joints - (world @ rest[..., None])[..., 0]
        transforms = torch.cat([world, shift[..., None]], dim=-1).flatten(-2)
        blended = (self._of("lbs_weights")[kind] @ transforms).unflatten(-1, (3, 4))
        return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]

    def keypoints(
        self, name: str, vertices: Float[Tensor, "N V 3"], gender: Int[Tensor, " N"]
    ) -> Float[Tensor, "N K 3"]:
        """A named keypoint set regressed from posed vertices ("coco17", "openpose25", "h36m17", "lsp14").

        Raises:
            ValueError: the body has no such set.
        """
        if name not in self.keypoint_sets:
            raise ValueError(f"keypoints {name!r}: the body has {', '.join(self.keypoint_sets) or 'none'}")
        regressors = self._of(f"keypoints_{name}")
        points = vertices.new_empty(len(vertices), regressors.shape[1], 3)
        for kind in gender.unique().tolist():
            points[gender == kind] = regressors[kind] @ vertices[gender == kind]
        return points

    def complete(self, prediction: Prediction, batch: Batch, vertices: bool = False) -> Prediction:
        """Fill in the joints, and the vertices if asked for, on the body model that the labels belong to."""
        clips, frames = prediction.betas.shape[:2]
        rotations, betas = prediction.rotations.flatten(0, 1).float(), prediction.betas.flatten(0, 1).float()
        gender = batch.gender.repeat_interleave(frames)
        if not vertices:
            with torch.autocast(rotations.device.type, enabled=False):
                joints = self.joints(rotations, betas, gender)
            return replace(prediction, joints=joints.unflatten(0, (clips, frames)))
        mesh, joints = self(rotations, betas, gender)
        return replace(
            prediction, joints=joints.unflatten(0, (clips, frames)), vertices=mesh.unflatten(0, (clips, frames))
        )

    def labels(self, batch: Batch, vertices: bool = True) -> Prediction:
        """The labels as if they had been predicted, with joints and vertices; the camera is left at zero."""
        truth = Prediction(
            rotations=batch.rotations, betas=batch.betas, camera=torch.zeros_like(batch.pelvis), transl=batch.pelvis
        )
        return self.complete(truth, batch, vertices)
