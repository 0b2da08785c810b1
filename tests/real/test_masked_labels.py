"""A label whose mask is off trains nothing: poison in its place changes no loss and no gradient, of any model."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from train.batch import Batch, State, TemporalModel
from train.body import BodyLayer
from train.catalog import MODELS
from train.models import build
from train.presets import model_options
from train.rotations import matrix_to_six

_SPEC = importlib.util.spec_from_file_location(
    "small_batches", Path(__file__).parents[1] / "train" / "small_batches.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
batches = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(batches)

WINDOW = 4
KNOWN = (0, 1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19)
"""Joints that are known where any are: a pelvis, limbs, no hands."""
LABELS = ("keypoints_2d", "joints_3d", "rotations", "betas", "pelvis", "flow")


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


@pytest.fixture(scope="module")
def mixed(body: BodyLayer) -> Batch:
    """Four clips: all known (shards), no pose (Human3.6M), keypoints only (COCO), and one with gaps (3DPW)."""
    batch = batches.small_batch(body, clips=4, frames=WINDOW, size=32, occluded=True)
    keypoints = batch.keypoints_2d.clone()
    keypoints[1:, :, [j for j in range(24) if j not in KNOWN], 2] = 0
    keypoints[3, 1, :, 2] = 0
    joints_valid, smpl_valid = batch.joints_valid.clone(), batch.smpl_valid.clone()
    joints_valid[1, :, [j for j in range(24) if j not in KNOWN]] = False
    joints_valid[2] = joints_valid[3, 1] = False
    smpl_valid[1:3] = smpl_valid[3, 1] = False
    parts, flow_valid = batch.parts, batch.flow_valid
    assert parts is not None
    assert flow_valid is not None
    parts, flow_valid = parts.clone(), flow_valid.clone()
    parts[1:], flow_valid[1:] = 0, False
    return replace(
        batch,
        keypoints_2d=keypoints,
        joints_valid=joints_valid,
        smpl_valid=smpl_valid,
        parts=parts,
        flow_valid=flow_valid,
    )


def masks(batch: Batch) -> dict[str, Tensor]:
    """Where each label is known."""
    flow = {} if batch.flow_valid is None else {"flow": batch.flow_valid}
    return flow | {
        "keypoints_2d": batch.keypoints_2d[..., 2] > 0,
        "joints_3d": batch.joints_valid,
        "rotations": batch.smpl_valid,
        "betas": batch.smpl_valid,
        "pelvis": batch.smpl_valid,
    }


def poisoned(batch: Batch, poison: float, names: tuple[str, ...], known: bool = False) -> Batch:
    """The batch with `poison` where labels are not known (or where they are)."""
    changed = {}
    for name, mask in masks(batch).items():
        if name not in names:
            continue
        value = getattr(batch, name).clone()
        if name == "keypoints_2d":
            value[..., :2][mask == known] = poison
        else:
            value[mask == known] = poison
        changed[name] = value
    return replace(batch, **changed)


def model_and_batch(name: str, batch: Batch) -> tuple[TemporalModel, Batch]:
    torch.manual_seed(0)
    model = build(name, {**model_options("smoke", name), **({} if name == "tar" else {"window": WINDOW})}).train()
    if name == "tar":  # an odd window, and a map that is large enough for it
        images = torch.zeros(len(batch), 3, 3, 64, 64).normal_(generator=torch.Generator().manual_seed(0))
        odd = replace(batch, flow=None, flow_valid=None, parts=None, images=None).frames(slice(0, 3))
        return model, replace(odd, images=images)
    if name == "smoothnet":
        theta = torch.cat([matrix_to_six(batch.rotations).flatten(2), batch.betas, batch.pelvis], dim=-1)
        return model, replace(batch, features=theta.detach(), features_occluded=None)
    return model, batch


def taught(
    model: TemporalModel, batch: Batch, body: BodyLayer, motions: Tensor | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses and gradients of a step, the discriminator's too."""
    model.zero_grad()
    torch.manual_seed(1)
    output = model(batch)
    state = State(step=0, body=body, motions=motions)
    terms = model.loss(output, batch, state)
    terms["total"].backward()
    if model.adversary is not None:
        terms["discriminator"] = model.adversary_loss(output, batch, state)
        terms["discriminator"].backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in terms.items()}, gradients


@pytest.mark.parametrize("name", MODELS)
def test_labels_that_are_not_known_train_nothing(name: str, mixed: Batch, body: BodyLayer) -> None:
    # catches a mask that a loss forgets. Not NaN: readers' NaN end where windows are filled (test_real_clips.py), and
    # losses may multiply by their masks
    model, batch = model_and_batch(name, mixed)
    terms, gradients = taught(model, batch, body)
    assert all(torch.isfinite(value) for value in terms.values())
    assert gradients
    again, slopes = taught(model, poisoned(batch, 1e6, LABELS), body)
    for term, value in terms.items():
        assert torch.equal(again[term], value), term
    for parameter, slope in gradients.items():
        assert torch.equal(slopes[parameter], slope), parameter


@pytest.mark.parametrize("name", MODELS)
def test_labels_that_are_known_do_train(name: str, mixed: Batch, body: BodyLayer) -> None:
    # the poison works: else the test above could not fail
    model, batch = model_and_batch(name, mixed)
    terms, _ = taught(model, batch, body)
    for label in ("keypoints_2d", "joints_3d", "rotations", "betas"):
        again, _ = taught(model, poisoned(batch, 3.0, (label,), known=True), body)
        assert not torch.equal(again["total"], terms["total"]), label
