"""Evaluation of a model on shards and real data: every frame of every view, float32 predictions, float64 measures."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from synth.errors import SynthError
from train import metrics
from train.annotated import JOINT_ROOTS, annotated_set, known_frames, measure_annotated
from train.batch import Batch, Prediction, TemporalModel
from train.body import BodyLayer
from train.clips import Clips
from train.inference import (
    View,
    complete,
    labels_of,
    predict_frames,
    stretches,
    view_batch,
    views,
    with_features,
)
from train.real.clips import RealClips

Array = np.ndarray

__all__ = ["JOINT_ROOTS", "WINDOWS", "Report", "Smoother", "evaluate", "measure_view", "table", "window_layout"]

WINDOWS = {
    "own": "as the model was made for",
    "chunks": "one after the other, as VIBE is evaluated",
    "overlap": "overlapping by half",
}
"""How windows are laid over a view. Acceleration at the seams differs, so compare models under the same one only."""

Smoother = Callable[[Prediction, float], Prediction]
"""Changes a sequence's prediction, given its frame rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an evaluation found."""

    mean: Mapping[str, float]
    """Mean over frames (over differences of frames for what is made of them) of all sequences."""
    by_motion: Mapping[str, Mapping[str, float]]
    """The same for each motion, the "action" of the papers' tables."""
    frames: int
    sequences: int
    notes: Mapping[str, str] = field(default_factory=dict)
    """Conventions: joint sets, roots, gender, frame rates."""


def measure_view(
    predicted: Prediction, truth: Prediction, body: BodyLayer, gender: torch.Tensor, fps: float
) -> dict[str, Array]:
    """Every measure of one uncut sequence, per frame or per difference of frames.

    Args:
        predicted: Of shape (1, T, ...), with joints and vertices.
        truth: The labels in the same form (`BodyLayer.labels`).
        body: Whose keypoint regressors make the joint sets.
        gender: (1,), index of the labels' body.
        fps: Frames per second.
    """
    assert predicted.vertices is not None
    assert truth.vertices is not None
    frames = predicted.vertices.shape[1]
    mesh, mesh_wanted = (p.vertices[0].double().numpy() for p in (predicted, truth) if p.vertices is not None)
    found: dict[str, Array] = {}
    for name, roots in JOINT_ROOTS.items():
        if name != "smpl24" and name not in body.keypoint_sets:
            continue
        points, wanted = (_points(p, name, body, gender.expand(frames)) for p in (predicted, truth))
        points, wanted = metrics.centred(points, roots), metrics.centred(wanted, roots)
        fitted = metrics.aligned(points, wanted)
        suffix = "" if name == "smpl24" else f"_{name}"
        found[f"mpjpe_mm{suffix}"] = metrics.position_error(points, wanted)
        found[f"pa_mpjpe_mm{suffix}"] = metrics.position_error(fitted, wanted)
        found[f"accel_mm_per_frame2{suffix}"] = metrics.acceleration_error(points, wanted)
        if name == "smpl24":
            hips = [_points(p, name, body, gender)[:, list(roots)].mean(1, keepdims=True) for p in (predicted, truth)]
            found |= _mesh_measures(mesh, mesh_wanted, hips[0], hips[1])
            found["accel_m_per_s2"] = found["accel_mm_per_frame2"] * fps**2 / 1000.0
            found["jitter_m_per_s3"] = metrics.jitter(points, fps)
            found["pck150"] = metrics.pck(points, wanted)
            found["pa_pck150"] = metrics.pck(fitted, wanted)
            found["auc"] = metrics.auc(points, wanted)
    betas = predicted.betas[0].double().numpy()
    for order in (1, 2):
        found[f"mrvpv_l{order}_m"] = metrics.running_vertex_variation(mesh, order)
        found[f"mrsv_l{order}"] = metrics.running_shape_variation(betas, order)
    rotations, turned = (p.rotations[0].double().numpy() for p in (predicted, truth))
    found["mpjae_deg"] = metrics.joint_angle_error(rotations, turned, body.parents)
    return found


def _mesh_measures(mesh: Array, wanted: Array, hips: Array, hips_wanted: Array) -> dict[str, Array]:
    rooted, rooted_wanted = mesh - hips, wanted - hips_wanted
    return {
        "mpvpe_mm": metrics.position_error(rooted, rooted_wanted),
        "mpvpe_pelvis_mm": metrics.position_error(mesh, wanted),
        "pa_mpvpe_mm": metrics.position_error(metrics.aligned(mesh, wanted), wanted),
        "mpvpe_sum_m": metrics.summed_vertex_error(rooted, rooted_wanted),
    }


def _points(prediction: Prediction, name: str, body: BodyLayer, gender: torch.Tensor) -> Array:
    if name == "smpl24":
        assert prediction.joints is not None
        return prediction.joints[0].double().numpy()
    assert prediction.vertices is not None
    return body.keypoints(name, prediction.vertices[0], gender).double().numpy()


def evaluate(
    model: TemporalModel,
    sources: Iterable[Clips],
    body: BodyLayer,
    *,
    device: torch.device | str = "cpu",
    window: int | None = None,
    windows: str = "own",
    smooth: Smoother | None = None,
    network: nn.Module | None = None,
    progress: Callable[[View], None] | None = None,
) -> Report:
    """Predict and measure every view of every clip.

    Args:
        model: In evaluation mode, on `device`.
        sources: Folders and real data sets, opened without augmentation and with what the model (or the encoder) needs.
        body: On the CPU; joints and meshes are made there.
        device: Where the network runs.
        window: Frames a window sees; the model's own by default.
        windows: Name in `WINDOWS`: how they are laid over a view.
        smooth: Changes a sequence's prediction before it is measured, given its frame rate.
        network: Frozen encoder, on the CPU, of a model of features where a source has pictures.
        progress: Called after each view.

    Raises:
        SynthError: no frame has labels to measure by.
    """
    parts: list[tuple[str, dict[str, Array]]] = []
    frames, sequences, rates = 0, 0, set()
    length, history, said = window_layout(model, window, windows)
    for clips in sources:
        for view in views(clips):

            def load(start: int, stop: int, clips: Clips = clips, view: View = view) -> Batch:
                batch = view_batch(clips, view, start, stop)
                if network is None or batch.images is None or "images" in model.needs:
                    return batch
                return with_features(batch, network, "feature_maps" in model.needs)

            labelled = labels_of(clips, view)
            known = _known(clips, view, labelled, body)
            if not known.any():
                continue
            predicted = predict_frames(model, load, view.frames, window=length, history=history, device=device)
            if smooth is not None:
                predicted = smooth(predicted, view.fps)
            parts += [(view.motion, part) for part in _parts(clips, view, predicted, labelled, body)]
            frames, sequences, rates = frames + int(known.sum()), sequences + 1, rates | {view.fps}
            if progress is not None:
                progress(view)
    if not parts:
        raise SynthError("no frame has a box and 3D joints or a body to measure by", "Evaluate on data that have them")
    by_motion = {motion: _means(p for m, p in parts if m == motion) for motion in sorted({m for m, _ in parts})}
    notes = {
        "joints": "24 SMPL joints unless the name says otherwise, centred between the hips",
        "gender": "betas are posed on the body model of the labels' gender, which is given to the prediction too",
        "fps": ", ".join(f"{rate:g}" for rate in sorted(rates)) + " frames/s",
        "windows": said,
    }
    mean = _means(p for _, p in parts)
    return Report(mean=mean, by_motion=by_motion, frames=frames, sequences=sequences, notes=notes)


def _known(clips: Clips, view: View, batch: Batch, body: BodyLayer) -> Array:
    """Frames with labels to measure by."""
    known = batch.smpl_valid[0].numpy()
    if isinstance(clips, RealClips):
        record = clips.record(view.shard)
        known = known | known_frames(record, view, annotated_set(record, body))
    return known


def _parts(
    clips: Clips, view: View, predicted: Prediction, batch: Batch, body: BodyLayer
) -> Iterator[dict[str, Array]]:
    """Measures of every uncut run of frames whose labels are known."""
    with torch.no_grad():
        predicted = complete(predicted, batch, body)
        for start, stop in stretches(batch.smpl_valid[0].numpy()):
            truth = body.labels(batch.frames(slice(start, stop)))
            yield measure_view(_cut(predicted, start, stop), truth, body, batch.gender, view.fps)
    if isinstance(clips, RealClips):
        record = clips.record(view.shard)
        name = annotated_set(record, body)
        points = _points(predicted, name, body, batch.gender.expand(view.frames))
        yield from measure_annotated(points, record, view, name)


def _cut(prediction: Prediction, start: int, stop: int) -> Prediction:
    def part(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else value[:, start:stop]

    return replace(
        prediction,
        rotations=prediction.rotations[:, start:stop],
        betas=prediction.betas[:, start:stop],
        camera=prediction.camera[:, start:stop],
        transl=part(prediction.transl),
        joints=part(prediction.joints),
        vertices=part(prediction.vertices),
    )


def window_layout(model: TemporalModel, window: int | None, windows: str) -> tuple[int, int, str]:
    """Frames of a window, frames that two of them share, and both in words.

    Raises:
        ValueError: no such name in `WINDOWS`.
    """
    if windows not in WINDOWS:
        raise ValueError(f"windows: expected one of {', '.join(WINDOWS)}, got {windows!r}")
    length = window or model.window
    if model.centre_only:
        return length, 0, f"windows of {length} frames, one around every frame"
    if length == 1 or model.receptive_field == 1:
        return length, 0, "every frame by itself"
    history = {"own": min(model.history, length - 1), "chunks": 0, "overlap": length // 2}[windows]
    return length, history, f"windows of {length} frames that share {history} ({windows}: {WINDOWS[windows]})"


def _means(parts: Iterable[Mapping[str, Array]]) -> dict[str, float]:
    values: dict[str, list[Array]] = defaultdict(list)
    for part in parts:
        for name, value in part.items():
            values[name].append(value)
    joined = {name: np.concatenate(each) for name, each in values.items()}
    return {name: float(each.mean()) for name, each in joined.items() if len(each)}


def table(
    report: Report, columns: tuple[str, ...] = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "accel_mm_per_frame2")
) -> str:
    """A table by motion with the mean in the last line, as the papers print it."""
    rows = [*sorted(report.by_motion.items()), ("mean", report.mean)]
    width = max(len("motion"), *(len(name) for name, _ in rows))
    lines = [" ".join([f"{'motion':<{width}}", *(f"{name:>{max(9, len(name))}}" for name in columns)])]
    for name, means in rows:
        cells = [f"{means.get(column, float('nan')):>{max(9, len(column))}.2f}" for column in columns]
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    return "\n".join(lines)
