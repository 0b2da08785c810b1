"""Triangle meshes: normals, the closest point on a surface with its signed distance, and a z-buffer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

__all__ = ["ClosestPoint", "SurfacePoints", "closest_on_triangles", "rasterize", "vertex_normals"]

Array = np.ndarray

_TINY = 1e-30
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
    z = vertices_camera[:, 2]
    xy = vertices_camera @ K.T[:, :2] / np.where(z > 0, z, 1.0)[:, None]
    keep = np.flatnonzero((z[faces] > 1e-6).all(axis=1))
    triangles = xy[faces[keep]]
    low = np.ceil(triangles.min(axis=1) - 0.5).clip(0, None).astype(np.int64)
    high = np.floor(triangles.max(axis=1) - 0.5).clip(None, [width - 1, height - 1]).astype(np.int64)
    extent = (high - low + 1).clip(0, None)
    count = extent[:, 0] * extent[:, 1]
    keep, triangles, low, extent, count = (array[count > 0] for array in (keep, triangles, low, extent, count))
    hits = []
    start, ends = 0, np.cumsum(count)
    while start < len(keep):
        budget = _CHUNK + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, budget, side="right")))
        part = slice(start, stop)
        hits.append(_covered(triangles[part], low[part], extent[part], count[part], z[faces[keep[part]]], keep[part]))
        start = stop
    return _nearest(hits, width, height)


def _covered(
    triangles: Float[Array, "F 3 2"],
    low: Int[Array, "F 2"],
    extent: Int[Array, "F 2"],
    count: Int[Array, " F"],
    z: Float[Array, "F 3"],
    ids: Int[Array, " F"],
) -> tuple[Int[Array, "N 2"], Float[Array, " N"], Int[Array, " N"], Float[Array, "N 3"]]:
    """Pixels (column, row) whose centres the triangles cover, with depth, face and barycentric coordinates."""
    owner = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    wide = extent[owner, 0]
    pixel = np.stack([low[owner, 0] + within % wide, low[owner, 1] + within // wide], axis=1)
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    inverse = np.divide(1.0, area, out=np.full_like(area, np.nan), where=np.abs(area) > 1e-12)[owner]
    x, y = (pixel + 0.5 - a[owner]).T
    second = (x * v[owner, 1] - y * v[owner, 0]) * inverse
    third = (u[owner, 0] * y - u[owner, 1] * x) * inverse
    # A shared edge belongs to both neighbours, so that rounding opens no gap between them.
    inside = np.flatnonzero((second >= -1e-9) & (third >= -1e-9) & (second + third <= 1 + 1e-9))
    owner, second, third = owner[inside], second[inside], third[inside]
    weights = np.stack([1 - second - third, second, third], axis=1).clip(0, 1) / z[owner]
    total = weights.sum(axis=1)
    return pixel[inside], 1 / total, ids[owner], weights / total[:, None]


def _nearest(
    hits: list[tuple[Array, Array, Array, Array]],
    width: int,
    height: int,
) -> tuple[Float[Array, "H W"], Int[Array, "H W"], Float[Array, "H W 3"]]:
    """Keep the hit closest to the camera in each pixel; of equal ones, that of the lowest face."""
    depth = np.zeros(height * width)
    face = np.full(height * width, -1, dtype=np.int32)
    barycentric = np.zeros((height * width, 3))
    if hits:
        pixel, z, ids, weights = (np.concatenate(parts) for parts in zip(*hits, strict=True))
        index = pixel[:, 1] * width + pixel[:, 0]
        order = np.lexsort((-ids, -z))
        # NumPy assigns in order, so the last of several writes to one pixel stays.
        depth[index[order]] = z[order]
        face[index[order]] = ids[order]
        barycentric[index[order]] = weights[order]
    return depth.reshape(height, width), face.reshape(height, width), barycentric.reshape(height, width, 3)
