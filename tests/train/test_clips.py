"""Samples: every label must still describe the crop after every change."""

from pathlib import Path

import numpy as np
import pytest
import torch

from synth.errors import SynthError
from train.augment import Augmentation, Change, draw_occluder
from train.body import BodyLayer
from train.clips import Clips, folder_bodies, stack
from train.crops import MEAN, STD, Crop, cut, flow_between, from_normalised, normalised, square_boxes
from train.data import Place

ALL = frozenset({"images", "parts", "flow"})
CHANGES = {
    "plain": Change(),
    "turned": Change(rotation=0.5),
    "mirrored": Change(flip=True),
    "moved": Change(scale=1.2, shift=(0.1, -0.05)),
    "all": Change(rotation=-0.4, flip=True, scale=0.9, shift=(-0.05, 0.1)),
}


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Change:
    return CHANGES[request.param]


def test_keypoints_are_the_perspective_picture_of_the_joints_in_the_changed_crop(
    clips_folder: Path, change: Change
) -> None:
    # catches: K or box of the unmirrored picture, a turn with the wrong sign, left and right not swapped
    clips = Clips(clips_folder, 3, frozenset())
    sample = clips.sample(Place(0, 1, 1), change)
    turn = torch.tensor(
        [
            [np.cos(change.rotation), -np.sin(change.rotation), 0],
            [np.sin(change.rotation), np.cos(change.rotation), 0],
            [0, 0, 1],
        ],
        dtype=torch.float32,
    )
    points = (sample["joints_3d"] @ turn + sample["pelvis"][:, None]) @ sample["K"].T
    pixels = points[..., :2] / points[..., 2:]
    wanted = (pixels - sample["box"][:, None, :2]) @ turn[:2, :2].T * (2 / sample["box"][:, None, 2:])
    known = sample["keypoints_2d"][..., 2] > 0
    assert known.float().mean() > 0.3
    assert (sample["keypoints_2d"][..., :2] - wanted)[known].abs().max() < 2e-3


def test_pose_and_shape_make_the_joints_also_in_the_mirror(clips_folder: Path, change: Change, body: BodyLayer) -> None:
    clips = Clips(clips_folder, 3, frozenset())
    for shard in range(3):
        batch = stack([clips.sample(Place(shard, 0, 0), change)])
        joints = body.labels(batch, vertices=False).joints
        assert joints is not None
        assert (joints - batch.joints_3d).abs().max() < 2e-3  # the free body is symmetric to rounding


def test_the_parts_map_and_the_picture_show_the_same_person(clips_folder: Path, change: Change) -> None:
    # catches a map cut, turned or mirrored otherwise than the picture; the person is far brighter in red
    clips = Clips(clips_folder, 2, ALL, size=96)
    sample = clips.sample(Place(0, 0, 0), change)
    red = torch.from_numpy(from_normalised(sample["images"].numpy())[..., 0].astype(np.float32))
    person = sample["parts"] > 0
    inside = torch.nn.functional.max_pool2d((~person).float()[:, None], 3, 1, 1)[:, 0] == 0
    assert inside.sum() > 100
    assert red[inside].mean() > red[~person].mean() + 60
    # and on the person's own left, where the mirror has exchanged the parts as well
    place, seen = sample["keypoints_2d"][..., :2], sample["keypoints_2d"][..., 2] > 0
    pixel = ((place + 1) * 48).long().clamp(0, 95)
    hits = 0
    for t, joint in seen.nonzero().tolist():
        hits += int(sample["parts"][t, pixel[t, joint, 1], pixel[t, joint, 0]] > 0)
    assert hits >= 0.9 * int(seen.sum())


def test_flow_leads_from_a_crop_to_the_same_part_in_the_next_crop(clips_folder: Path, change: Change) -> None:
    # catches: flow not mirrored or turned, the next crop's own box left out
    clips = Clips(clips_folder, 3, ALL, size=96)
    sample = clips.sample(Place(2, 0, 0), change)
    ticks = (torch.arange(96) + 0.5) / 48 - 1
    here = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1)
    there = here + sample["flow"][0].permute(1, 2, 0)
    following = sample["parts"][1].float()[None, None]

    def agreement(places: torch.Tensor) -> float:
        """Share of the person's pixels that find their own part within a pixel of the place they are led to."""
        person, own, hit = sample["parts"][0] > 0, sample["parts"][0].float(), torch.zeros(96, 96, dtype=torch.bool)
        for dx, dy in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]:
            moved = places + torch.tensor([dx, dy]) / 48
            carried = torch.nn.functional.grid_sample(following, moved[None], mode="nearest", align_corners=False)
            hit |= carried[0, 0] == own
        return float(hit[person].float().mean())

    # at 96 pixels a limb is two wide, and the labels themselves agree on 0.75 to 0.88 of the pixels
    assert agreement(there) > max(0.78, agreement(here) + 0.1, agreement(2 * here - there) + 0.25)
    assert sample["flow_valid"].tolist() == [True, True, False]


def test_a_joint_behind_the_occluder_is_not_trusted(clips_folder: Path) -> None:
    clips = Clips(clips_folder, 2, frozenset({"images"}), size=64)
    occluder = draw_occluder(np.random.default_rng(0))
    bare, hidden = (clips.sample(Place(0, 0, 0), Change(occluder=o)) for o in (None, occluder))
    behind = torch.from_numpy(occluder.covers(bare["keypoints_2d"][0, :, :2].numpy(), 0))
    known = bare["keypoints_2d"][0, :, 2] > 0
    assert (known & behind).any()
    assert not hidden["keypoints_2d"][0, behind, 2].any()
    assert torch.equal(hidden["keypoints_2d"][0, ~behind], bare["keypoints_2d"][0, ~behind])
    assert not torch.equal(hidden["images"], bare["images"])


def test_a_draw_is_repeatable_and_another_draw_differs(clips_folder: Path) -> None:
    clips = Clips(clips_folder, 2, frozenset({"images"}), size=64, augmentation=Augmentation(), seed=3)
    again = Clips(clips_folder, 2, frozenset({"images"}), size=64, augmentation=Augmentation(), seed=3)
    assert torch.equal(clips[4, 1]["images"], again[4, 1]["images"])
    assert not torch.equal(clips[4, 1]["images"], clips[4, 2]["images"])


def test_a_crop_maps_to_and_fro_and_cuts_where_it_says() -> None:
    crop = Crop(x=31.0, y=22.0, side=20.0, angle=0.7)
    points = np.random.default_rng(0).uniform(0, 60, (9, 2))
    assert np.allclose(crop.to_image(crop.to_crop(points)), points)
    picture = np.zeros((50, 60, 3), np.uint8)
    picture[22, 40] = 255  # its centre is (40.5, 22.5)
    x, y = (crop.to_crop(np.array([40.5, 22.5])) + 1) * 40
    found = cut(picture, crop, 80)[..., 0].astype(float)
    rows, columns = np.mgrid[:80, :80] + 0.5
    assert abs((found * columns).sum() / found.sum() - x) < 0.05
    assert abs((found * rows).sum() / found.sum() - y) < 0.05


def test_flow_of_a_still_picture_is_the_move_of_the_box() -> None:
    here, then = Crop(x=50.0, y=40.0, side=40.0), Crop(x=54.0, y=40.0, side=20.0)
    flow = flow_between(np.zeros((80, 100, 2)), here, then, 4)
    # the pixel at crop (-0.75, -0.75) is (35, 25) in the picture, which the next crop sees at (-1.9, -1.5)
    assert np.allclose(flow[:, 0, 0], [-1.9 + 0.75, -1.5 + 0.75], atol=1e-6)


def test_boxes_fill_gaps_by_the_nearest_known_frame() -> None:
    bbox = np.full((4, 4), np.nan)
    bbox[1] = [10, 20, 30, 60]
    assert np.allclose(square_boxes(bbox, 1.5), [[20, 40, 60]] * 4)
    with pytest.raises(SynthError, match="in no frame"):
        square_boxes(np.full((2, 4), np.nan))


def test_normalisation_is_imagenet_s_and_can_be_undone() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    images = normalised(crops)
    assert np.allclose(images[1, :, 2, 3], (crops[1, 2, 3] / 255 - MEAN) / STD, atol=1e-5)
    assert np.array_equal(from_normalised(images), crops)


def test_samples_of_other_sizes_do_not_stack(clips_folder: Path) -> None:
    clips = Clips(clips_folder, 2, frozenset())
    with pytest.raises(SynthError, match="differs in shape"):
        stack([clips.sample(Place(0, 0, 0), Change(), n) for n in (2, 3)])
    assert set(folder_bodies(clips_folder)) == {"neutral", "male", "female"}
