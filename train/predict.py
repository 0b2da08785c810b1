"""From footage to a motion: crops, prediction, AMASS file and a video with the mesh drawn in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from synth.errors import SynthError
from synth.geometry.rotations import rotmat_to_rotvec
from synth.motion.amass import write as write_amass
from synth.types import Motion
from train.batch import GENDERS, Batch, Prediction
from train.body import BodyLayer
from train.checkpoint import load_model
from train.clips import BOX_SCALE
from train.crops import Crop, cut, normalised, square_boxes
from train.draw import overlay
from train.extract import encoder_for
from train.footage import Footage, VideoWriter
from train.inference import complete, predict_frames, with_features
from train.run import choose_device

Array = np.ndarray

__all__ = ["CAMERA_TO_WORLD", "default_intrinsics", "predict", "read_boxes"]

CAMERA_TO_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""A still camera's axes (x right, y down, z forward) in a world whose Z is up: the camera looks along +Y."""


def default_intrinsics(width: int, height: int, focal: float | None = None) -> Float[Array, "3 3"]:
    """A pinhole with its centre in the picture's; the focal length is the diagonal if it is not known [px]."""
    focal = float(np.hypot(width, height)) if focal is None else focal
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def read_boxes(path: Path) -> Float[Array, "T 4"]:
    """Read x0, y0, x1, y1 [px] of each frame from a .npy or a text file (commas or spaces; "nan" where unknown).

    Raises:
        SynthError: not such a file.
    """
    try:
        if path.suffix == ".npy":
            boxes = np.load(path, allow_pickle=False)
        else:
            boxes = np.loadtxt(path, delimiter="," if "," in path.read_text(encoding="utf-8") else None, ndmin=2)
    except (OSError, ValueError, EOFError) as error:
        raise SynthError(f"{path}: cannot be read as boxes ({error})", "One line a frame: x0 y0 x1 y1") from error
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "fiu":
        raise SynthError(f"{path}: expected boxes (T, 4), got {boxes.shape}", "One line a frame: x0 y0 x1 y1")
    return boxes.astype(np.float64)


def predict(
    checkpoint: Path,
    footage: Footage,
    out: Path,
    *,
    boxes: Float[Array, "T 4"] | None = None,
    focal: float | None = None,
    encoder: Path | None = None,
    body: str = "free",
    gender: str | None = None,
    device: str = "auto",
    smooth: Callable[[Prediction, float], Prediction] | None = None,
    video: bool = True,
) -> tuple[Path, ...]:
    """Predict a person's motion.

    Args:
        checkpoint: Of any model but smoothnet.
        footage: The frames.
        out: Folder for motion.npz (AMASS's form) and overlay.mp4.
        boxes: Of the person; else the footage's own, else the whole frame.
        focal: Focal length [px], if the footage does not know it.
        encoder: Checkpoint with the encoder whose features the model was trained on.
        body: The body model that the checkpoint was trained with.
        gender: Body to draw; else the footage's.
        device: Where to compute.
        smooth: Changes the prediction before it is written.
        video: Whether to draw the video.

    Returns:
        The files written.

    Raises:
        SynthError: a file is wrong, or the boxes are not as many as the frames.
    """
    model, held = load_model(checkpoint)
    if model.name == "smoothnet":
        raise SynthError("smoothnet reads predictions, not pictures", "Give the checkpoint of another model")
    layer = BodyLayer.named(body)
    if list(layer.sha256) != list(held["body"].get("sha256", [])):
        raise SynthError(f"{checkpoint}: was trained on another body model than {body!r}", "Give --body that model")
    place = choose_device(device)
    network = encoder_for(held, checkpoint, encoder) if "features" in model.needs else None
    size = int(held.get("about", {}).get("size", 224))
    crops, squares, shape = _crops(footage, boxes if boxes is not None else footage.bbox, size)
    K = default_intrinsics(shape[1], shape[0], focal) if footage.K is None else footage.K
    index = GENDERS.index(gender or footage.gender)
    whole = _unlabelled(squares, K, (shape[1], shape[0]), footage.fps, index)

    def load(start: int, stop: int) -> Batch:
        return _with_pictures(whole.frames(slice(start, stop)), crops[start:stop], network, model.needs)

    found = predict_frames(model.to(place), load, len(crops), device=place)
    if smooth is not None:
        found = smooth(found, footage.fps)
    with torch.no_grad():
        found = complete(found, whole, layer)
    files = [_write_motion(found, layer, index, footage, out / "motion.npz")]
    if video:
        files.append(_draw_video(found, layer, K, footage, out / "overlay.mp4"))
    return tuple(files)


def _crops(footage: Footage, bbox: Array | None, size: int) -> tuple[Array, Array, tuple[int, ...]]:
    """Crops (T, S, S, 3), squares (T, 3) and the frames' shape, in one pass over the footage."""
    squares = None if bbox is None else square_boxes(bbox, BOX_SCALE, str(footage.path))
    crops, used, shape = [], [], (0, 0)
    for number, frame in enumerate(footage):
        shape = frame.shape
        if squares is not None and number >= len(squares):
            break
        whole = np.array([shape[1] / 2, shape[0] / 2, max(shape[:2])])
        x, y, side = whole if squares is None else squares[number]
        crops.append(cut(frame, Crop(x=float(x), y=float(y), side=float(side)), size))
        used.append((x, y, side))
    if squares is not None and len(squares) != len(crops):
        raise SynthError(f"{footage.path}: {len(squares)} boxes for {len(crops)} frames", "Give one box a frame")
    return np.stack(crops), np.array(used), shape


def _unlabelled(squares: Array, K: Array, size: tuple[int, int], fps: float, gender: int) -> Batch:
    """A batch of one without labels."""
    frames = len(squares)
    return Batch(
        keypoints_2d=torch.zeros(1, frames, 24, 3),
        joints_3d=torch.zeros(1, frames, 24, 3),
        joints_valid=torch.zeros(1, frames, 24, dtype=torch.bool),
        rotations=torch.eye(3).repeat(1, frames, 24, 1, 1),
        betas=torch.zeros(1, frames, 10),
        smpl_valid=torch.zeros(1, frames, dtype=torch.bool),
        pelvis=torch.zeros(1, frames, 3),
        box=torch.from_numpy(squares.astype(np.float32))[None],
        image_size=torch.tensor([size], dtype=torch.float32),
        K=torch.from_numpy(K.astype(np.float32))[None],
        box_rotation=torch.zeros(1),
        flipped=torch.zeros(1, dtype=torch.bool),
        fps=torch.tensor([fps], dtype=torch.float32),
        gender=torch.tensor([gender]),
    )


def _with_pictures(batch: Batch, crops: Array, network: nn.Module | None, needs: frozenset[str]) -> Batch:
    batch = replace(batch, images=torch.from_numpy(normalised(crops))[None])
    return batch if network is None else with_features(batch, network, "feature_maps" in needs)


def _write_motion(found: Prediction, layer: BodyLayer, gender: int, footage: Footage, path: Path) -> Path:
    """One shape for the whole motion: the mean of the frames'."""
    assert found.transl is not None
    betas = found.betas[0].mean(0, keepdim=True)
    rotations = found.rotations[0].double().numpy()
    root = CAMERA_TO_WORLD @ rotations[:, 0]
    rest = layer.rest(betas, torch.tensor([gender]))[0, 0].double().numpy()
    motion = Motion(
        fps=footage.fps,
        global_orient=rotmat_to_rotvec(root),
        body_pose=rotmat_to_rotvec(rotations[:, 1:]),
        transl=found.transl[0].double().numpy() @ CAMERA_TO_WORLD.T - rest,
        source=f"predicted from {footage.path.name}",
        source_frames=np.arange(len(root), dtype=np.float64),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_amass(path, motion, betas[0].double().numpy(), GENDERS[gender], model=layer.name)
    return path


def _draw_video(found: Prediction, layer: BodyLayer, K: Array, footage: Footage, path: Path) -> Path:
    assert found.vertices is not None
    assert found.transl is not None
    meshes = (found.vertices + found.transl[:, :, None])[0].double().numpy()
    faces = layer.triangles
    with VideoWriter(path, footage.fps) as writer:
        for frame, mesh in zip(footage, meshes, strict=False):
            writer.add(overlay(frame, mesh, faces, K))
    return path
