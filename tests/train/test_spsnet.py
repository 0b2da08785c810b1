"""SPS-Net: counts, attention and fusion by hand, the losses without labels, and that it learns a handful of clips."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synth.errors import SynthError
from train.batch import State, count, last
from train.body import BodyLayer
from train.discriminators.attention import AttentionDiscriminator
from train.models import build
from train.models.hmr import HMR
from train.models.spsnet import Fusion, SPSNet, mask_loss
from train.nn.attention import TimeAttention
from train.nn.drawing import draw, topology_of
from train.nn.occlude import hide_keypoints

_SPEC = importlib.util.spec_from_file_location("small_batches", Path(__file__).with_name("small_batches.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
batches = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(batches)

PLAIN = {"mask": 0.0, "camera": 0.0, "adversarial": 0.0, "occlusion_camera": 0.0,
         "occlusion": {"pose": 0.0, "shape": 0.0, "keypoints_2d": 0.0, "joints_3d": 0.0}}  # fmt: skip


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


def tiny(**options: object) -> SPSNet:
    torch.manual_seed(0)
    model = build("spsnet", {"features": batches.FEATURES, "hidden": 64, "dropout": 0.0, **options})
    assert isinstance(model, SPSNet)
    return model


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, 51_430_779),
        ({"forecast": False}, 47_232_378),
        ({"temporal": "none"}, 34_643_322),
        ({"forecast_layers": 2}, 51_430_779 + 2048 * 2049),
    ],
)
def test_parameters_are_the_published_numbers(options: dict, wanted: int) -> None:
    with torch.device("meta"):
        model = build("spsnet", {"backbone": "resnet50", **options})
        assert isinstance(model, SPSNet)
        assert model.adversary is not None
        assert count(model.parameters()) - count(model.adversary.parameters()) == wanted
        # with one regressor only, which is what trains, and without the frozen frame model
        assert model.trainable() == wanted - 23_508_032 - 3_469_469
        assert count(model.adversary.parameters()) == count(AttentionDiscriminator().parameters()) == 27_307


def test_unknown_variants_are_refused() -> None:
    for option in ({"temporal": "lstm"}, {"mask_form": "three-sided"}, {"forecast_layers": 0}):
        with pytest.raises(SynthError):
            build("spsnet", option)


def test_attention_by_hand() -> None:
    # catches: scaled products, projected values, a missing residual, softmax over the wrong axis
    torch.manual_seed(1)
    attention = TimeAttention(6)
    f = torch.randn(2, 5, 6)
    q, k = attention.query(f).detach().numpy(), attention.key(f).detach().numpy()
    for b in range(2):
        for i in range(5):
            products = np.exp([float(q[b, i] @ k[b, j]) for j in range(5)])
            wanted = f[b, i].numpy() + sum(w * f[b, j].numpy() for j, w in enumerate(products / products.sum()))
            assert np.abs(attention(f)[b, i].detach().numpy() - wanted).max() < 1e-5


def test_fusion_takes_the_forecast_of_the_frame_before_and_the_first_frame_as_it_is() -> None:
    fusion = Fusion(3)
    torch.nn.init.zeros_(fusion.score.weight)
    attended, forecast = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    fused = fusion(attended, forecast)
    assert torch.equal(fused[:, 0], attended[:, 0])
    assert torch.allclose(fused[:, 2], 0.5 * (attended[:, 2] + forecast[:, 1]))
    torch.nn.init.constant_(fusion.score.weight, 100.0)
    fused = fusion(torch.ones(1, 3, 3), torch.zeros(1, 3, 3))
    assert torch.allclose(fused, torch.ones(1, 3, 3))


def test_the_shape_is_one_for_the_window(body: BodyLayer) -> None:
    model = tiny().eval()
    torch.nn.init.normal_(model.regressor.decshape.weight)
    prediction = last(model(batches.small_batch(body)))
    assert (prediction.betas == prediction.betas[:, :1]).all()
    assert "occluded" not in prediction.extra


def test_hiding_covers_boxes_around_seen_keypoints_only() -> None:
    torch.manual_seed(0)
    keypoints = torch.zeros(1, 1, 24, 3)
    keypoints[0, 0, :4] = torch.tensor([[-0.5, -0.5, 1.0], [0.5, -0.5, 1.0], [-0.5, 0.5, 1.0], [0.5, 0.5, 1.0]])
    images = torch.ones(1, 1, 3, 224, 224)
    hidden = hide_keypoints(images, keypoints)[0, 0, 0] == 0
    assert not hidden[104:120, 104:120].any()  # the unseen ones lie in the middle
    quarters = [hidden[:112, :112], hidden[:112, 112:], hidden[112:, :112], hidden[112:, 112:]]
    sides = [(int(q.any(0).sum()), int(q.any(1).sum())) for q in quarters if q.any()]
    assert len(sides) >= 3
    assert all(49 <= side <= 101 for pair in sides for side in pair)
    assert not (hide_keypoints(images, keypoints * torch.tensor([1.0, 1.0, 0.0])) == 0).any()


def test_mask_loss_asks_to_cover_the_person_and_two_sided_not_to_cover_more(body: BodyLayer) -> None:
    batch = batches.small_batch(body, clips=1, frames=2, size=32)
    truth = replace(body.labels(batch), camera=torch.tensor([0.9, 0.02, 0.1]).repeat(1, 2, 1))
    assert truth.vertices is not None
    meshes = truth.vertices.flatten(0, 1)
    _, coverage = draw(meshes, truth.camera[0], topology_of(body), torch.zeros(body.vertex_count, 1), 32)
    batch = replace(batch, parts=(coverage > 0.5).byte()[None])
    small, large = (replace(truth, camera=truth.camera * torch.tensor([f, 1.0, 1.0])) for f in (0.8, 1.2))
    loss = {form: [mask_loss(p, batch, body, 32, form).item() for p in (truth, small, large)]
            for form in ("one-sided", "two-sided")}  # fmt: skip
    assert loss["one-sided"][1] > 2 * loss["one-sided"][0]
    assert loss["two-sided"][2] > loss["one-sided"][2] + 0.1
    assert loss["two-sided"][0] < min(loss["two-sided"][1:])
    assert batch.parts is not None
    empty = replace(batch, parts=torch.zeros_like(batch.parts))
    assert mask_loss(large, empty, body, 32, "two-sided").item() == 0.0


def test_every_loss_reaches_every_part(body: BodyLayer) -> None:
    model = tiny(mask_size=24)
    batch = batches.small_batch(body, clips=2, frames=4, size=24, occluded=True)
    output = model(batch)
    terms = model.loss(output, batch, State(step=0, body=body))
    assert set(terms) == {"keypoints_2d", "joints_3d", "pose", "shape", "mask", "adversarial", "feature", "camera",
                          "occlusion", "total"}  # fmt: skip
    assert all(value.item() > 0 for value in terms.values())
    terms["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.adversary is not None
    model.adversary.zero_grad()
    model.adversary_loss(output, batch, State(step=0, body=body)).backward()
    assert any(bool((p.grad != 0).any()) for p in model.adversary.parameters() if p.grad is not None)


def test_what_is_hidden_learns_from_what_is_whole_and_not_the_other_way_round(body: BodyLayer) -> None:
    model = tiny(**{**PLAIN, "occlusion_camera": 1.0}).eval()
    batch = batches.small_batch(body)
    whole = last(model(batch))
    hidden = replace(
        whole,
        rotations=whole.rotations.detach(),
        betas=whole.betas.detach(),
        camera=(whole.camera + 0.1).detach().requires_grad_(),
    )
    model._occlusion_loss(hidden, whole).backward()
    assert hidden.camera.grad is not None
    assert (hidden.camera.grad > 0).all()
    assert all(p.grad is None for p in model.parameters())


def test_a_frozen_frame_model_stays_as_it_was_and_gives_features_to_both_kinds_of_frames(body: BodyLayer) -> None:
    model = tiny(backbone="resnet-tiny", mask=0.0)
    assert model.needs == {"images"}
    assert model.labels == set()
    batch = batches.small_batch(body, clips=1, frames=3, size=64)
    assert model.frame_model is not None
    before = {name: value.clone() for name, value in model.frame_model.state_dict().items()}
    model.train()
    model.loss(model(batch), batch, State(step=0, body=body))["total"].backward()
    assert all(torch.equal(value, before[name]) for name, value in model.frame_model.state_dict().items())
    assert all(p.grad is None for p in model.frame_model.parameters())


def test_it_starts_from_a_frame_model_in_both_places() -> None:
    model, hmr = tiny(backbone="resnet-tiny"), build("hmr", {"backbone": "resnet-tiny", "hidden": 64})
    assert isinstance(hmr, HMR)
    state = hmr.state_dict()
    model.start_from(state)
    assert model.frame_model is not None
    assert torch.equal(model.regressor.fc1.weight, state["regressor.fc1.weight"])
    assert torch.equal(model.frame_model.regressor.fc1.weight, state["regressor.fc1.weight"])
    assert torch.equal(model.frame_model.backbone.conv1.weight, state["backbone.conv1.weight"])
    with pytest.raises(SynthError, match="fc1"):
        model.start_from({k: v for k, v in state.items() if "fc1" not in k})
    with pytest.raises(SynthError, match="size"):
        model.start_from(build("hmr", {"backbone": "resnet-tiny", "hidden": 32}).state_dict())


@pytest.mark.parametrize("options", [{}, {"temporal": "gru"}, {"temporal": "none"}, {"forecast": False}])
def test_it_learns_a_handful_of_clips(body: BodyLayer, options: dict) -> None:
    model = tiny(**PLAIN, **options)
    batch = batches.small_batch(body)
    optimiser = torch.optim.Adam(model.parameter_groups(3e-3))
    totals = []
    for step in range(120 if not options else 15):
        terms = model.loss(model(batch), batch, State(step=step, body=body))
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        totals.append(terms["total"].item())
    assert totals[-1] < 0.6 * totals[0]
    if not options:
        assert batches.error_mm(model, batch, body) < 35.0
