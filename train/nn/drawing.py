"""Predicted meshes in the crop's picture, with gradients: HPOF's coloured renders and SPS-Net's silhouettes."""

from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from train.body import BodyLayer
from train.rasterize import Topology, render

__all__ = ["draw", "gradient_colours", "topology_of", "weak_screen"]

_TOPOLOGIES: "WeakKeyDictionary[BodyLayer, Topology]" = WeakKeyDictionary()

_AWAY = 10.0
"""Distance [m] that keeps every vertex in front; under a weak-perspective camera only the order of depths matters."""


def topology_of(body: BodyLayer) -> Topology:
    """The body's edges, found once."""
    faces = body.get_buffer("faces")
    known = _TOPOLOGIES.get(body)
    if known is None or known.faces.device != faces.device or len(known.faces) != len(faces):
        known = _TOPOLOGIES[body] = Topology.of(faces)
    return known


def weak_screen(vertices: Float[Tensor, "N V 3"], camera: Float[Tensor, "N 3"], size: int) -> Float[Tensor, "N V 3"]:
    """Screen coordinates (`train.rasterize`) of vertices under the crop's weak-perspective camera.

    Source: HPOF, equation 16; SPS-Net, section 3.1.

    Args:
        vertices: Relative to the pelvis, camera axes [m].
        camera: (s, tx, ty) of `train.batch.Prediction`.
        size: Side of the picture that the crop fills [px].
    """
    crop = camera[:, None, :1] * (vertices[..., :2] + camera[:, None, 1:])
    depth = (vertices[..., 2:] + _AWAY).clamp_min(0.01)
    return torch.cat([(crop + 1.0) * (size / 2), depth], dim=-1)


def gradient_colours(template: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
    """A colour for each vertex that tells where on the body it lies: its place in the rest pose's box, 0 to 1.

    Source: HPOF, section 3.3 ("artificial texture with gradient color").
    """
    low, high = template.amin(0), template.amax(0)
    return (template - low) / (high - low).clamp_min(1e-6)


def draw(
    vertices: Float[Tensor, "N V 3"],
    camera: Float[Tensor, "N 3"],
    topology: Topology,
    colours: Float[Tensor, "V C"],
    size: int,
) -> tuple[Float[Tensor, "N C S S"], Float[Tensor, "N S S"]]:
    """Pictures of meshes over black, and how much of each pixel they cover; always in single precision."""
    with torch.autocast(vertices.device.type, enabled=False):
        screen = weak_screen(vertices.float(), camera.float(), size)
        picture, coverage = render(screen, topology, colours[None].float(), size, size, perspective=False)
    return picture.permute(0, 3, 1, 2), coverage
