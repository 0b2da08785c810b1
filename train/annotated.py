"""Measures against annotated joints: real data that know joints, and perhaps no pose and shape.

Only joints that are annotated are compared, in runs of frames that know the same ones, so that a difference in time
never crosses a gap. Measures end in `_annotated`; those of a joint set other than SMPL's 24 name it before.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from train import metrics
from train.body import BodyLayer
from train.inference import View
from train.real.record import Record, labels

Array = np.ndarray

__all__ = ["JOINT_ROOTS", "annotated_set", "known_frames", "measure_annotated"]

JOINT_ROOTS: dict[str, tuple[int, ...]] = {"smpl24": (1, 2), "lsp14": (2, 3), "h36m17": (0,)}
"""Joint sets and what they are centred on: the middle of the hips (H36M's point 0 is that already)."""

_FEWEST = 6
"""Annotated joints of a frame; a similarity fits fewer too well."""


def annotated_set(record: Record, body: BodyLayer) -> str:
    """Joint set to compare in: SMPL's joints where they are annotated, else the papers' 14, regressed from the mesh."""
    return "smpl24" if record.joints_set == "smpl24" or "lsp14" not in body.keypoint_sets else "lsp14"


def known_frames(record: Record, view: View, name: str) -> Bool[Array, " T"]:
    """Frames of a view with both hips and enough other joints annotated."""
    return _usable(labels(record, view.first, view.frames, name)["joints_valid"], JOINT_ROOTS[name])


def _usable(known: Bool[Array, "T K"], roots: tuple[int, ...]) -> Bool[Array, " T"]:
    return known[:, list(roots)].all(axis=1) & (known.sum(axis=1) >= _FEWEST)


def measure_annotated(
    points: Float[Array, "T K 3"], record: Record, view: View, name: str
) -> Iterator[dict[str, Array]]:
    """Position and acceleration errors, PCK and AUC, for every run of frames that know the same joints.

    Args:
        points: The predicted joints of the view in the set `name` [m].
        record: The track.
        view: Which of its frames.
        name: Joint set, in `JOINT_ROOTS`.

    Yields:
        Values per frame, or per difference of frames.
    """
    taken, roots = labels(record, view.first, view.frames, name), JOINT_ROOTS[name]
    known = taken["joints_valid"]
    suffix = "_annotated" if name == "smpl24" else f"_{name}_annotated"
    points, wanted = metrics.centred(points, roots), metrics.centred(taken["joints_3d"], roots)
    for start, stop in _runs(known, _usable(known, roots)):
        chosen = known[start]
        own, theirs = points[start:stop, chosen], wanted[start:stop, chosen]
        fitted = metrics.aligned(own, theirs)
        found = {
            "mpjpe_mm": metrics.position_error(own, theirs),
            "pa_mpjpe_mm": metrics.position_error(fitted, theirs),
            "accel_mm_per_frame2": metrics.acceleration_error(own, theirs),
            "pck150": metrics.pck(own, theirs),
            "pa_pck150": metrics.pck(fitted, theirs),
            "auc": metrics.auc(own, theirs),
        }
        yield {f"{measure}{suffix}": values for measure, values in found.items()}


def _runs(known: Bool[Array, "T K"], usable: Bool[Array, " T"]) -> Iterator[tuple[int, int]]:
    """First frame and end of the longest runs of usable frames with the same joints."""
    changes = np.flatnonzero((known[1:] != known[:-1]).any(axis=1)) + 1
    edges = [0, *changes.tolist(), len(known)]
    return ((start, stop) for start, stop in pairwise(edges) if usable[start])
