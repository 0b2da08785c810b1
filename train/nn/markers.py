"""Markers on a body's surface, posed without the rest of the mesh, and the map around where they are seen."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from synth.body.model import load_named
from train.body import BodyLayer

__all__ = ["look_up", "marker_body", "spread_points"]


def spread_points(points: Float[Tensor, "V 3"], count: int) -> Int[Tensor, " K"]:
    """Indices of points far from each other: each next one is the farthest from those chosen before.

    Raises:
        ValueError: fewer points than asked for.
    """
    if not 0 < count <= len(points):
        raise ValueError(f"markers: expected 1 to {len(points)}, got {count}")
    chosen = [int((points - points.mean(0)).norm(dim=1).argmax())]
    distance = (points - points[chosen[0]]).norm(dim=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).norm(dim=1))
    return torch.tensor(chosen)


def marker_body(name: str, count: int) -> BodyLayer:
    """The neutral body reduced to markers spread over its surface: its "vertices" are the markers.

    TAR takes 67 vertices that mocap labs use on SMPL; those indices mean nothing on another body.

    Raises:
        SynthError: there is no such body.
        ValueError: it has not so many vertices.
    """
    layer = BodyLayer((load_named(name, "neutral"),) * 3)
    with torch.device("cpu"):
        chosen = spread_points(layer.get_buffer("v_template")[0].cpu(), count)
    vertices = layer.vertex_count
    layer.v_template = layer.get_buffer("v_template")[:, chosen]
    layer.shapedirs = layer.get_buffer("shapedirs")[:, chosen]
    posedirs = layer.get_buffer("posedirs").unflatten(2, (vertices, 3))
    layer.posedirs = posedirs[:, :, chosen].flatten(2)
    layer.lbs_weights = layer.get_buffer("lbs_weights")[:, chosen]
    for name in layer.keypoint_sets:
        delattr(layer, f"keypoints_{name}")
    layer.keypoint_sets = ()
    return layer


def look_up(maps: Float[Tensor, "B K h w"], points: Float[Tensor, "B K 2"], radius: int) -> Float[Tensor, "B K N"]:
    """Windows of (2 r + 1)^2 values around points, one map for each point, interpolated, 0 beyond the map.

    Source: TAR, equation 7; ReFit (Wang and Daniilidis 2023), section 3.2.

    Args:
        maps: One channel for each point.
        points: Crop coordinates, -1 to 1.
        radius: [pixels of the map]
    """
    clips, count, height, width = maps.shape
    with torch.autocast(maps.device.type, enabled=False):  # half precision cannot tell neighbouring pixels apart
        points = points.float()
        ticks = torch.arange(-radius, radius + 1, device=maps.device, dtype=points.dtype)
        steps = torch.stack(torch.meshgrid(ticks * 2 / width, ticks * 2 / height, indexing="xy"), dim=-1)
        where = points.reshape(-1, 1, 1, 2) + steps
        values = functional.grid_sample(
            maps.float().reshape(-1, 1, height, width), where, padding_mode="zeros", align_corners=False
        )
    return values.reshape(clips, count, -1)
