"""Optical flow of real video: files, there and back again, how RAFT is asked, and what HPOF makes of it."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import small_batches as batches
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from synth.errors import SynthError
from train import flow as flows
from train.augment import Change
from train.batch import State
from train.body import BodyLayer
from train.clips import stack
from train.crops import Crop, flow_between
from train.models import build
from train.models.hpof import flow_loss
from train.models.spsnet import mask_loss
from train.presets import model_options
from train.real.clips import RealClips
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

Array = np.ndarray


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


class Sliding(Source):
    """Six pictures of noise that slide by (3, 1) pixels a frame, with a box and two keypoints."""

    name = "sliding"
    expects = "pictures"

    def _index(self) -> Sequence[Entry]:
        return (Entry(name="a", frames=6, fps=25.0),)

    def _read(self, index: int) -> Record:
        images = tuple(ImageRef(path=self.path / "a" / f"{t:03d}.png") for t in range(6))
        shift = np.arange(6)[:, None] * np.array([3.0, 1.0])
        points = np.full((6, 24, 2), np.nan)
        points[:, :2] = np.array([[30.0, 20.0], [40.0, 60.0]]) + shift[:, None]
        sure = np.zeros((6, 24))
        sure[:, :2] = 1
        return Record(
            source=self.name, name="a", images=images, image_size=(96, 80), fps=25.0, frame_ids=np.arange(6),
            bbox=np.concatenate([np.array([20.0, 10.0]) + shift, np.array([60.0, 70.0]) + shift], axis=1),
            keypoints_2d=points, confidence=sure,
        )  # fmt: skip


@pytest.fixture
def sliding(tmp_path: Path) -> Sliding:
    noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    (tmp_path / "data" / "a").mkdir(parents=True)
    for t in range(6):
        part = noise[10 - t : 90 - t, 20 - 3 * t : 116 - 3 * t]  # content moves to the right and down
        Image.fromarray(part).save(tmp_path / "data" / "a" / f"{t:03d}.png")
    return Sliding(tmp_path / "data")


def write_flo(path: Path, flow: Array) -> None:
    head = np.array([202021.25], "<f4").tobytes() + np.array(flow.shape[1::-1], "<i4").tobytes()
    path.write_bytes(head + flow.astype("<f4").tobytes())


def test_both_forms_are_read_and_what_is_not_known_is_nan(tmp_path: Path) -> None:
    flow = np.random.default_rng(0).normal(0, 5, (4, 6, 2)).astype(np.float32)
    unknown = flow.copy()
    unknown[1, 2] = 2e9
    write_flo(tmp_path / "a.flo", unknown)
    valid = np.ones((4, 6), bool)
    valid[1, 2] = False
    flows.write_flow(tmp_path / "a.npz", flow, valid)
    for name, tolerance in (("a.flo", 0.0), ("a.npz", 0.02)):
        found = flows.read_flow(tmp_path / name)
        assert np.isnan(found[1, 2]).all()
        assert np.allclose(found[valid], flow[valid], atol=tolerance)


@pytest.mark.parametrize(
    "content", [b"", b"PIEH", b"PIEH\x02\x00\x00\x00\x02\x00\x00\x00short", b"PIEH\xff\xff\xff\x7f\x02\x00\x00\x00"]
)
def test_damaged_flow_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.flo").write_bytes(content)
    np.savez(tmp_path / "bad.npz", flow=np.zeros((3, 4)))
    for name in ("bad.flo", "bad.npz"):
        with pytest.raises(SynthError, match=name):
            flows.read_flow(tmp_path / name)


def test_going_there_and_back_finds_what_is_hidden() -> None:
    # a square of 4 pixels moves 3 to the right over a still background, which it hides on its way
    forward, backward = np.zeros((10, 20, 2), np.float32), np.zeros((10, 20, 2), np.float32)
    forward[3:7, 5:9, 0], backward[3:7, 8:12, 0] = 3, -3
    found = flows.consistent(forward, backward)
    assert found[3:7, 5:9].all()
    assert not found[3:7, 9:12].any()  # background that the square covers next
    assert found[:3].all()
    forward[0, 0] = [-5, 0]
    assert not flows.consistent(forward, backward)[0, 0]  # out of the picture


def test_unknown_flow_leads_out_of_the_crop_and_a_coarse_grid_covers_the_picture() -> None:
    crop = Crop(x=20.0, y=20.0, side=40.0)
    fine = np.zeros((40, 40, 2), np.float32)
    fine[:20, :20], fine[20:, 20:] = [4.0, -2.0], np.nan
    coarse = fine[::10, ::10]
    found = flow_between(fine, crop, crop, 8)
    assert np.allclose(found[:, :4, :4], np.array([0.2, -0.1])[:, None, None])
    assert (np.abs(found[:, 4:, 4:]) > 5).all()
    assert np.array_equal(flow_between(coarse, crop, crop, 8, (40, 40)), found)


def test_real_clips_carry_flow_and_say_that_masks_are_not_known(sliding: Sliding, tmp_path: Path) -> None:
    written = flows.estimate_source(sliding, tmp_path / "flow", lambda a, b: _slide(a, b))
    assert written == 5
    assert flows.estimate_source(sliding, tmp_path / "flow", lambda a, b: _slide(a, b)) == 0
    needs = frozenset({"images", "flow", "parts"})
    clips = RealClips(sliding, 4, needs, size=32, flow=tmp_path / "flow")
    for change in (Change(), Change(flip=True, scale=1.1, rotation=0.3)):
        sample = clips.window(1, change)
        assert sample["flow_valid"].tolist() == [True, True, True, False]
        assert not sample["parts_valid"].any()
        # the box slides along, so that nothing moves in the crop
        inner = sample["flow"][:3, :, 12:20, 12:20]
        assert inner.abs().max() < 1e-4
    bare = RealClips(sliding, 4, needs, size=32)[0]
    assert not bare["flow_valid"].any()
    assert bare["flow"].shape == (4, 2, 32, 32)
    (tmp_path / "flow" / "a" / "002.npz").unlink()
    assert clips[0]["flow_valid"].tolist() == [True, True, False, False]
    flows.write_flow(tmp_path / "flow" / "a" / "002.npz", np.zeros((4, 4, 2)), np.ones((4, 4), bool))
    with pytest.raises(SynthError, match="changes its size"):
        clips[0]
    with pytest.raises(SynthError, match="no such folder"):
        RealClips(sliding, 4, needs, flow=tmp_path / "nowhere")


def _slide(first: Array, second: Array) -> Array:
    """The true flow, found by trying both directions."""
    step = np.array([3.0, 1.0], np.float32)
    ahead = np.array_equal(first[:-1, :-3], second[1:, 3:])
    return np.broadcast_to(step if ahead else -step, (*first.shape[:2], 2)).copy()


def test_losses_leave_out_what_is_not_known(body: BodyLayer) -> None:
    # catches real frames that count as frames without a person, or a render that stands in for a mask that is known
    batch = batches.small_batch(body, clips=2, frames=4, size=32, occluded=True)
    model = build("hpof", {**model_options("smoke", "hpof"), "window": 4})
    with torch.no_grad():
        prediction = body.complete(model(batch), batch, vertices=True)
    assert batch.parts is not None
    unknown = torch.zeros(2, 4, dtype=torch.bool)
    empty = replace(batch, parts=torch.zeros_like(batch.parts), parts_valid=unknown)
    without = replace(batch, parts=None)
    values = [flow_loss(prediction, one, body, 32).item() for one in (empty, without, batch)]
    assert values[0] == values[1] > 0
    assert values[1] != values[2]
    half = replace(batch, parts_valid=torch.tensor([[True] * 4, [False] * 4]))
    alone = mask_loss(_first(prediction), batch.clips(slice(0, 1)), body, 32, "one-sided")
    assert torch.allclose(mask_loss(prediction, half, body, 32, "one-sided"), alone, rtol=1e-5)
    assert mask_loss(prediction, empty, body, 32, "one-sided").item() == 0
    spsnet = build("spsnet", {**model_options("smoke", "spsnet"), "window": 4}).train()
    for valid, positive in ((None, True), (unknown, False)):
        known = replace(batch, occluded_valid=valid)
        terms = spsnet.loss(spsnet(known), known, State(step=0, body=body))
        assert (terms["occlusion"].item() > 0) == positive


def _first(prediction):
    return replace(
        prediction,
        **{n: getattr(prediction, n)[:1] for n in ("rotations", "betas", "camera", "joints", "vertices")},
        extra={},
    )


def test_models_that_ask_for_masks_train_on_real_data(sliding: Sliding, tmp_path: Path, body: BodyLayer) -> None:
    flows.estimate_source(sliding, tmp_path / "flow", lambda a, b: _slide(a, b))
    for name in ("hpof", "spsnet"):
        options = {**model_options("smoke", name), "backbone": "resnet-tiny", "window": 4}
        model = build(name, options).train()
        clips = RealClips(sliding, 4, model.needs | model.labels, size=32, flow=tmp_path / "flow")
        batch = stack([clips[0], clips[1]])
        terms = model.loss(model(batch), batch, State(step=0, body=body))
        assert all(torch.isfinite(value) for value in terms.values())
        assert terms["keypoints_2d"].item() > 0
        assert name != "hpof" or terms["flow"].item() > 0
        terms["total"].backward()


class _Fake(nn.Module):
    """Stands for RAFT: says (2, 1) pixels everywhere, on pictures of a legal size only."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor([0.0, 0.0]))

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        assert first.shape[-1] % 8 == 0
        assert min(first.shape[-2:]) >= 128
        assert first.abs().max() <= 1
        coarse = torch.zeros(1, 2, *first.shape[-2:])
        return [coarse, coarse + self.step[None, :, None, None]]


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torchvision.models.optical_flow")
    module.raft_large = module.raft_small = lambda weights: _Fake()  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", module)


def test_raft_sees_legal_pictures_and_answers_in_pixels_of_the_whole_one(torchvision: None, tmp_path: Path) -> None:
    torch.save({"step": torch.tensor([2.0, 1.0])}, tmp_path / "raft.pth")
    picture = np.zeros((90, 300, 3), np.uint8)
    found = flows.raft("raft_large", tmp_path / "raft.pth", longest=150)(picture, picture)
    assert found.shape == (45, 150, 2)
    assert np.allclose(found, [4.0, 2.0])  # two pixels of the reduced picture are four of the whole one
    whole = flows.raft("raft_small", tmp_path / "raft.pth", longest=640)(picture, picture)
    assert whole.shape == (90, 300, 2)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    for path, part in ((tmp_path / "other.pth", "no weights of raft_large"), (tmp_path / "none", "no such file")):
        with pytest.raises(SynthError, match=part):
            flows.raft("raft_large", path)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_without_torchvision_the_command_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SynthError, match="needs torchvision") as stopped:
        flows.raft("raft_large", tmp_path / "raft.pth")
    assert "flow files" in str(stopped.value)


def test_the_command_and_the_flag_are_explained(tmp_path: Path) -> None:
    from train.cli import train

    said = CliRunner().invoke(train, ["flow", "--help"]).output
    assert "torchvision" in said
    assert "train hpof" in said
    wrong = CliRunner().invoke(train, ["hpof", "--data", str(tmp_path), "--flow", f"3dpw={tmp_path}"])
    assert "no --real of that name" in str(wrong.exception)
