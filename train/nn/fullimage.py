"""The full picture's perspective camera seen from a crop.

Source: Li et al., "CLIFF: Carrying Location Information in Full Frames into Human Pose and Shape Estimation" (2022);
TAR, equations 5 and 6. A crop camera (s, tx, ty) stands for a translation in the full image; the crop's own rotation
(augmentation) is carried by turning the whole picture about its principal point, which moves the box's centre.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from train.batch import Batch

__all__ = ["FullImage"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FullImage:
    """Where the crops of one frame of each clip lie in their full pictures."""

    focal: Float[Tensor, "B 2"]
    """[px]"""
    offset: Float[Tensor, "B 2"]
    """Of the box's centre from the principal point, after the picture was turned by the crop's angle [px]."""
    side: Float[Tensor, " B"]
    """Of the box [px]."""
    angle: Float[Tensor, " B"]
    """[rad]"""

    @staticmethod
    def of(batch: Batch, frame: int) -> "FullImage":
        """Of one frame of a batch; none of it is a label."""
        box, K = batch.box[:, frame].float(), batch.K.float()
        angle = batch.box_rotation.float()
        focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], dim=1)
        offset = _turned(box[:, :2] - K[:, :2, 2], angle)
        return FullImage(focal=focal, offset=offset, side=box[:, 2], angle=angle)

    def box_vector(self) -> Float[Tensor, "B 3"]:
        """CLIFF's vector: direction to the box's centre and its size, scaled to about unit spread."""
        focal = self.focal[:, 0]
        where = 2.8 * self.offset / focal[:, None]
        return torch.cat([where, ((self.side - 0.24 * focal) / (0.06 * focal))[:, None]], dim=1)

    def translation(self, camera: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3"]:
        """Pelvis in the camera's frame [m], its axes turned with the crop."""
        scale = camera[:, 0].float().clamp_min(0.05)
        depth = 2 * self.focal[:, 0] / (scale * self.side)
        across = camera[:, 1:].float() + self.offset * depth[:, None] / self.focal
        return torch.cat([across, depth[:, None]], dim=1)

    def unturned(self, translation: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3"]:
        """The same in the camera's own axes."""
        return torch.cat([_turned(translation[:, :2], -self.angle), translation[:, 2:]], dim=1)

    def project(self, points: Float[Tensor, "B K 3"], translation: Float[Tensor, "B 3"]) -> Float[Tensor, "B K 2"]:
        """Perspective projection into crop coordinates, -1 to 1.

        Args:
            points: Relative to the pelvis, the crop's axes [m].
            translation: As `translation` gives it.
        """
        placed = points.float() + translation[:, None]
        pixels = self.focal[:, None] * placed[..., :2] / placed[..., 2:].clamp_min(0.1)
        return (pixels - self.offset[:, None]) * (2 / self.side)[:, None, None]


def _turned(points: Float[Tensor, "B 2"], angle: Float[Tensor, " B"]) -> Float[Tensor, "B 2"]:
    cosine, sine = angle.cos(), angle.sin()
    x, y = points.unbind(1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=1)
