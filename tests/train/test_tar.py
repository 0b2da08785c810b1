"""TAR: camera, look-up and ConvGRU against other ways to compute them, its switches, and that it learns some clips."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synth.errors import SynthError
from train.backbones import backbone
from train.batch import State, TemporalModel, count
from train.body import BodyLayer
from train.crops import Crop
from train.models import build
from train.models.tar import TAR
from train.nn.convgru import ConvGRU, LocalEncoder
from train.nn.fullimage import FullImage
from train.nn.groups import GroupedGRU, GroupedLinear
from train.nn.markers import look_up, marker_body, spread_points

_SPEC = importlib.util.spec_from_file_location("small_batches", Path(__file__).with_name("small_batches.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
batches = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(batches)


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


def tiny(**options: object) -> TAR:
    torch.manual_seed(0)
    small = {"backbone": "resnet-tiny", "width": 32, "layers": 2, "heads": 2, "dropout": 0.0, "local_width": 8,
             "state": 16, "markers": 26, "marker_dropout": 0.0, "window": 5, "local": 3}  # fmt: skip
    model = build("tar", {**small, **options})
    assert isinstance(model, TAR)
    return model


def test_sizes_are_near_the_published_ones_and_grow_alike() -> None:
    # 25.0, 29.9, 34.3, 38.5 M without the encoder (table S3); heads and samplers are not given by the paper
    sizes = []
    for shrink in (1, 2, 4, 8):
        with torch.device("meta"):
            model = build("tar", {"shrink": shrink})
        assert isinstance(model, TAR)
        sizes.append(model.trainable() - count(model.backbone.parameters()))
    assert sizes[0] == 23_686_392
    assert np.abs(np.array(sizes) / 1e6 - [25.0, 29.9, 34.3, 38.5]).max() < 1.5
    assert count(model.marker_body.parameters()) == 0


def test_hrnet_has_the_published_size_and_maps_of_four_strides() -> None:
    with torch.device("meta"):
        network = backbone("hrnet-w48")
    state = network.state_dict()
    # the published pose network ends in one branch only and has a layer for 17 keypoints
    last = sum(state[n].numel() for n, _ in network.named_parameters() if n.startswith(
        ("stage4.2.fuse_layers.1", "stage4.2.fuse_layers.2", "stage4.2.fuse_layers.3")))  # fmt: skip
    assert count(network.parameters()) - last + 48 * 17 + 17 == 63_595_745
    for name in ("transition1.1.0.0.weight", "transition3.3.0.1.bias", "stage3.3.fuse_layers.2.0.1.0.weight",
                 "stage4.0.branches.3.3.bn2.running_var", "stage2.0.fuse_layers.0.1.0.weight"):  # fmt: skip
        assert name in state


@pytest.mark.parametrize("option", [{"encoders": "none"}, {"local": 4}, {"local": 11}])
def test_impossible_options_are_refused(option: dict) -> None:
    with pytest.raises(SynthError):
        build("tar", option)


def test_the_crop_s_camera_agrees_with_the_full_picture_s(body: BodyLayer) -> None:
    # an independent way: place the body, project by K, cut the (turned) crop
    rng = np.random.default_rng(0)
    batch = batches.small_batch(body, clips=4, frames=1)
    angle = rng.uniform(-0.6, 0.6, 4)
    box = np.column_stack([rng.uniform(40, 280, 4), rng.uniform(40, 200, 4), rng.uniform(60, 150, 4)])
    batch = replace(
        batch,
        box=torch.tensor(box, dtype=torch.float32)[:, None],
        box_rotation=torch.tensor(angle, dtype=torch.float32),
    )
    picture = FullImage.of(batch, 0)
    camera = torch.tensor(rng.normal([0.9, 0, 0], 0.1, (4, 3)), dtype=torch.float32)
    points = torch.tensor(rng.normal(0, 0.4, (4, 7, 3)), dtype=torch.float32)
    translation = picture.translation(camera)
    crops = picture.project(points, translation).numpy()
    pelvis = picture.unturned(translation).numpy()
    for i in range(4):
        c, s = np.cos(-angle[i]), np.sin(-angle[i])
        unturned = points[i].numpy() @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + pelvis[i]
        pixels = unturned @ batch.K[i].numpy().T
        crop = Crop(x=box[i, 0], y=box[i, 1], side=box[i, 2], angle=angle[i])
        assert np.abs(crop.to_crop(pixels[:, :2] / pixels[:, 2:]) - crops[i]).max() < 1e-4
    # the pelvis itself is where the weak-perspective camera sees it
    zero = picture.project(torch.zeros(4, 1, 3), translation)[:, 0]
    assert torch.allclose(zero, camera[:, :1] * camera[:, 1:], atol=1e-5)


def test_the_box_vector_is_cliff_s() -> None:
    picture = FullImage(
        focal=torch.tensor([[500.0, 500.0]]), offset=torch.tensor([[50.0, -25.0]]), side=torch.tensor([150.0]),
        angle=torch.zeros(1),
    )  # fmt: skip
    assert torch.allclose(picture.box_vector(), torch.tensor([[0.28, -0.14, (150 - 120) / 30]]), atol=1e-6)


def test_looking_up_reads_the_pixels_around_each_point_in_its_own_map() -> None:
    maps = torch.randn(2, 3, 12, 16)
    points = torch.tensor([[5.0, 4.0], [10.0, 7.0], [15.0, 0.0]])  # column and row
    crop = (torch.stack([points[:, 0] / 16, points[:, 1] / 12], 1) + torch.tensor([0.5 / 16, 0.5 / 12])) * 2 - 1
    found = look_up(maps, crop.repeat(2, 1, 1), 3).reshape(2, 3, 7, 7)
    padded = torch.nn.functional.pad(maps, (3, 3, 3, 3))
    for k, (x, y) in enumerate(points.int().tolist()):
        assert torch.allclose(found[:, k], padded[:, k, y : y + 7, x : x + 7], atol=1e-4)


def test_conv_gru_follows_its_equations_and_reads_both_halves_towards_the_middle() -> None:
    torch.manual_seed(0)
    gru = ConvGRU(3)
    m, h = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    weight, bias = gru.gates.weight, gru.gates.bias
    z = torch.sigmoid(torch.conv2d(m, weight[:3, :3], padding=1) + torch.conv2d(h, weight[:3, 3:], bias[:3], padding=1))
    r = torch.sigmoid(torch.conv2d(m, weight[3:, :3], padding=1) + torch.conv2d(h, weight[3:, 3:], bias[3:], padding=1))
    w, b = gru.candidate.weight, gru.candidate.bias
    new = torch.tanh(torch.conv2d(m, w[:, :3], b, padding=1) + torch.conv2d(r * h, w[:, 3:], padding=1))
    assert torch.allclose(gru.step(m, h), (1 - z) * h + z * new, atol=1e-5)
    encoder, maps = LocalEncoder(3), torch.randn(1, 5, 3, 6, 6)
    past, future = gru(maps[:, :3]), None
    encoder.past.load_state_dict(gru.state_dict())
    encoder.future.load_state_dict(gru.state_dict())
    future = gru(maps[:, [4, 3, 2]])
    assert torch.allclose(encoder(maps), encoder.join(torch.cat([past, future], 1)), atol=1e-5)
    assert LocalEncoder(3, 2)(torch.randn(1, 3, 3, 9, 9)).shape == (1, 3, 9, 9)
    with pytest.raises(ValueError, match="power"):
        LocalEncoder(3, 3)


def test_grouped_cells_are_separate_networks() -> None:
    torch.manual_seed(0)
    linear, x = GroupedLinear(4, 3, 2), torch.randn(5, 4, 3)
    wanted = torch.stack([x[:, g] @ linear.weight[g] + linear.bias[g] for g in range(4)], 1)
    assert torch.allclose(linear(x), wanted, atol=1e-6)
    gru, state = GroupedGRU(4, 3, 2), torch.randn(1, 4, 2, requires_grad=True)
    gru(state, torch.randn(1, 3))[0, 2].sum().backward()
    assert state.grad is not None
    assert (state.grad[0].abs().sum(1) > 0).tolist() == [False, False, True, False]


def test_markers_are_vertices_of_the_body_spread_over_it(body: BodyLayer) -> None:
    markers = marker_body("free", 26)
    template = body.get_buffer("v_template")[0]
    chosen = spread_points(template, 26)
    torch.manual_seed(0)
    rotations = torch.linalg.qr(torch.eye(3) + 0.2 * torch.randn(2, 24, 3, 3))[0]
    rotations = rotations * torch.det(rotations)[..., None, None]
    betas, neutral = torch.randn(2, 10), torch.zeros(2, dtype=torch.int64)
    assert torch.allclose(
        markers(rotations, betas, neutral)[0], body(rotations, betas, neutral)[0][:, chosen], atol=1e-5
    )
    apart = torch.cdist(template[chosen], template[chosen]) + 9 * torch.eye(26)
    assert apart.min() > 0.1
    with pytest.raises(ValueError, match="markers"):
        spread_points(template, 0)


def test_the_result_depends_on_the_whole_window_globally_and_on_its_middle_locally(body: BodyLayer) -> None:
    batch = batches.small_batch(body, clips=1, frames=5, size=64)
    reach = {"both": 5, "global": 5, "local": 3}
    for encoders, wanted in reach.items():
        model = tiny(encoders=encoders).eval()
        assert batch.images is not None
        images = batch.images.clone().requires_grad_()
        output = model(replace(batch, images=images))
        assert len(output) == 1
        output[0].rotations.sum().backward()
        assert images.grad is not None
        assert int((images.grad[0].abs().sum((1, 2, 3)) > 0).sum()) == wanted


def test_steps_start_from_a_detached_estimate(body: BodyLayer) -> None:
    # ReFit and TAR cut the gradient between iterations: the last theta depends on the first only through the states
    model = tiny(iterations=2).train()
    batch = batches.small_batch(body, clips=1, frames=5, size=64)
    outputs = model(batch)
    assert len(outputs) == 3
    outputs[-1].extra["theta"][0, 0, 0].backward()
    assert model.heads.pose.weight.grad is not None
    bias = model.heads.pose.bias.grad
    assert bias is not None
    assert bias[0, 0, 0].item() == pytest.approx(1.0)  # not 3: one addition, not three
    assert not torch.equal(outputs[0].extra["theta"], outputs[-1].extra["theta"])


def test_later_steps_count_more(body: BodyLayer) -> None:
    model = tiny(iterations=1, gamma=0.5)
    batch = batches.small_batch(body, clips=1, frames=5, size=64)
    outputs, state = model(batch), State(step=0, body=body)
    both = model.loss(outputs, batch, state)["total"]
    each = [model.loss([one], batch, state)["total"] for one in outputs]
    assert both.item() == pytest.approx(0.5 * each[0].item() + each[1].item(), rel=1e-5)


def test_the_wrong_number_of_frames_is_refused(body: BodyLayer) -> None:
    with pytest.raises(ValueError, match="5 frames"):
        tiny()(batches.small_batch(body, clips=1, frames=4, size=64))


def train(model: TemporalModel, body: BodyLayer, steps: int) -> tuple[list[float], float]:
    batch = batches.small_batch(body, clips=3, frames=model.window, size=64)
    optimiser = torch.optim.Adam(model.parameter_groups(3e-3))
    totals = []
    for step in range(steps):
        terms = model.loss(model(batch), batch, State(step=step, body=body))
        optimiser.zero_grad()
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 4.0)
        optimiser.step()
        totals.append(terms["total"].item())
    assert all(p.grad is not None for p in model.parameters())
    return totals, batches.error_mm(model, batch, body)


def test_it_learns_a_handful_of_clips(body: BodyLayer) -> None:
    totals, error = train(tiny(), body, 60)
    assert totals[-1] < 0.3 * totals[0]
    assert error < 40.0


@pytest.mark.parametrize("options", [{"refine": False}, {"encoders": "local", "shrink": 2}, {"encoders": "global"}])
def test_its_ablations_learn_too(body: BodyLayer, options: dict) -> None:
    totals, _ = train(tiny(**options), body, 8)
    assert totals[-1] < 0.9 * totals[0]
