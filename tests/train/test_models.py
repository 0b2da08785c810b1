"""The networks: published sizes, what depends on what, and that each can fit a handful of clips."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synth.errors import SynthError
from train.batch import Batch, State, TemporalModel, count, last
from train.body import BodyLayer
from train.clips import Clips, stack
from train.models import MODELS, build
from train.models.smoothing import OneEuro
from train.presets import model_options

PUBLISHED = {"hmr": 26_977_501, "vibe": 21_309_597, "tcmr": 81_907_360}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameters_are_those_of_the_published_code(name: str, parameters: int) -> None:
    with torch.device("meta"):
        model = build(name)
    assert model.trainable() == parameters
    if model.adversary is not None:
        assert count(model.parameters()) > parameters  # catches a discriminator counted, or not registered


def test_mviper_s_parts_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        model = build("mviper")
        frame = build("hmr")
        bare = build("mviper", {"attention": False, "previous": False})
    assert count(model.lstm.parameters()) == 51_044_352  # inputs 2048 + 2048 + 85
    assert {n for n, _ in frame.named_parameters()} < {n for n, _ in model.named_parameters()}
    assert bare.lstm.weight_ih.shape[1] == 2048


def make_batch(clips: int, frames: int, needs: frozenset[str], width: int = 64, size: int = 64) -> Batch:
    """Random pictures and features with labels at rest."""
    rng = torch.Generator().manual_seed(0)
    shape = (clips, frames)
    return Batch(
        keypoints_2d=torch.rand(*shape, 24, 3, generator=rng),
        joints_3d=torch.rand(*shape, 24, 3, generator=rng),
        joints_valid=torch.ones(*shape, 24, dtype=torch.bool),
        rotations=torch.eye(3).expand(*shape, 24, 3, 3),
        betas=torch.zeros(*shape, 10),
        smpl_valid=torch.ones(*shape, dtype=torch.bool),
        pelvis=torch.tensor([0.0, 0.0, 5.0]).expand(*shape, 3),
        box=torch.tensor([50.0, 50.0, 80.0]).expand(*shape, 3),
        image_size=torch.full((clips, 2), 100.0),
        K=torch.tensor([[500.0, 0, 50], [0, 500, 50], [0, 0, 1]]).expand(clips, 3, 3),
        box_rotation=torch.zeros(clips),
        flipped=torch.zeros(clips, dtype=torch.bool),
        fps=torch.full((clips,), 30.0),
        gender=torch.arange(clips) % 3,
        images=torch.randn(*shape, 3, size, size, generator=rng) if "images" in needs else None,
        features=torch.randn(*shape, width, generator=rng) if "features" in needs else None,
        feature_maps=torch.randn(*shape, width, 2, 2, generator=rng) if "feature_maps" in needs else None,
    )


def tiny(name: str, **more: object) -> TemporalModel:
    torch.manual_seed(0)
    return build(name, {**model_options("smoke", name), **more}).eval()


@pytest.mark.parametrize("name", ["hmr", "mviper", "vibe", "tcmr"])
def test_a_clip_s_prediction_does_not_depend_on_the_others_in_the_batch(name: str) -> None:
    model = tiny(name)
    batch = make_batch(3, 4, model.needs)
    with torch.no_grad():
        together = last(model(batch)).rotations
        alone = last(model(batch.clips(slice(1, 2)))).rotations
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "later", "sees"), [("hmr", {}, False), ("mviper", {}, False), ("vibe", {"bidirectional": True}, True)]
)
def test_who_looks_into_the_future(name: str, later: dict, sees: bool) -> None:
    # MVIPER and one-way GRUs are causal; a two-way GRU is not
    model = tiny(name, **later)
    batch = make_batch(1, 4, model.needs)
    field = "images" if "images" in model.needs else "features"
    changed = getattr(batch, field).clone()
    changed[:, 3] += 1.0
    with torch.no_grad():
        before, after = (last(model(b)).rotations for b in (batch, replace(batch, **{field: changed})))
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-6)
    assert (not torch.allclose(before[:, :3], after[:, :3], atol=1e-6)) == sees


def test_mviper_remembers_and_attends() -> None:
    model = tiny("mviper")
    batch = make_batch(2, 4, model.needs)
    assert batch.images is not None
    changed = batch.images.clone()
    changed[:, 0] += 1.0
    with torch.no_grad():
        before, after = last(model(batch)), last(model(replace(batch, images=changed)))
    assert not torch.allclose(before.rotations[:, 3], after.rotations[:, 3], atol=1e-7)
    weights = before.extra["attention"]
    assert weights.shape == (2, 4, 4)  # 64 pixels at stride 32: 2 x 2 places
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4), atol=1e-5)


def test_mviper_from_frozen_features_equals_mviper_from_images() -> None:
    model = tiny("mviper")
    frozen = tiny("mviper", backbone="", features=64)
    frozen.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("backbone.")})
    batch = make_batch(1, 3, model.needs)
    assert batch.images is not None
    with torch.no_grad():
        maps = model.backbone(batch.images[0])[None]
        wanted = last(model(batch)).rotations
        found = last(frozen(replace(batch, images=None, features=maps.mean((3, 4)), feature_maps=maps))).rotations
    assert torch.allclose(found, wanted, atol=1e-6)


def test_two_stage_training_copies_encoder_and_regressor_and_refuses_others() -> None:
    frame, video = tiny("hmr"), tiny("mviper")
    copied = video.start_from(frame.state_dict())
    assert torch.equal(video.regressor.fc1.weight, frame.regressor.fc1.weight)
    assert torch.equal(video.backbone.conv1.weight, frame.backbone.conv1.weight)
    assert not any(name.startswith("lstm") for name in copied)
    with pytest.raises(SynthError, match="another size"):
        tiny("mviper", hidden=32).start_from(frame.state_dict())
    with pytest.raises(SynthError, match="encoder"):
        tiny("mviper").start_from(tiny("vibe").state_dict())


@pytest.mark.parametrize(
    ("off", "left"),
    [
        ({"joints_3d": 0, "pose": 0, "shape": 0}, {"keypoints_2d"}),
        ({"pose": 0, "shape": 0}, {"keypoints_2d", "joints_3d"}),
        ({"joints_3d": 0}, {"keypoints_2d", "pose", "shape"}),
        ({"keypoints_2d": 0}, {"joints_3d", "pose", "shape"}),
        ({}, {"keypoints_2d", "joints_3d", "pose", "shape"}),
    ],
)
def test_the_losses_of_mviper_s_table_4_can_be_chosen(off: dict, left: set[str], body: BodyLayer) -> None:
    model = tiny("mviper", weights={k: float(v) for k, v in off.items()}, smoothness=0.0)
    batch = make_batch(1, 3, model.needs)
    assert set(model.loss(model(batch), batch, State(step=0, body=body))) == left | {"total"}


def test_labels_that_do_not_exist_teach_nothing(body: BodyLayer) -> None:
    # lambda = 0 of MVIPER's L: without 3D labels only the seen keypoints count, without any the gradient is zero
    model = tiny("vibe", adversarial=0.0)
    batch = make_batch(1, 4, model.needs)
    none = replace(
        batch,
        joints_valid=torch.zeros_like(batch.joints_valid),
        smpl_valid=torch.zeros_like(batch.smpl_valid),
        keypoints_2d=batch.keypoints_2d * 0,
    )
    model.loss(model(none), none, State(step=0, body=body))["total"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


def test_the_one_euro_filter_calms_noise_and_keeps_a_constant() -> None:
    rng = torch.Generator().manual_seed(0)
    still = torch.ones(60, 4)
    noisy = still + 0.1 * torch.randn(60, 4, generator=rng)
    euro = OneEuro()
    assert torch.allclose(euro.filter(still, 30.0), still)
    calmed = euro.filter(noisy, 30.0)
    assert (calmed.diff(dim=0).std() / noisy.diff(dim=0).std()) < 0.5
    # by hand: first step of a jump by 1 at 30 Hz with beta 0 and cutoff 1 Hz goes 1 / (1 + 30 / 2 pi)
    jump = torch.tensor([[0.0], [1.0]])
    assert torch.allclose(OneEuro(beta=0.0).filter(jump, 30.0)[1], torch.tensor([0.1732]), atol=1e-4)


def test_an_untrained_smoothnet_changes_nothing() -> None:
    model = tiny("smoothnet")
    batch = replace(make_batch(2, 4, frozenset()), features=torch.randn(2, 4, 157))
    assert torch.equal(last(model(batch)).extra["theta"], batch.features)


def test_unknown_models_and_options_are_named() -> None:
    with pytest.raises(SynthError, match="'vibes' is unknown"):
        build("vibes")
    with pytest.raises(SynthError, match="unknown field 'windw'"):
        build("hmr", {"windw": 3})
    with pytest.raises(SynthError, match="expected int"):
        build("hmr", {"window": "many"})


OVERFIT = {"hmr": (100, 3e-3, 40.0), "mviper": (100, 3e-3, 45.0), "vibe": (120, 2e-3, 45.0), "tcmr": (100, 2e-3, 30.0)}
"""Steps, rate, and the PA-MPJPE [mm] that must be reached on the clips trained on."""


@pytest.mark.parametrize("name", OVERFIT)
def test_it_fits_a_handful_of_clips(name: str, clips_folder: Path, body: BodyLayer) -> None:
    from train.metrics import aligned, position_error

    steps, rate, bound = OVERFIT[name]
    model = tiny(name, **({"adversarial": 0.0} if name == "vibe" else {}), dropout=0.0)
    images = Clips(clips_folder, 4, frozenset({"images"}), size=64)
    batch = stack([images[i] for i in range(0, len(images), 3)])
    if "features" in model.needs:  # each frame's picture, coarse, as its feature
        assert batch.images is not None
        pooled = torch.nn.functional.adaptive_avg_pool2d(batch.images.flatten(0, 1).mean(1), 8)
        batch = replace(batch, features=5 * pooled.flatten(1).unflatten(0, (len(batch), 4)), images=None)
    optimizer = torch.optim.Adam(model.parameter_groups(rate))
    model.train()
    state = State(step=0, body=body)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(model(batch), batch, state)["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        output = last(model(batch))
        labels = batch.frames(slice(2, 3)) if model.centre_only else batch
        joints = body.complete(output, labels).joints
    assert joints is not None
    points, wanted = (x.flatten(0, 1).double().numpy() for x in (joints, labels.joints_3d))
    reached = position_error(aligned(points, wanted), wanted).mean()
    assert reached < bound


def test_smoothnet_learns_to_take_noise_off(clips_folder: Path, body: BodyLayer) -> None:
    from train.metrics import acceleration_error, aligned, position_error
    from train.rotations import matrix_to_six

    clips = Clips(clips_folder, 4, frozenset())
    batch = stack([clips[i] for i in range(0, len(clips), 2)])
    clean = torch.cat([matrix_to_six(batch.rotations).flatten(2), batch.betas, torch.zeros(len(batch), 4, 3)], dim=-1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    batch = replace(batch, features=clean + 0.05 * noise)
    model = tiny("smoothnet", dropout=0.0, weights={"keypoints_2d": 0.0})

    def errors() -> tuple[float, float]:
        with torch.no_grad():
            joints = body.complete(last(model(batch)), batch).joints
        assert joints is not None
        points, wanted = joints.double().numpy(), batch.joints_3d.double().numpy()
        pairs = list(zip(points, wanted, strict=True))
        position = sum(position_error(aligned(p, w), w).mean() for p, w in pairs)
        return position / len(pairs), sum(acceleration_error(p, w).mean() for p, w in pairs) / len(pairs)

    before = errors()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(model(batch), batch, State(step=0, body=body))["total"].backward()
        optimizer.step()
    after = errors()
    assert after[0] < 0.8 * before[0], (before, after)
    assert after[1] < 0.6 * before[1], (before, after)


def test_every_model_of_the_list_can_be_asked_for() -> None:
    assert set(PUBLISHED) < set(MODELS)
