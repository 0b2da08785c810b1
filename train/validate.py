"""Validation during training: three measures from joints alone, cheap enough to be taken often."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from train import metrics
from train.batch import Batch, TemporalModel
from train.body import BodyLayer
from train.clips import Clips
from train.inference import View, labels_of, predict_frames, view_batch, views

Array = np.ndarray

__all__ = ["MONITORED", "chosen_views", "validate"]

MONITORED = "pa_mpjpe_mm"
"""The measure by which the best checkpoint is chosen and the plateau found, as VIBE's published code does."""


def chosen_views(sources: Sequence[Clips], limit: int) -> list[tuple[Clips, View]]:
    """All views, or `limit` of them spread evenly; 0: no limit."""
    every = [(clips, view) for clips in sources for view in views(clips)]
    if not limit or len(every) <= limit:
        return every
    return [every[i] for i in np.linspace(0, len(every) - 1, limit).round().astype(int)]


@torch.no_grad()
def validate(
    model: TemporalModel, sources: Sequence[Clips], body: BodyLayer, device: torch.device, limit: int = 0
) -> dict[str, float]:
    """Means over frames of MPJPE, PA-MPJPE [mm] and the acceleration error [mm/frame2] of the 24 joints.

    Args:
        model: Is put into evaluation mode and back.
        sources: Opened with windows of one frame, not augmented.
        body: On `device`.
        device: Where the network runs.
        limit: Most views to measure; 0 for all.
    """
    training = model.training
    model.eval()
    errors: dict[str, list[Array]] = {"mpjpe_mm": [], MONITORED: [], "accel_mm_per_frame2": []}
    for clips, view in chosen_views(sources, limit):

        def load(start: int, stop: int, clips: Clips = clips, view: View = view) -> Batch:
            return view_batch(clips, view, start, stop)

        predicted = predict_frames(model, load, view.frames, device=device)
        labels = labels_of(clips, view)
        gender = labels.gender.expand(view.frames).to(device)
        joints = body.joints(predicted.rotations[0].to(device), predicted.betas[0].to(device), gender)
        points, wanted = _centred(joints.cpu()), _centred(labels.joints_3d[0])
        errors["mpjpe_mm"].append(metrics.position_error(points, wanted))
        errors[MONITORED].append(metrics.position_error(metrics.aligned(points, wanted), wanted))
        errors["accel_mm_per_frame2"].append(metrics.acceleration_error(points, wanted))
    model.train(training)
    joined = {name: np.concatenate(parts) for name, parts in errors.items()}
    return {name: float(values.mean()) for name, values in joined.items() if len(values)}


def _centred(joints: torch.Tensor) -> Float[Array, "T 24 3"]:
    return metrics.centred(joints.double().numpy(), (1, 2))
