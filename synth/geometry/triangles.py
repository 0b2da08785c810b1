"""Triangle meshes: normals, the closest point on a surface with its signed distance, and a z-buffer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

__all__ = [
    "ClosestPoint",
    "Fragments",
    "SurfacePoints",
    "closest_on_triangles",
    "fragments",
    "rasterize",
    "taken",
    "vertex_normals",
    "winding",
]

Array = np.ndarray

_TINY = 1e-30
_FLAT = 1e-12
"""Triangles with twice their area below this [px^2] are seen edge-on and cover nothing."""
_SLACK = 1e-9
"""How far outside a triangle a pixel's centre still counts as covered, in shares of the triangle."""
_CHUNK = 4_000_000
"""Most pixel-triangle pairs tested at once, to bound the memory a huge triangle takes."""


def vertex_normals(vertices: Float[Array, "V 3"], faces: Int[Array, "F 3"]) -> Float[Array, "V 3"]:
    """Unit normals of the vertices, the mean of the faces' normals weighted by area; zero where no face meets.

    Args:
        vertices: Vertices [m].
        faces: Triangles, counter-clockwise seen from outside.
    """
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    double_area = np.cross(b - a, c - a)
    corners = faces.ravel()
    spread = np.repeat(double_area, 3, axis=0)
    total = np.stack([np.bincount(corners, spread[:, i], len(vertices)) for i in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), _TINY)


def winding(points: Float[Array, "N 3"], vertices: Float[Array, "V 3"], faces: Int[Array, "F 3"]) -> Float[Array, " N"]:
    """How often a closed surface goes round each point: 0 outside, 1 inside, 2 where the surface went through itself.

    Source: Van Oosterom and Strackee 1983, The Solid Angle of a Plane Triangle, equation 8, summed over all triangles.
    Costs N F.

    Args:
        points: Points [m].
        vertices: Vertices [m].
        faces: Triangles, counter-clockwise seen from outside.
    """
    total = np.empty(len(points))
    each = max(1, _CHUNK // (4 * len(faces)))
    for start in range(0, len(points), each):
        # Components apart, and in single precision, are three times as fast; an error of 1e-4 tells 1 from 2.
        here = points[start : start + each]
        a, b, c = (
            [(vertices[corner, k] - here[:, k, None]).astype(np.float32) for k in range(3)] for corner in faces.T
        )
        lengths = [np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2) for p in (a, b, c)]
        dots = [p[0] * q[0] + p[1] * q[1] + p[2] * q[2] for p, q in ((b, c), (c, a), (a, b))]
        volume = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        below = lengths[0] * lengths[1] * lengths[2] + sum(d * n for d, n in zip(dots, lengths, strict=True))
        total[start : start + each] = np.arctan2(volume, below).sum(axis=1, dtype=np.float64)
    return total / (2 * np.pi)


def closest_on_triangles(
    points: Float[Array, "N 3"], a: Float[Array, "N 3"], b: Float[Array, "N 3"], c: Float[Array, "N 3"]
) -> Float[Array, "N 3"]:
    """Barycentric coordinates of the point of triangle i closest to point i.

    Source: Ericson, Real-Time Collision Detection, section 5.1.5 (the seven Voronoi regions, here without branches).

    Args:
        points: Points [m].
        a: First corner of each point's triangle [m].
        b: Second corners [m].
        c: Third corners [m].

    Returns:
        Weights of a, b, c: none below zero, sum 1. A triangle without area is treated as its edges.
    """
    ab, ac, ap = b - a, c - a, points - a
    dot = lambda u, v: np.einsum("ni,ni->n", u, v)  # noqa: E731
    d1, d2 = dot(ab, ap), dot(ac, ap)
    bb, bc, cc = dot(ab, ab), dot(ab, ac), dot(ac, ac)
    d3, d4, d5, d6 = d1 - bb, d2 - bc, d1 - bc, d2 - cc
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    flat = bb * cc - bc * bc <= 1e-12 * np.maximum(bb * cc, _TINY)
    safe = np.where(flat, 1.0, va + vb + vc)
    inside = np.stack([va / safe, vb / safe, vc / safe], axis=1)
    if (outside := flat | (inside.min(axis=1) < 0)).any():
        inside[outside] = _closest_on_edges(points[outside], a[outside], b[outside], c[outside])
    return inside


def _closest_on_edges(
    points: Float[Array, "N 3"], a: Float[Array, "N 3"], b: Float[Array, "N 3"], c: Float[Array, "N 3"]
) -> Float[Array, "N 3"]:
    """Barycentric coordinates of the closest point on the triangle's outline."""
    best, weights = np.full(len(points), np.inf), np.zeros((len(points), 3))
    for i, (start, end) in enumerate(((a, b), (b, c), (c, a))):
        along = end - start
        squared = np.einsum("ni,ni->n", along, along)
        t = np.einsum("ni,ni->n", points - start, along) / np.maximum(squared, _TINY)
        t = np.clip(t, 0.0, 1.0)
        gap = start + t[:, None] * along - points
        distance = np.einsum("ni,ni->n", gap, gap)
        better = np.flatnonzero(distance < best)
        best[better] = distance[better]
        weights[better] = 0.0
        weights[better, i] = 1.0 - t[better]
        weights[better, (i + 1) % 3] = t[better]
    return weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfacePoints:
    """The points of a surface closest to N query points."""

    distance: Float[Array, " N"]
    """Signed distance [m], negative inside."""
    point: Float[Array, "N 3"]
    """[m]"""
    face: Int[Array, " N"]
    barycentric: Float[Array, "N 3"]
    normal: Float[Array, "N 3"]
    """Unit normal of the surface there, interpolated between the vertices."""


class ClosestPoint:
    """Finds the closest point of a triangle mesh, with a distance that is negative inside.

    The sign comes from the interpolated vertex normal, so the surface may have holes; far from an open border it means
    little.

    Args:
        vertices: Vertices [m].
        faces: Triangles, counter-clockwise seen from outside.
        candidates: Triangles tried per point, nearest centroids first. The answer is exact as long as the closest
            triangle is among them; `exact=True` in the query keeps widening the search until that is certain.

    Raises:
        ValueError: the mesh has no faces.
    """

    def __init__(self, vertices: Float[Array, "V 3"], faces: Int[Array, "F 3"], candidates: int = 12) -> None:
        if len(faces) == 0:
            raise ValueError("faces: expected at least one triangle")
        self.vertices = np.asarray(vertices, dtype=np.float64)
        self.faces = faces
        self.candidates = candidates
        self._a, self._b, self._c = (self.vertices[faces[:, i]] for i in range(3))
        centroids = (self._a + self._b + self._c) / 3
        self._reach = float(
            np.sqrt(max(np.square(corner - centroids).sum(axis=1).max() for corner in (self._a, self._b, self._c)))
        )
        self._tree = KDTree(centroids, balanced_tree=False, compact_nodes=False)
        self._normals = vertex_normals(self.vertices, faces)

    def moved(self, vertices: Float[Array, "V 3"]) -> "ClosestPoint":
        """The same mesh with its vertices elsewhere [m]."""
        return ClosestPoint(vertices, self.faces, self.candidates)

    def __call__(self, points: Float[Array, "N 3"], exact: bool = False) -> SurfacePoints:
        """Find the closest surface point of each query point.

        Args:
            points: Query points [m].
            exact: Widen the search until no other triangle can be closer. About forty times dearer; without it the
                distance can come out a little too long where triangles differ much in size.
        """
        points = np.asarray(points, dtype=np.float64)
        count = min(self.candidates, len(self.faces))
        face, weights, distance, reached = self._search(points, count)
        while exact and count < len(self.faces):
            doubtful = np.flatnonzero(reached - self._reach < distance)
            if len(doubtful) == 0:
                break
            count = min(4 * count, len(self.faces))
            face[doubtful], weights[doubtful], distance[doubtful], reached[doubtful] = self._search(
                points[doubtful], count
            )
        corners = self.faces[face]
        point = np.einsum("nk,nki->ni", weights, self.vertices[corners])
        normal = np.einsum("nk,nki->ni", weights, self._normals[corners])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), _TINY)
        inside = np.einsum("ni,ni->n", points - point, normal) < 0
        return SurfacePoints(
            distance=np.where(inside, -distance, distance), point=point, face=face, barycentric=weights, normal=normal
        )

    def _search(
        self, points: Float[Array, "N 3"], count: int
    ) -> tuple[Int[Array, " N"], Float[Array, "N 3"], Float[Array, " N"], Float[Array, " N"]]:
        """Try the `count` triangles with the nearest centroids: face, weights, distance, distance to the last one."""
        reached, tried = self._tree.query(points, k=count)
        reached, tried = reached.reshape(len(points), count), tried.reshape(len(points), count)
        flat = tried.ravel()
        repeated = np.repeat(points, count, axis=0)
        a, b, c = self._a[flat], self._b[flat], self._c[flat]
        weights = closest_on_triangles(repeated, a, b, c)
        gap = weights[:, :1] * a + weights[:, 1:2] * b + weights[:, 2:] * c - repeated
        squared = np.einsum("ni,ni->n", gap, gap).reshape(len(points), count)
        best = np.argmin(squared, axis=1)
        rows = np.arange(len(points))
        return (
            tried[rows, best],
            weights.reshape(len(points), count, 3)[rows, best],
            np.sqrt(squared[rows, best]),
            reached[:, -1],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fragments:
    """What the N pixels show that a mesh covers, in the order of the pixels."""

    pixel: Int[Array, " N"]
    """row * width + column, ascending."""
    depth: Float[Array, " N"]
    """Planar depth [m]."""
    face: Int[Array, " N"]
    barycentric: Float[Array, "N 3"]
    """Of the point seen on its face (perspective-correct)."""


def rasterize(
    vertices_camera: Float[Array, "V 3"], faces: Int[Array, "F 3"], K: Float[Array, "3 3"], width: int, height: int
) -> tuple[Float[Array, "H W"], Int[Array, "H W"], Float[Array, "H W 3"]]:
    """Draw a mesh into a z-buffer, sampled at the pixels' centres, both sides of each triangle.

    Triangles that reach to the camera's plane or behind it are left out whole.

    Args:
        vertices_camera: Vertices in OpenCV's camera frame [m].
        faces: Triangles.
        K: Intrinsics [px]; the first pixel's centre is (0.5, 0.5).
        width: [px]
        height: [px]

    Returns:
        Planar depth [m] (0 where there is nothing), face (-1 where there is nothing) and the barycentric coordinates
        of the point seen on the face (perspective-correct).
    """
    seen = fragments(vertices_camera, faces, K, width, height)
    depth = np.zeros(height * width)
    face = np.full(height * width, -1, dtype=np.int32)
    barycentric = np.zeros((height * width, 3))
    depth[seen.pixel], face[seen.pixel], barycentric[seen.pixel] = seen.depth, seen.face, seen.barycentric
    return depth.reshape(height, width), face.reshape(height, width), barycentric.reshape(height, width, 3)


def fragments(
    vertices_camera: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
    K: Float[Array, "3 3"],
    width: int,
    height: int,
    closed: Bool[Array, " F"] | None = None,
) -> Fragments:
    """As `rasterize`, but only the pixels that show something, which is several times quicker for a small figure.

    Args:
        vertices_camera: Vertices in OpenCV's camera frame [m].
        faces: Triangles.
        K: Intrinsics [px].
        width: [px]
        height: [px]
        closed: Triangles of closed surfaces, of which the backs are left out (they are never in front); default none.

    Returns:
        The nearest surface in each pixel that shows one; of equally near ones that of the lowest face.
    """
    z = vertices_camera[:, 2]
    usable = z > 1e-6
    # NaN makes every comparison false, so a triangle with a corner behind the camera is dropped by the tests below.
    inverse = np.where(usable, 1.0, np.nan) / np.where(usable, z, 1.0)
    x, y = np.ascontiguousarray((vertices_camera @ K.T[:, :2] * inverse[:, None]).T)
    corners = np.ascontiguousarray(faces.T)
    ids, area, xs, ys = _turned_to_camera(x, y, corners, closed)
    (left, wide), (top, high) = _extent(xs, width), _extent(ys, height)
    some = np.flatnonzero((wide > 0) & (high > 0))
    xs, ys = ([taken(corner, some) for corner in axis] for axis in (xs, ys))
    left, wide, top, high, ids, area = (taken(array, some) for array in (left, wide, top, high, ids, area))
    planes = _barycentric_planes(xs, ys, area, left, top)
    ends = np.cumsum(wide * high)
    hits, start = [], 0
    while start < len(ids):
        budget = _CHUNK + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, budget, side="right")))
        part = slice(start, stop)
        offset, row, column, second, third = _covered([p[part] for p in planes], wide[part], high[part])
        owner = offset + start
        pixel = (taken(top, owner) + row) * width + taken(left, owner) + column
        hits.append((pixel, taken(ids, owner), second, third))
        start = stop
    if not hits:
        none = np.zeros(0, dtype=np.int64)
        return Fragments(pixel=none, depth=np.zeros(0), face=none, barycentric=np.zeros((0, 3)))
    pixel, face, second, third = (np.concatenate(parts) for parts in zip(*hits, strict=True))
    return _nearest(pixel, face, second, third, inverse, corners, width * height)


def taken(values: Array, index: Int[Array, "*N"]) -> Array:
    """`values[index]` along the first axis, several times as fast; whether the indices are within is not checked."""
    return values.take(index, axis=0, mode="clip")


def _turned_to_camera(
    x: Float[Array, " V"], y: Float[Array, " V"], corners: Int[Array, "3 F"], closed: Bool[Array, " F"] | None
) -> tuple[Int[Array, " N"], Float[Array, " N"], list[Float[Array, " N"]], list[Float[Array, " N"]]]:
    """Triangles that may be seen: number, twice their signed area in the picture [px^2], corners' x and y [px].

    y is down, so fronts have an area below 0.
    """
    ax, bx, cx = (taken(x, corner) for corner in corners)
    ay, by, cy = (taken(y, corner) for corner in corners)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    back = area > _FLAT
    ids = np.flatnonzero((area < -_FLAT) | (back if closed is None else back & ~closed))
    xs, ys = ([taken(column, ids) for column in axis] for axis in ((ax, bx, cx), (ay, by, cy)))
    return ids, taken(area, ids), xs, ys


def _extent(corners: list[Float[Array, " N"]], size: int) -> tuple[Int[Array, " N"], Int[Array, " N"]]:
    """First pixel whose centre lies in the triangles' range along one axis, and number of them (below 1: none)."""
    a, b, c = corners
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    first = np.minimum(np.maximum(np.ceil(low - (0.5 + _SLACK)), 0), size)
    last = np.minimum(np.maximum(np.floor(high - (0.5 - _SLACK)), -1), size - 1)
    return first.astype(np.int64), (last - first).astype(np.int64) + 1


def _barycentric_planes(
    xs: list[Float[Array, " N"]],
    ys: list[Float[Array, " N"]],
    area: Float[Array, " N"],
    left: Int[Array, " N"],
    top: Int[Array, " N"],
) -> list[Float[Array, " N"]]:
    """The second and third weight as functions of the pixel: at (left, top), per column, per row, for each of both."""
    (ax, bx, cx), (ay, by, cy) = xs, ys
    inverse = 1.0 / area
    x, y = left + 0.5 - ax, top + 0.5 - ay
    second_x, second_y = (cy - ay) * inverse, (ax - cx) * inverse
    third_x, third_y = (ay - by) * inverse, (bx - ax) * inverse
    return [x * second_x + y * second_y, second_x, second_y, x * third_x + y * third_y, third_x, third_y]


def _covered(
    planes: list[Float[Array, " F"]], wide: Int[Array, " F"], high: Int[Array, " F"]
) -> tuple[Int[Array, " N"], Int[Array, " N"], Int[Array, " N"], Float[Array, " N"], Float[Array, " N"]]:
    """Pixels whose centres the triangles cover: triangle, row and column in its box, second and third weight."""
    count = wide * high
    owner = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    row = within // taken(wide, owner)
    column = within - row * taken(wide, owner)
    second, third = (
        taken(p, owner) + column * taken(dx, owner) + row * taken(dy, owner) for p, dx, dy in (planes[:3], planes[3:])
    )
    # A shared edge belongs to both neighbours, so that rounding opens no gap between them.
    inside = np.flatnonzero((second >= -_SLACK) & (third >= -_SLACK) & (second + third <= 1 + _SLACK))
    return taken(owner, inside), taken(row, inside), taken(column, inside), taken(second, inside), taken(third, inside)


def _nearest(
    pixel: Int[Array, " N"],
    face: Int[Array, " N"],
    second: Float[Array, " N"],
    third: Float[Array, " N"],
    inverse_z: Float[Array, " V"],
    corners: Int[Array, "3 F"],
    pixels: int,
) -> Fragments:
    """Keep the hit closest to the camera in each pixel; of equal ones, that of the lowest face (they come sorted)."""
    second, third = np.maximum(second, 0.0), np.maximum(third, 0.0)
    first = np.maximum(1 - second - third, 0.0)
    shares = [
        w * taken(inverse_z, taken(corner, face)) for w, corner in zip((first, second, third), corners, strict=True)
    ]
    nearness = sum(shares[1:], shares[0])
    nearest = np.zeros(pixels)
    np.maximum.at(nearest, pixel, nearness)
    winners = np.flatnonzero(nearness == taken(nearest, pixel))[::-1]
    best = np.full(pixels, -1, dtype=np.int64)
    best[taken(pixel, winners)] = winners  # NumPy assigns in order, so the last of several writes to one pixel stays
    shown = np.flatnonzero(best >= 0)
    hit = taken(best, shown)
    depth = 1.0 / taken(nearness, hit)
    weights = np.stack([taken(share, hit) for share in shares], axis=1) * depth[:, None]
    return Fragments(pixel=shown, depth=depth, face=taken(face, hit), barycentric=weights)
