"""Checks of what says where the person is seen: the joints' visibility and the box around the pixels."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16

from synth.geometry.triangles import taken
from synth.labels.keypoints import project_points, to_camera
from synth.labels.visibility import Visibility, flesh_depth
from synth.shards.checks import LIMITS, Findings
from synth.shards.read import ShardReader
from synth.shards.why import MIRROR
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["SeenCheck"]

_FEW = 2
"""Joints of one frame that may differ: at an outline, rounding decides."""


class SeenCheck:
    """Recomputes visibility and boxes of one view, frame by frame, from the stored meshes and maps.

    Args:
        reader: The shard.
        body: Its body model.
        face_parts: Parts of the body's triangles.
        view: Number of the view.
        joints_world: SMPL's joints in every frame [m].
    """

    def __init__(
        self,
        reader: ShardReader,
        body: BodyModel,
        face_parts: UInt8[Array, " F"],
        view: int,
        joints_world: Float[Array, "T 24 3"],
    ) -> None:
        self._view, self._joints = view, joints_world
        self._corners = np.ascontiguousarray(body.faces.T)
        self._face_parts = face_parts
        self._related = _related(body.parents)
        self._flesh = flesh_depth(body, tuple(reader.clip("smpl/betas").tolist()))
        self._K, self._pose = reader.clip(f"views/{view}/K"), reader.clip(f"views/{view}/T_camera_world")
        self._stored = reader.clip(f"views/{view}/visibility")
        self._boxes = reader.clip(f"views/{view}/bbox")
        self._wanted = np.zeros_like(self._stored)
        self._box_error = np.zeros(len(self._stored))
        self._found = np.full((len(self._stored), 4), np.nan)

    def frame(
        self,
        t: int,
        vertices: Float[Array, "V 3"],
        depth: UInt16[Array, "H W"],
        scale: float,
        garments: UInt8[Array, "H W"],
        mask: Bool[Array, "H W"],
    ) -> None:
        """Look at one frame.

        Args:
            t: Its number.
            vertices: The body's vertices in the camera's frame [m].
            depth: As stored.
            scale: Metres of one step of the depth.
            garments: As stored.
            mask: The person.
        """
        joints = to_camera(self._joints[t], self._pose[t])
        self._wanted[t] = self._visibility(vertices, joints, depth, scale, garments)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else [np.nan] * 4
        self._found[t] = box
        gap = np.abs(np.asarray(box) - self._boxes[t])
        self._box_error[t] = np.where(np.isnan(box) & np.isnan(self._boxes[t]), 0.0, gap).max()

    def _visibility(
        self, vertices: Array, joints: Array, depth: Array, scale: float, garments: Array
    ) -> UInt8[Array, " 24"]:
        """Follow the joints' rays to the bare body's first surface, and compare with what the pixel shows."""
        height, width = depth.shape
        points = project_points(joints, self._K)
        pixel = np.floor(np.nan_to_num(points, nan=-1.0)).astype(np.int64)
        inside = (joints[:, 2] > 0) & (pixel >= 0).all(axis=1) & (pixel < [width, height]).all(axis=1)
        wanted = np.full(24, Visibility.OUTSIDE, dtype=np.uint8)
        chosen = np.flatnonzero(inside)
        z, part = self._first_surface(vertices, points[chosen], height)
        free = part == 0
        own = free | (self._related[chosen, part] & (z > joints[chosen, 2] - self._flesh[chosen]))
        column, row = pixel[chosen].T
        cloth = (garments[row, column] > 0) & (depth[row, column] * scale < joints[chosen, 2])
        wanted[chosen] = np.where(
            own, np.where(cloth, Visibility.HIDDEN_BY_CLOTH, Visibility.VISIBLE), Visibility.HIDDEN_BY_BODY
        )
        return wanted

    def _first_surface(
        self, vertices: Float[Array, "V 3"], points: Float[Array, "N 2"], height: int
    ) -> tuple[Float[Array, " N"], Int[Array, " N"]]:
        """Planar depth [m] and part of the first surface along each point's ray; infinite and 0 where there is none."""
        x, y = np.ascontiguousarray(project_points(vertices, self._K).T)
        ax, bx, cx = (taken(x, corner) for corner in self._corners)
        ay, by, cy = (taken(y, corner) for corner in self._corners)
        # Only fronts: the first surface along a ray that comes from outside a closed body. NaN compares false.
        fronts = np.flatnonzero((bx - ax) * (cy - ay) - (by - ay) * (cx - ax) < 0)
        joint, face = _in_rows(points[:, 1], [taken(corner, fronts) for corner in (ay, by, cy)], height)
        face = taken(fronts, face)
        ax, ay, bx, by, cx, cy = (taken(column, face) for column in (ax, ay, bx, by, cx, cy))
        px, py = taken(points, joint).T
        corners = ((ax - px, ay - py), (bx - px, by - py), (cx - px, cy - py))
        cross = [corners[i][0] * corners[j][1] - corners[i][1] * corners[j][0] for i, j in ((1, 2), (2, 0), (0, 1))]
        total = cross[0] + cross[1] + cross[2]
        hit = np.flatnonzero((cross[0] <= 0) & (cross[1] <= 0) & (cross[2] <= 0) & (total < 0))
        joint, face = joint[hit], face[hit]
        z = vertices[:, 2]
        inverse = sum((cross[i][hit] / z[self._corners[i][face]] for i in range(3)), np.zeros(len(hit)))
        depth, part = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
        distance = total[hit] / inverse
        order = np.argsort(-distance, kind="stable")
        depth[joint[order]] = distance[order]  # the last of several writes stays: the nearest
        part[joint[order]] = self._face_parts[face[order]]
        return depth, part

    def judge(self, others: "list[SeenCheck]", findings: Findings) -> None:
        """Name what was found in the whole view; `others` are the other views'."""
        where = f"views/{self._view}/visibility"
        wrong = self._wanted != self._stored
        share = float(wrong.mean()) if wrong.size else 0.0
        findings.measure("visibility_share", share)
        if share > LIMITS["visibility_share"] or (wrong.sum(axis=1) > _FEW).any():
            frames = np.flatnonzero(wrong.any(axis=1))[:8].tolist()
            findings.fault(self._why(wrong, others), where, f"{share:.2%} of the joints differ; frames {frames}")
        if (self._box_error > 0).any():
            frames = np.flatnonzero(self._box_error > 0)[:8].tolist()
            swapped = any(np.array_equal(other._found, self._boxes, equal_nan=True) for other in others)
            name = "views-swapped" if swapped else "bbox"
            findings.fault(name, f"views/{self._view}/bbox", f"not the box of the person's pixels; frames {frames}")

    def _why(self, wrong: Bool[Array, "T 24"], others: "list[SeenCheck]") -> str:
        if any((other._wanted == self._stored).all() for other in others):
            return "views-swapped"
        if (self._wanted[:, MIRROR] == self._stored).all():
            return "left-right-swapped"
        for shift in (1, -1):
            a, b = (self._wanted[1:], self._stored[:-1]) if shift > 0 else (self._wanted[:-1], self._stored[1:])
            if len(a) > 1 and (a != b).mean() < 0.2 * wrong.mean():
                return "frames-out-of-step"
        return "visibility"


def _in_rows(
    rows: Float[Array, " N"], corners: list[Float[Array, " F"]], height: int
) -> tuple[Int[Array, " M"], Int[Array, " M"]]:
    """Pairs of a point and a triangle that reaches the point's row of pixels; among them all that cover the point.

    Args:
        rows: The points' y, inside the picture [px].
        corners: The triangles' y, of each corner [px].
        height: Of the picture [px].
    """
    a, b, c = corners
    order = np.argsort(rows)
    before = np.searchsorted(np.floor(rows[order]), np.arange(height + 2))  # points above each row of pixels
    low = np.clip(np.floor(np.minimum(np.minimum(a, b), c)), 0, height).astype(np.int64)
    high = np.clip(np.floor(np.maximum(np.maximum(a, b), c)), -1, height).astype(np.int64)
    first = taken(before, low)
    count = taken(before, high + 1) - first
    some = np.flatnonzero(count > 0)
    first, count = taken(first, some), taken(count, some)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return order[np.repeat(first, count) + step], np.repeat(some, count)


def _related(parents: Int[Array, " 24"]) -> Bool[Array, "24 25"]:
    """Whether a part (0 is none) is the joint's own, its parent's or a child's."""
    related = np.eye(24, 25, k=1, dtype=bool)
    for child, parent in enumerate(parents.tolist()):
        if parent >= 0:
            related[child, parent + 1] = related[parent, child + 1] = True
    return related
