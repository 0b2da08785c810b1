"""HPOF: shape control, streaming, losses by hand, and that it learns a handful of clips."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from train.batch import Batch, State, TemporalModel, last
from train.body import BodyLayer
from train.losses import Weights
from train.models import build
from train.models.hpof import HPOF, HPOFConfig, acceleration_loss, flow_loss, pooled_shape
from train.nn.drawing import draw, gradient_colours, topology_of

_SPEC = importlib.util.spec_from_file_location("small_batches", Path(__file__).with_name("small_batches.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
batches = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(batches)

SMALL = {"features": batches.FEATURES, "hidden": 32, "channels": 24, "dropout": 0.0}


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


def tiny(**options: object) -> HPOF:
    torch.manual_seed(0)
    model = build("hpof", {**SMALL, "flow": 0.0, "adversarial": 0.0, **options})
    assert isinstance(model, HPOF)
    return model


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="temporal"):
        HPOFConfig(temporal="lstm")


def test_the_shape_is_one_vector_for_the_clip_and_the_mean_of_all_frames() -> None:
    betas = torch.randn(2, 5, 10)
    assert torch.allclose(pooled_shape(betas), betas.mean(1, keepdim=True).expand_as(betas), atol=1e-6)
    running = pooled_shape(betas, past_only=True)
    assert torch.allclose(running[:, 3], betas[:, :4].mean(1), atol=1e-6)


@pytest.mark.parametrize("shape", ["clip", "running", "frame"])
def test_shape_control_reaches_the_prediction(body: BodyLayer, shape: str) -> None:
    model = tiny(shape=shape).eval()
    torch.nn.init.normal_(model.regressor.decshape.weight)
    betas = last(model(batches.small_batch(body))).betas
    assert bool((betas[:, 1:] == betas[:, :-1]).all()) == (shape == "clip")


@pytest.mark.parametrize("given", [False, True])
def test_the_stream_gives_what_the_dense_model_gives(body: BodyLayer, given: bool) -> None:
    # given betas: the clip's own pooled shape, for which the published form is matched
    model = tiny(shape="clip" if given else "running")
    batch = batches.small_batch(body, clips=2, frames=20)
    model(batch)
    torch.nn.init.normal_(model.regressor.decshape.weight, std=0.3)
    dense = last(model.eval()(batch))
    assert batch.features is not None
    stream = model.stream(dense.betas[:, 0] if given else None)
    thetas = torch.cat([stream.push(frame).extra["theta"] for frame in batch.features.unbind(1)], dim=1)
    assert torch.allclose(thetas, dense.extra["theta"], atol=1e-5)
    assert torch.allclose(model.dense()(dense.extra["frame_theta"]), dense.extra["theta"], atol=1e-5)


def test_only_convolutions_stream() -> None:
    with pytest.raises(ValueError, match="tcn"):
        tiny(temporal="gru").eval().dense()
    with pytest.raises(ValueError, match="tcn"):
        tiny(temporal="gru").eval().stream()


def test_acceleration_loss_by_hand() -> None:
    # one joint of one frame is off by 3 cm: accelerations are off by 3, 6 and 3 cm in the three triples with it
    wanted = torch.randn(1, 7, 24, 3)
    joints = wanted.clone()
    joints[0, 3, 5, 1] += 0.03
    valid = torch.ones(1, 7, 24, dtype=torch.bool)
    by_hand = (0.03**2 + 0.06**2 + 0.03**2) / (5 * 24 * 3)
    assert acceleration_loss(joints, wanted, valid).item() == pytest.approx(by_hand, rel=1e-3)
    valid[0, 3, 5] = False
    assert acceleration_loss(joints, wanted, valid).item() < 1e-9
    assert acceleration_loss(joints[:, :2], wanted[:, :2], valid[:, :2]).item() == 0.0


def moved(body: BodyLayer, shift: float) -> tuple[Batch, torch.Tensor]:
    """A rigid body that moves to the right by `shift` in crop units, with the flow that this means."""
    batch = batches.small_batch(body, clips=1, frames=2, size=64)
    still = {name: getattr(batch, name)[:, :1].repeat_interleave(2, 1) for name in ("rotations", "betas")}
    flow = torch.zeros_like(batch.flow)
    flow[:, 0, 0] = shift
    camera = torch.tensor([[[0.9, 0.0, 0.1], [0.9, shift / 0.9, 0.1]]])
    return replace(batch, flow=flow, parts=None, **still), camera


def test_flow_loss_is_small_for_the_true_motion_and_pulls_towards_it(body: BodyLayer) -> None:
    # catches: flow read at the wrong frame, in the wrong direction or unit; a loss that blank pictures minimise
    batch, camera = moved(body, 0.125)
    truth = replace(body.labels(batch), camera=camera)
    here = flow_loss(truth, batch, body, 64)
    losses = {}
    for off in (-0.06, -0.03, 0.03, 0.06):
        wrong = camera.clone()
        wrong[0, 1, 1] += off
        losses[off] = flow_loss(replace(truth, camera=wrong), batch, body, 64).item()
    assert here.item() < 0.3 * min(losses[-0.03], losses[0.03])
    assert losses[-0.03] < losses[-0.06]
    assert losses[0.03] < losses[0.06]
    start = camera.clone()
    start[0, 1, 1] += 0.04
    start.requires_grad_()
    flow_loss(replace(truth, camera=start), batch, body, 64).backward()
    assert start.grad is not None
    assert start.grad[0, 1, 1] > 0


def test_unknown_flow_does_not_count(body: BodyLayer) -> None:
    batch, camera = moved(body, 0.125)
    wrong = replace(body.labels(batch), camera=camera * torch.tensor([1.0, -1.0, 1.0]))
    nothing = replace(batch, flow_valid=torch.zeros_like(batch.flow_valid))
    assert flow_loss(wrong, batch, body, 64).item() > 10
    assert flow_loss(wrong, nothing, body, 64).item() == 0.0


def test_colours_tell_places_on_the_body_apart(body: BodyLayer) -> None:
    template = body.get_buffer("v_template")[0]
    colours = gradient_colours(template)
    assert (colours.amin().item(), colours.amax().item()) == (0.0, 1.0)
    mesh = body(torch.eye(3).repeat(1, 24, 1, 1), torch.zeros(1, 10), torch.zeros(1, dtype=torch.int64))[0]
    picture, coverage = draw(mesh, torch.tensor([[0.9, 0.0, 0.2]]), topology_of(body), colours, 48)
    assert picture.shape == (1, 3, 48, 48)
    assert 0.05 < coverage.mean().item() < 0.4


def steps(model: TemporalModel, batch: Batch, body: BodyLayer, count: int, lr: float) -> list[dict[str, float]]:
    """Train on one batch; the losses of every step."""
    optimiser = torch.optim.Adam(model.parameter_groups(lr))
    opponent = None if model.adversary is None else torch.optim.Adam(model.adversary.parameters(), lr=1e-4)
    history = []
    for step in range(count):
        output = model(batch)
        terms = model.loss(output, batch, State(step=step, body=body))
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        if opponent is not None:
            opponent.zero_grad()
            model.adversary_loss(output, batch, State(step=step, body=body)).backward()
            opponent.step()
        history.append({name: value.item() for name, value in terms.items()})
    return history


def test_every_loss_reaches_every_part(body: BodyLayer) -> None:
    model = tiny(flow=0.0004, adversarial=0.5, flow_size=32)
    batch = batches.small_batch(body, clips=2, frames=4, size=32)
    history = steps(model, batch, body, 1, 1e-3)[0]
    wanted = {"keypoints_2d", "joints_3d", "pose", "shape", "regressor", "acceleration", "adversarial", "flow", "total"}
    assert set(history) == wanted
    assert all(value >= 0 for value in history.values())
    for part in (model.regressor, model.temporal):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
        assert any(bool((p.grad != 0).any()) for p in part.parameters() if p.grad is not None)


def test_it_learns_a_handful_of_clips(body: BodyLayer) -> None:
    model = tiny(channels=64, hidden=64, blocks=1, regressor_rate=1.0)
    batch = batches.small_batch(body)
    before = batches.error_mm(model, batch, body)
    history = steps(model.train(), batch, body, 100, 3e-3)
    assert history[-1]["total"] < 0.15 * history[0]["total"]
    assert batches.error_mm(model, batch, body) < min(32.0, before / 2)  # 12 with AVX-512, 18 with AVX2


@pytest.mark.parametrize("temporal", ["gru", "transformer"])
def test_the_other_variants_learn_too(body: BodyLayer, temporal: str) -> None:
    model = tiny(temporal=temporal, channels=64, hidden=64, regressor_rate=1.0)
    history = steps(model, batches.small_batch(body), body, 40, 1e-3)
    assert history[-1]["total"] < 0.7 * history[0]["total"]


def test_rates_follow_the_paper() -> None:
    groups = tiny().parameter_groups(5e-5)
    assert [group["lr"] for group in groups] == pytest.approx([5e-5, 1e-5])
    assert Weights() == HPOFConfig().weights
