"""Differentiable rasteriser in plain torch: which face a pixel sees, what it carries, and smooth outlines.

Three steps, each batched and the same code on CPU and CUDA:

1. `rasterize` finds the nearest face at each pixel's centre (no gradient) and its barycentric coordinates (with one);
2. `interpolate` carries attributes of the vertices to the pixels;
3. `antialias` blends the two pixels on either side of a silhouette edge by how far the edge has come from one centre
   to the other. It makes the picture a continuous function of the vertices, so outlines and occlusions get gradients.

Step 3 follows the idea of Laine et al., "Modular primitives for high-performance differentiable rendering" (2020),
section 3.4, but walks along the mesh's silhouette edges instead of looking at the faces seen by pixel pairs: a body of
14,000 faces in 224 pixels has faces smaller than a pixel, and the face at a pixel's centre then rarely owns the edge.

Screen coordinates are (x [px], y [px], depth): the first pixel's centre is (0.5, 0.5), y points down, depth > 0 grows
away from the camera. With `perspective` depth is planar z and attributes are interpolated correctly for it; without,
as under a weak-perspective camera, linearly.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Fragments", "Topology", "antialias", "interpolate", "rasterize", "render"]

_CHUNK = 4_000_000
"""Most pixel-face pairs tested at once, to bound the memory."""
_NOTHING = torch.iinfo(torch.int64).max


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """Faces of a mesh and what lies across its edges; made once for a mesh by `Topology.of`."""

    faces: Int[Tensor, "F 3"]
    edges: Int[Tensor, "E 4"]
    """First and second vertex, the third vertex of one adjoining face, that of the other (-1 at a border)."""
    neighbours: Int[Tensor, "E 2"]
    """The two faces; at a border the same one twice."""
    opposed: Int[Tensor, " E"]
    """1 where the two faces run along the edge in opposite directions, -1 where in the same, 0 at a border."""

    @staticmethod
    def of(faces: Int[Tensor, "F 3"]) -> "Topology":
        """Find the edges. One that more than two faces share is treated as a border of each of them."""
        sides = torch.cat([faces[:, [0, 1, 2]], faces[:, [1, 2, 0]], faces[:, [2, 0, 1]]])
        owner = torch.arange(len(faces), device=faces.device).repeat(3)
        low, high = sides[:, :2].amin(1), sides[:, :2].amax(1)
        _, edge, count = torch.unique(low * (int(faces.max()) + 1) + high, return_inverse=True, return_counts=True)
        order = torch.argsort(edge, stable=True)
        sides, owner, shared = sides[order], owner[order], count[edge[order]]
        pairs, two = sides[shared == 2].reshape(-1, 2, 3), owner[shared == 2].reshape(-1, 2)
        inner = torch.cat([pairs[:, 0], pairs[:, 1, 2:]], dim=1)
        opposed = torch.where(pairs[:, 0, 0] == pairs[:, 1, 1], 1, -1)
        border, one = sides[shared != 2], owner[shared != 2]
        return Topology(
            faces=faces,
            edges=torch.cat([inner, torch.cat([border, torch.full_like(border[:, :1], -1)], dim=1)]),
            neighbours=torch.cat([two, one[:, None].expand(-1, 2)]),
            opposed=torch.cat([opposed, torch.zeros_like(one)]),
        )

    def to(self, device: torch.device | str) -> "Topology":
        """The same on another device."""
        return Topology(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fragments:
    """What each pixel sees. N pixels see a face; they are listed in order of batch, row and column."""

    face: Int[Tensor, "B H W"]
    """Face seen at the pixel's centre, -1 for none."""
    depth: Float[Tensor, "B H W"]
    """Depth there, infinite for none; no gradient."""
    pixel: Int[Tensor, " N"]
    """Flat index into (B, H, W) of the pixels that see a face."""
    barycentric: Float[Tensor, "N 3"]
    """Where on the face, with gradients to the vertices."""


def rasterize(
    vertices_screen: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "F 3"],
    height: int,
    width: int,
    perspective: bool = True,
) -> Fragments:
    """Find the nearest face at each pixel's centre; of equally near ones, the first.

    Faces that reach to depth 0 or beyond are left out whole, as are those without area.

    Args:
        vertices_screen: x [px], y [px], depth > 0.
        faces: Triangles; both sides are seen.
        height: [px]
        width: [px]
        perspective: Whether depth is planar z of a perspective camera.

    Raises:
        ValueError: height or width is not positive.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height, width: expected positive numbers, got {height}, {width}")
    batch, (F, _) = len(vertices_screen), faces.shape
    with torch.no_grad():
        triangles = vertices_screen.detach()[:, faces].reshape(batch * F, 3, 3)
        buffer = torch.full((batch * height * width,), _NOTHING, dtype=torch.int64, device=faces.device)
        for ids, low, extent in _boxes(triangles, height, width):
            _draw(buffer, triangles[ids].double(), ids, low, extent, F, height, width, perspective)
        seen = buffer != _NOTHING
        pixel = seen.nonzero()[:, 0]
        face = torch.where(seen, buffer & 0xFFFFFFFF, -1)
        depth = torch.where(seen, buffer >> 32, 0x7F800000).int().view(torch.float32).to(vertices_screen.dtype)
    corners = vertices_screen[pixel // (height * width), faces[face[pixel]].T].transpose(0, 1)
    return Fragments(
        face=face.reshape(batch, height, width),
        depth=depth.reshape(batch, height, width),
        pixel=pixel,
        barycentric=_barycentric(corners, _centres(pixel, height, width), perspective),
    )


def interpolate(
    fragments: Fragments, faces: Int[Tensor, "F 3"], attributes: Float[Tensor, "#B V C"]
) -> Float[Tensor, "B H W C"]:
    """Carry attributes of the vertices to the pixels; zero where no face is seen.

    Args:
        fragments: From `rasterize`.
        faces: The same faces.
        attributes: Per vertex; the same for the whole batch if the first axis is 1.
    """
    shape, pixel = fragments.face.shape, fragments.pixel
    sample = pixel // (shape[1] * shape[2]) if len(attributes) > 1 else torch.zeros_like(pixel)
    corners = attributes[sample[:, None], faces[fragments.face.reshape(-1)[pixel]]]
    values = (fragments.barycentric[..., None] * corners).sum(1)
    picture = values.new_zeros(fragments.face.numel(), attributes.shape[2])
    return picture.index_put((pixel,), values).reshape(*shape, -1)


def antialias(
    picture: Float[Tensor, "B H W C"],
    fragments: Fragments,
    vertices_screen: Float[Tensor, "B V 3"],
    topology: Topology,
    perspective: bool = True,
) -> Float[Tensor, "B H W C"]:
    """Blend across the silhouette edges, with gradients to their vertices.

    Where an edge passes between two neighbouring centres at a share t of the way from the covered one to the other,
    the pixel that holds the edge is covered to t + 1/2 or t - 1/2. Steep edges blend pixels of a row, flat ones pixels
    of a column; of several edges between two centres the outermost counts. An edge that runs exactly through the
    centres of a row or column of pixels is not blended there.
    """
    batch, height, width, channels = picture.shape
    flat, depth = picture.reshape(-1, channels), fragments.depth.reshape(-1)
    samples, edges = _silhouettes(vertices_screen.detach(), topology)
    corners = vertices_screen[samples[:, None], edges[:, :3]]
    blended = flat
    for axis in (0, 1):  # 0: steep edges, pairs within a row; 1: flat edges, pairs within a column
        size = (width, height) if axis == 0 else (height, width)
        part = _of_axis(corners, axis)
        crossing = _crossings(corners[part], samples[part], axis, size, perspective)
        inner, outer, share = _visible(crossing, depth, (height, width), axis)
        change = flat[outer] - flat[inner]
        blended = blended.index_add(0, inner, (0.5 - share).clamp(min=0)[:, None] * change)
        blended = blended.index_add(0, outer, (0.5 - share).clamp(max=0)[:, None] * change)
    return blended.reshape(batch, height, width, channels)


def render(
    vertices_screen: Float[Tensor, "B V 3"],
    topology: Topology,
    attributes: Float[Tensor, "#B V C"],
    height: int,
    width: int,
    perspective: bool = True,
) -> tuple[Float[Tensor, "B H W C"], Float[Tensor, "B H W"]]:
    """Draw meshes over nothing.

    Returns:
        The attributes times coverage, and the coverage itself (0 to 1, but for a pixel that several outlines meet in).
    """
    fragments = rasterize(vertices_screen, topology.faces, height, width, perspective)
    attributes = torch.cat([attributes, attributes.new_ones(*attributes.shape[:2], 1)], dim=2)
    picture = interpolate(fragments, topology.faces, attributes)
    picture = antialias(picture, fragments, vertices_screen, topology, perspective)
    return picture[..., :-1], picture[..., -1]


def _boxes(triangles: Tensor, height: int, width: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Faces whose bounding box holds a pixel's centre: index, first column and row, columns and rows; in chunks."""
    x, y, z = (triangles[..., i].T.contiguous() for i in range(3))
    low = torch.stack([c.amin(0) for c in (x, y)], dim=1).double().sub_(0.5).ceil_().clamp_(min=0)
    high = torch.stack([c.amax(0) for c in (x, y)], dim=1).double().sub_(0.5).floor_()
    high = torch.minimum(high, torch.tensor([width - 1.0, height - 1.0], dtype=high.dtype, device=high.device))
    # What is not a number compares as false.
    drawn = (high[:, 0] >= low[:, 0]) & (high[:, 1] >= low[:, 1]) & (z.amin(0) > 1e-6) & (z.amax(0) < torch.inf)
    ids = drawn.nonzero()[:, 0]
    low, extent = low[ids].long(), (high[ids] - low[ids]).long() + 1
    total = extent.prod(1).cumsum(0)
    if len(ids) == 0 or int(total[-1]) <= _CHUNK:
        return [(ids, low, extent)] if len(ids) else []
    cuts = torch.searchsorted(total, torch.arange(0, int(total[-1]), _CHUNK, device=ids.device)[1:]).unique().tolist()
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True)]
    return list(zip(ids.split(sizes), low.split(sizes), extent.split(sizes), strict=True))


def _draw(
    buffer: Tensor,
    triangles: Tensor,
    ids: Tensor,
    low: Tensor,
    extent: Tensor,
    faces: int,
    height: int,
    width: int,
    perspective: bool,
) -> None:
    """Enter the faces into the z-buffer: depth's bits above the face's number, the smallest stays."""
    count = extent.prod(1)
    owner = torch.repeat_interleave(torch.arange(len(ids), device=ids.device), count)
    within = torch.arange(len(owner), device=ids.device) - (count.cumsum(0) - count)[owner]
    wide = extent[owner, 0]
    x, y = low[owner, 0] + within % wide, low[owner, 1] + within // wide
    # Barycentric coordinates are linear on the screen: of the second and third, the slopes from the first corner on.
    a, u, v = triangles[:, 0, :2], triangles[:, 1, :2] - triangles[:, 0, :2], triangles[:, 2, :2] - triangles[:, 0, :2]
    area = _cross(u, v)
    slopes = torch.stack([v[:, 1], -v[:, 0], -u[:, 1], u[:, 0], a[:, 0], a[:, 1]], dim=1)
    slopes[:, :4] /= torch.where(area.abs() > 1e-9, area, torch.nan)[:, None]
    second_x, second_y, third_x, third_y, left, top = slopes[owner].T.contiguous()
    right, down = x + (0.5 - left), y + (0.5 - top)
    second, third = second_x * right + second_y * down, third_x * right + third_y * down
    # A shared edge belongs to both neighbours, so that rounding opens no gap between them.
    inside = ((second >= -1e-9) & (third >= -1e-9) & (second + third <= 1 + 1e-9)).nonzero()[:, 0]
    second, third, owner = second[inside], third[inside], owner[inside]
    z = triangles[owner, :, 2]
    weights = torch.stack([1 - second - third, second, third], dim=1)
    depth = 1 / (weights / z).sum(1) if perspective else (weights * z).sum(1)
    face = ids[owner]
    pixel = (face // faces * height + y[inside]) * width + x[inside]
    key = (depth.float().view(torch.int32).long() << 32) | (face % faces)
    buffer.scatter_reduce_(0, pixel, key, "amin")


def _centres(pixel: Tensor, height: int, width: int) -> Tensor:
    return torch.stack([pixel % width, pixel // width % height], dim=1) + 0.5


def _plane_weights(corners: Tensor, points: Tensor) -> Tensor:
    """Barycentric coordinates in the plane of the screen: corners (N, 3, 2 or more), points (N, 2) -> (N, 3)."""
    a, u, v = corners[:, 0, :2], corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    x, y = (points - a).unbind(1)
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    second, third = (x * v[:, 1] - y * v[:, 0]) / area, (u[:, 0] * y - u[:, 1] * x) / area
    return torch.stack([1 - second - third, second, third], dim=1)


def _barycentric(corners: Tensor, points: Tensor, perspective: bool) -> Tensor:
    """The same with gradients; in double precision, for a face seen edge-on is a small difference of large numbers."""
    exact = corners.double()
    weights = _plane_weights(exact, points)
    if perspective:
        weights = weights / exact[:, :, 2]
        weights = weights / weights.sum(1, keepdim=True)
    return weights.to(corners.dtype)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _silhouettes(vertices: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
    """Edges with both faces on the same side on the screen, or with only one face: sample and edge of each."""
    xy = vertices[..., :2].contiguous()
    a, b, c = (xy[:, topology.faces[:, i]] for i in range(3))
    turn = _cross(b - a, c - a).sign_()
    one, other = (turn[:, topology.neighbours[:, i]] for i in range(2))
    samples, index = ((one * other * topology.opposed < 0) | ((topology.opposed == 0) & (one != 0))).nonzero(
        as_tuple=True
    )
    edges = topology.edges[index]
    front = (vertices[samples[:, None], edges[:, :3], 2] > 1e-6).all(1).nonzero()[:, 0]
    return samples[front], edges[front]


def _of_axis(corners: Tensor, axis: int) -> Tensor:
    run = (corners[:, 1, :2] - corners[:, 0, :2]).detach().abs()
    steep = run[:, 1] > run[:, 0]
    return (steep if axis == 0 else ~steep).nonzero()[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Crossings:
    """Where silhouette edges cross the lines through the centres of a row (or column)."""

    sample: Tensor
    line: Tensor
    """Row (or column)."""
    before: Tensor
    """Column (or row) of the centre before the crossing."""
    share: Tensor
    """How far it lies from that centre to the next one, in [0, 1]."""
    rising: Tensor
    """Whether the covered side is the one after the crossing."""
    depth: Tensor


def _crossings(corners: Tensor, samples: Tensor, axis: int, size: tuple[int, int], perspective: bool) -> _Crossings:
    """Cross each edge with each line between its ends; `size` is (pixels in a line, lines)."""
    exact = corners.double()
    along, across = exact[..., axis], exact[..., 1 - axis]
    ends = across[:, :2].detach()
    first = (ends.amin(1) - 0.5).ceil().clamp(min=0)
    # Half open: a line through a vertex is crossed by one of its two edges, not by both.
    last = torch.minimum((ends.amax(1) - 0.5).ceil() - 1, torch.tensor(size[1] - 1.0, device=ends.device))
    count = (last - first + 1).clamp(min=0).nan_to_num().long()
    owner = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    line = first.long()[owner] + torch.arange(len(owner), device=count.device) - (count.cumsum(0) - count)[owner]
    along, across, z = along[owner], across[owner], exact[owner][:, :, 2].detach()
    part = (line + 0.5 - across[:, 0]) / (across[:, 1] - across[:, 0])
    place = along[:, 0] + part * (along[:, 1] - along[:, 0]) - 0.5
    third_part = (across[:, 2] - across[:, 0]) / (across[:, 1] - across[:, 0])
    third_gap = along[:, 2] - along[:, 0] - third_part * (along[:, 1] - along[:, 0])
    before, share = place.detach().floor(), part.detach()
    depth = 1 / ((1 - share) / z[:, 0] + share / z[:, 1]) if perspective else (1 - share) * z[:, 0] + share * z[:, 1]
    kept = ((before >= 0) & (before < size[0] - 1)).nonzero()[:, 0]
    return _Crossings(
        sample=samples[owner][kept],
        line=line[kept],
        before=before[kept].long(),
        share=(place - before)[kept].to(corners.dtype),
        rising=(third_gap > 0)[kept],
        depth=depth[kept],
    )


def _visible(crossing: _Crossings, depth: Tensor, size: tuple[int, int], axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crossings that can be seen: flat index of the covered and of the other pixel, share of the way between them."""
    height, width = size
    row, column = (crossing.line, crossing.before) if axis == 0 else (crossing.before, crossing.line)
    low = (crossing.sample * height + row) * width + column
    high = low + (1 if axis == 0 else width)
    inner, outer = torch.where(crossing.rising, high, low), torch.where(crossing.rising, low, high)
    share = torch.where(crossing.rising, 1 - crossing.share, crossing.share)
    behind = depth[outer].double() >= crossing.depth * (1 - 1e-6)
    seen = (behind & (depth[inner] < depth[outer])).nonzero()[:, 0]
    inner, outer, share = inner[seen], outer[seen], share[seen]
    # One edge for a pair of pixels: the outermost, and of equal ones the first.
    pair = 2 * low[seen] + crossing.rising[seen]
    _, group = torch.unique(pair, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    furthest = share.new_full((count,), -1.0).scatter_reduce(0, group, share.detach(), "amax")
    number = torch.arange(len(group), device=group.device)
    candidates = torch.where(share.detach() == furthest[group], number, len(group))
    chosen = number.new_full((count,), len(group)).scatter_reduce(0, group, candidates, "amin")
    return inner[chosen], outer[chosen], share[chosen]
