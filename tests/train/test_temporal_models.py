"""What HPOF, SPS-Net and TAR must all do: no peeking at labels, mixed precision, the same result twice."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from train.backbones import load_weights
from train.backbones.hrnet import HRNet
from train.batch import Batch, State, TemporalModel, last
from train.body import BodyLayer
from train.checkpoint import load_model
from train.clips import Clips
from train.inference import layout, predict_frames, view_batch, views
from train.models import build
from train.run import Run, fit

_SPEC = importlib.util.spec_from_file_location("small_batches", Path(__file__).with_name("small_batches.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
batches = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(batches)

OPTIONS = {
    "hpof": {"features": batches.FEATURES, "hidden": 32, "channels": 16, "blocks": 2, "flow_size": 24},
    "spsnet": {"features": batches.FEATURES, "hidden": 32, "mask_size": 24},
    "tar": {"backbone": "resnet-tiny", "width": 16, "layers": 1, "heads": 2, "local_width": 8, "state": 8,
            "markers": 26, "window": 3, "local": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


def small(name: str) -> TemporalModel:
    torch.manual_seed(0)
    return build(name, OPTIONS[name])


def batch_of(name: str, body: BodyLayer) -> Batch:
    size = 64 if name == "tar" else 24
    return batches.small_batch(body, clips=2, frames=3, size=size, occluded=True)


@pytest.mark.parametrize("name", OPTIONS)
def test_predictions_do_not_depend_on_labels(name: str, body: BodyLayer) -> None:
    model, batch = small(name).eval(), batch_of(name, body)
    masked = replace(
        batch,
        keypoints_2d=torch.zeros_like(batch.keypoints_2d),
        joints_3d=torch.zeros_like(batch.joints_3d),
        rotations=torch.eye(3).expand_as(batch.rotations),
        betas=torch.zeros_like(batch.betas),
        pelvis=torch.zeros_like(batch.pelvis),
        features_occluded=None,
        flow=None,
        parts=None,
    )
    one, other = last(model(batch)), last(model(masked))
    assert torch.equal(one.rotations, other.rotations)
    assert torch.equal(one.camera, other.camera)
    assert one.betas.shape[1] == (1 if model.centre_only else batch.length)


@pytest.mark.parametrize("name", OPTIONS)
def test_mixed_precision_gives_finite_losses_and_gradients(name: str, body: BodyLayer) -> None:
    # catches: dtypes that do not fit together under autocast, positions or softmax taken in half precision
    model, batch = small(name).train(), batch_of(name, body)
    totals = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = model(batch)
        terms = model.loss(output, batch, State(step=0, body=body))
        assert all(value.dtype == torch.float32 and value.isfinite() for value in terms.values())
        totals.append(terms["total"].item())
        model.zero_grad()
        terms["total"].backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads
        assert all(grad.isfinite().all() for grad in grads)
    assert totals[1] == pytest.approx(totals[0], rel=0.1)


@pytest.mark.parametrize("name", OPTIONS)
def test_unknown_labels_do_not_count(name: str, body: BodyLayer) -> None:
    # a source without SMPL labels, masks off and zeros in their place, must give no pose or shape loss
    model, batch = small(name).train(), batch_of(name, body)
    unknown = replace(
        batch,
        smpl_valid=torch.zeros_like(batch.smpl_valid),
        joints_valid=torch.zeros_like(batch.joints_valid),
        keypoints_2d=torch.zeros_like(batch.keypoints_2d),
    )
    output, state = model(unknown), State(step=0, body=body)
    terms = model.loss(output, unknown, state)
    assert all(terms[key].item() == 0 for key in ("pose", "shape", "joints_3d", "keypoints_2d"))
    if model.adversary is not None:
        assert model.adversary_loss(output, unknown, state).isfinite()


@pytest.mark.parametrize("name", OPTIONS)
def test_weights_carry_over_through_a_state_dict(name: str, body: BodyLayer) -> None:
    model, batch = small(name), batch_of(name, body)
    model.loss(model(batch), batch, State(step=0, body=body))
    torch.manual_seed(5)
    fresh = build(name, OPTIONS[name])
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(last(model.eval()(batch)).rotations, last(fresh.eval()(batch)).rotations)


def test_published_hrnet_weights_load_by_name_beside_a_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, other = HRNet(4, (1, 1, 1)).eval(), HRNet(4, (1, 1, 1)).eval()
    torch.save({**network.state_dict(), "classifier.weight": torch.zeros(10, 3)}, tmp_path / "hrnet.pth")
    assert load_weights(other, tmp_path / "hrnet.pth") == ["classifier.weight"]
    images = torch.randn(1, 3, 72, 72)
    local, coarse = network.pyramid(images)
    assert local.shape == (1, network.local_features, 18, 18)
    assert coarse.shape == (1, network.features, 3, 3)
    assert torch.equal(other(images), coarse)


@pytest.mark.parametrize("name", OPTIONS)
def test_it_trains_on_shards_and_its_checkpoint_predicts_every_frame(
    name: str, clips_folder: Path, tmp_path: Path
) -> None:
    # flow, part masks and occluded features come from the shards here, not from `small_batch`
    terms: list[dict[str, float]] = []
    settings = {"steps": 4, "batch": 2, "log_every": 2, "save_every": 4}
    run = Run(model=name, data=(clips_folder,), out=tmp_path / "run", preset="smoke", settings=settings, size=32)
    path = fit(run, report=lambda progress: terms.append(progress.terms))
    own = {"hpof": "flow", "spsnet": "occlusion", "tar": "keypoints_2d"}[name]
    assert len(terms) == 2
    assert all(t[own] > 0 for t in terms)
    model, _ = load_model(path)
    features = None if name == "tar" else tmp_path / "run" / "features" / "0"
    clips = Clips(clips_folder, 1, model.needs, features=features, size=32)
    view = next(iter(views(clips)))
    found = predict_frames(model, lambda a, b: view_batch(clips, view, a, b), view.frames)
    assert found.rotations.shape == (1, view.frames, 24, 3, 3)
    assert found.rotations.isfinite().all()
    assert (found.transl is not None) == (name == "tar")


@pytest.mark.parametrize("frames", [1, 3, 8, 9, 13, 40])
@pytest.mark.parametrize("history", [0, 4, 12])
def test_every_frame_is_kept_once_and_has_its_history(frames: int, history: int) -> None:
    seen, kept = layout(frames, 8, False, history)
    assert sorted(kept[kept >= 0].tolist()) == list(range(frames))
    assert (seen[kept >= 0] == kept[kept >= 0]).all()
    for row, own in zip(seen, kept, strict=True):
        first = own[own >= 0].min()
        assert row[0] == 0 or first - row[0] >= min(history, 7)
