"""Hiding some of a person in a picture."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["hide_keypoints"]


def hide_keypoints(
    images: Float[Tensor, "B T 3 S S"],
    keypoints_2d: Float[Tensor, "B T K 3"],
    count: tuple[int, int] = (3, 5),
    extent: tuple[float, float] = (25.0, 50.0),
) -> Float[Tensor, "B T 3 S S"]:
    """Blank out boxes around some keypoints of every frame, drawn by torch's generator.

    Source: Chen et al., "Self-attentive 3D Human Pose and Shape Estimation from Videos" (2021), section 4.1.

    Args:
        images: ImageNet mean and deviation taken out; what is hidden becomes 0, the mean colour.
        keypoints_2d: Crop coordinates and confidence; keypoints that are seen are chosen first.
        count: Fewest and most keypoints of a frame.
        extent: Least and greatest distance of a box's sides from the keypoint [px at a side of 224].
    """
    clips, frames, _, size, _ = images.shape
    shape, device = (clips, frames), images.device
    order = (torch.rand(*shape, keypoints_2d.shape[2], device=device) + keypoints_2d[..., 2]).argsort(-1, True)
    chosen = torch.gather(keypoints_2d, 2, order[..., : count[1], None].expand(-1, -1, -1, 3))
    number = torch.randint(count[0], count[1] + 1, shape, device=device)
    used = (torch.arange(count[1], device=device) < number[..., None]) & (chosen[..., 2] > 0)
    low, high = (value * 2.0 / 224.0 for value in extent)
    reach = torch.rand(*shape, count[1], 2, device=device) * (high - low) + low
    ticks = (torch.arange(size, device=device) + 0.5) * (2.0 / size) - 1.0
    column = (ticks - chosen[..., 0, None]).abs() <= reach[..., 0, None]
    row = (ticks - chosen[..., 1, None]).abs() <= reach[..., 1, None]
    hidden = (row[..., :, None] & column[..., None, :] & used[..., None, None]).any(2)
    return images * (~hidden)[:, :, None].to(images.dtype)
