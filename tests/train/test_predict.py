"""From footage to a motion file: with the labels in place of a network, the labels must come out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import train.predict as prediction
from synth.body.lbs import posed
from synth.body.model import load_named
from synth.errors import SynthError
from synth.motion import amass
from train.augment import Change
from train.batch import Batch, Prediction
from train.body import BodyLayer
from train.clips import Clips, stack
from train.data import Place
from train.footage import VideoWriter, open_footage
from train.inference import full_translation, layout
from train.run import Run, _fitted_cameras, fit


@pytest.fixture(scope="module")
def checkpoint(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"steps": 1, "batch": 2}
    out = tmp_path_factory.mktemp("hmr")
    return fit(Run(model="hmr", data=(clips_folder,), out=out, preset="smoke", settings=settings, size=32))


def truth(folder: Path, shard: int, view: int) -> Batch:
    return stack([Clips(folder, 6, frozenset()).sample(Place(shard, view, 0), Change())])


def test_a_weak_camera_becomes_the_place_in_the_full_image(clips_folder: Path) -> None:
    # catches: half a side for a side, the box's centre left out
    batch = truth(clips_folder, 0, 1)
    camera = _fitted_cameras(batch.joints_3d[0], batch.joints_valid[0], batch.keypoints_2d[0])[None]
    place = full_translation(camera, batch.box, batch.K)
    assert ((place - batch.pelvis)[..., 2] / batch.pelvis[..., 2]).abs().max() < 0.02
    assert (place - batch.pelvis)[..., :2].abs().max() < 0.01


def test_the_labels_given_as_prediction_come_out_as_a_motion_in_the_world(
    clips_folder: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # catches: y down taken for z up, the rest pelvis not taken off, the mean shape of another gender
    batch = truth(clips_folder, 1, 0)
    labels = Prediction(rotations=batch.rotations, betas=batch.betas, camera=torch.zeros(1, 6, 3), transl=batch.pelvis)
    seen: list[Batch] = []

    def oracle(model: Any, load: Any, frames: int, **_: Any) -> Prediction:
        seen.append(load(0, frames))
        return labels

    monkeypatch.setattr(prediction, "predict_frames", oracle)
    clip = Clips(clips_folder, 6, frozenset()).windows.shards.entries[1]
    footage = open_footage(clips_folder, clip=clip.clip_id)
    files = prediction.predict(checkpoint, footage, tmp_path / "out")
    assert [file.name for file in files] == ["motion.npz", "overlay.mp4"]
    assert torch.allclose(seen[0].box, batch.box)
    recording = amass.read(files[0])
    motion, body = recording.motion, load_named("free", recording.gender)
    assert recording.gender == clip.attributes["gender"]
    _, joints = posed(body, recording.betas[:10], motion.global_orient, motion.body_pose, motion.transl)
    camera = (batch.joints_3d + batch.pelvis[:, :, None])[0].double().numpy()
    world = np.stack([camera[..., 0], camera[..., 2], -camera[..., 1]], axis=-1)
    assert np.abs(joints - world)[:, :22].max() < 2e-3  # AMASS keeps the hands straight
    assert motion.fps == pytest.approx(30.0)
    frames = list(open_footage(files[1]))
    assert len(frames) == 6
    # where the mesh is drawn the picture has changed, elsewhere it has not (but for compression)
    changed = np.abs(frames[0].astype(int) - next(iter(footage)).astype(int)).max(-1) > 40
    parts = Clips(clips_folder, 6, frozenset()).windows.shards[1].window(0, 0, 1, ("parts",))["parts"][0]
    assert changed[parts > 0].mean() > 0.5
    assert changed[parts == 0].mean() < 0.05


def test_a_folder_of_pictures_and_a_video_give_the_same_frames(
    clips_folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    frames = list(open_footage(clips_folder))[:3]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(pictures / f"{number:03d}.png")
    footage = open_footage(pictures, fps=25.0)
    assert all(np.array_equal(a, b) for a, b in zip(footage, frames, strict=True))
    with VideoWriter(tmp_path / "walk.mp4", 25.0) as writer:
        for frame in frames:
            writer.add(frame[:95, :93])  # odd sides
    video = open_footage(tmp_path / "walk.mp4")
    assert video.fps == pytest.approx(25.0)
    decoded = list(video)
    assert decoded[0].shape == (96, 94, 3)
    assert np.abs(decoded[1][:95, :93].astype(int) - frames[1][:95, :93]).mean() < 6
    boxes = np.tile([10.0, 10.0, 80.0, 90.0], (3, 1))
    files = prediction.predict(checkpoint, footage, tmp_path / "out", boxes=boxes, video=False)
    assert [file.name for file in files] == ["motion.npz"]
    with pytest.raises(SynthError, match="4 boxes for 3 frames"):
        prediction.predict(checkpoint, footage, tmp_path / "none", boxes=np.tile(boxes[:1], (4, 1)))
    assert not (tmp_path / "none").exists()


def test_footage_that_cannot_be_read_is_named(tmp_path: Path, clips_folder: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing of a video")
    with pytest.raises(SynthError, match=r"broken\.mp4: cannot be read as a video"):
        open_footage(tmp_path / "broken.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SynthError, match="holds no pictures"):
        open_footage(tmp_path / "empty")
    with pytest.raises(SynthError, match="no such file"):
        open_footage(tmp_path / "nothing")
    with pytest.raises(SynthError, match="no clip ffff"):
        open_footage(clips_folder, clip="ffff")
    with pytest.raises(SynthError, match="has views 0-1, not 2"):
        open_footage(clips_folder, view=2)


def test_boxes_are_read_from_text_and_numpy(tmp_path: Path) -> None:
    boxes = np.array([[1, 2, 3, 4], [np.nan] * 4])
    np.save(tmp_path / "b.npy", boxes)
    (tmp_path / "b.txt").write_text("1 2 3 4\nnan nan nan nan\n")
    (tmp_path / "b.csv").write_text("1,2,3,4\nnan,nan,nan,nan\n")
    for name in ("b.npy", "b.txt", "b.csv"):
        assert np.array_equal(prediction.read_boxes(tmp_path / name), boxes, equal_nan=True)
    (tmp_path / "bad.txt").write_text("1 2 3\n")
    with pytest.raises(SynthError, match=r"expected boxes \(T, 4\)"):
        prediction.read_boxes(tmp_path / "bad.txt")


@pytest.mark.parametrize(("frames", "window"), [(10, 4), (3, 4), (8, 4), (1, 1)])
def test_every_frame_is_predicted_once_whatever_the_window(frames: int, window: int) -> None:
    # catches a dropped tail, and frames that two windows give
    seen, kept = layout(frames, window, centre_only=False)
    assert seen.min() >= 0
    assert seen.max() < frames
    assert sorted(kept[kept >= 0].tolist()) == list(range(frames))
    assert (seen[kept >= 0] == kept[kept >= 0]).all()
    seen, kept = layout(frames, window, centre_only=True)
    assert kept.ravel().tolist() == list(range(frames))
    assert (seen[:, window // 2] == np.arange(frames)).all()


def test_the_body_layer_keeps_its_faces() -> None:
    assert np.array_equal(BodyLayer.named("free").triangles, load_named("free", "male").faces)
