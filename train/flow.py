"""Optical flow of real video for HPOF's loss: precomputed files, and RAFT where torchvision is installed.

    <folder>/<picture's path inside the data set, without suffix>.npz or .flo      from this picture to the track's next
    <folder>/<video's path, without suffix>/000012.npz                            from frame 12 of a video

`.flo` is Middlebury's form, as most flow software writes it. A `.npz` holds "flow" (h, w, 2), (dx, dy) in pixels of the
whole picture, on a grid that may be coarser than the picture's, and if known "valid" (h, w).
"""

import importlib
import logging
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch.nn import functional

from synth.errors import SynthError
from synth.files import replacing
from train.real.pictures import read_picture
from train.real.record import ImageRef
from train.real.source import Source

Array = np.ndarray

__all__ = ["MODELS", "Estimate", "FlowFiles", "consistent", "estimate_source", "raft", "read_flow", "write_flow"]

log = logging.getLogger(__name__)

MODELS = ("raft_large", "raft_small")
_MAGIC = 202021.25
_UNKNOWN = 1e9
_LARGEST = 1 << 16

Estimate = Callable[[UInt8[Array, "H W 3"], UInt8[Array, "H W 3"]], Float[Array, "h w 2"]]
"""Flow from the first picture to the second [px of the pictures], on a grid that may be coarser than theirs."""


def read_flow(path: Path) -> Float[Array, "h w 2"]:
    """(dx, dy) in pixels of the whole picture, NaN where it is not known.

    Raises:
        SynthError: the file is no flow.
    """
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_flo(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SynthError(f"{path}: cannot be read as optical flow ({error})", "Give .flo files or .npz") from error


def _read_npz(path: Path) -> Float[Array, "h w 2"]:
    with np.load(path, allow_pickle=False) as held:
        flow = np.asarray(held["flow"], dtype=np.float32)
        valid = np.asarray(held["valid"], dtype=bool) if "valid" in held else np.ones(flow.shape[:2], dtype=bool)
    if flow.ndim != 3 or flow.shape[2] != 2 or valid.shape != flow.shape[:2]:
        raise ValueError(f"expected flow (h, w, 2) and valid (h, w), got {flow.shape} and {valid.shape}")
    return np.where(valid[..., None], flow, np.nan).astype(np.float32)


def _read_flo(path: Path) -> Float[Array, "h w 2"]:
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or np.frombuffer(head, "<f4", 1)[0] != np.float32(_MAGIC):
            raise ValueError("no .flo file")
        width, height = np.frombuffer(head, "<i4", 2, 4).tolist()
        if not (0 < width < _LARGEST and 0 < height < _LARGEST):
            raise ValueError(f"{width} x {height} pixels")
        body = file.read(8 * width * height + 1)
    if len(body) != 8 * width * height:
        raise ValueError("another length than its size says")
    flow = np.frombuffer(body, "<f4").reshape(height, width, 2).astype(np.float32)
    return np.where((np.abs(flow) < _UNKNOWN).all(-1, keepdims=True), flow, np.nan).astype(np.float32)


def write_flow(path: Path, flow: Float[Array, "h w 2"], valid: Bool[Array, "h w"]) -> None:
    """Write an .npz, all or nothing; half precision is a sixteenth of a pixel at 100 pixels' motion."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, flow=flow.astype(np.float16), valid=valid)


class FlowFiles:
    """A folder of flow files of one data set.

    Args:
        folder: Where they lie.
        root: Folder of the data set; files mirror the places of its pictures.

    Raises:
        SynthError: there is no such folder.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = Path(folder), Path(root)
        if not self.folder.is_dir():
            raise SynthError(f"{folder}: no such folder", "`train flow NAME=PATH --out DIR` makes one")

    def stem(self, picture: ImageRef) -> Path:
        """Path of a picture's flow file without its suffix."""
        try:
            inside = picture.path.relative_to(self.root)
        except ValueError:
            inside = Path(picture.path.parent.name) / picture.path.name
        stem = self.folder / inside.with_suffix("")
        if picture.span is not None:
            return stem / f"{picture.span[0]:012d}"
        return stem if picture.frame is None else stem / f"{picture.frame:06d}"

    def read(self, picture: ImageRef) -> Float[Array, "h w 2"] | None:
        """Flow from a picture to the track's next one; None if there is no file.

        Raises:
            SynthError: the file is no flow.
        """
        stem = self.stem(picture)
        for suffix in (".npz", ".flo"):
            path = stem.with_name(stem.name + suffix)
            if path.is_file():
                return read_flow(path)
        return None

    def window(self, pictures: Sequence[ImageRef]) -> tuple[Float[Array, "T h w 2"], Bool[Array, " T"]]:
        """Flow of each frame to the next one, and whether it is known; never for the last one.

        Raises:
            SynthError: a file is no flow, or of another size than the first.
        """
        found = [self.read(picture) for picture in pictures[:-1]]
        known = [flow for flow in found if flow is not None]
        shape = known[0].shape if known else (1, 1, 2)
        if any(flow.shape != shape for flow in known):
            raise SynthError(f"{self.folder}: flow of {pictures[0].path} changes its size", "Make it anew")
        flows = np.stack([np.zeros(shape, np.float32) if flow is None else flow for flow in (*found, None)])
        return flows, np.array([flow is not None for flow in (*found, None)])


def consistent(forward: Float[Array, "h w 2"], backward: Float[Array, "h w 2"]) -> Bool[Array, "h w"]:
    """Where going there and back again leads home: neither occluded nor out of the picture.

    Source: Sundaram, Brox and Keutzer, "Dense Point Trajectories by GPU-accelerated Large Displacement Optical Flow"
    (2010), equation 5.
    """
    height, width = forward.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    to_column, to_row = columns + forward[..., 0], rows + forward[..., 1]
    inside = (to_column > -0.5) & (to_column < width - 0.5) & (to_row > -0.5) & (to_row < height - 0.5)
    column = np.clip(np.rint(to_column).astype(int), 0, width - 1)
    row = np.clip(np.rint(to_row).astype(int), 0, height - 1)
    back = backward[row, column]
    apart = ((forward + back) ** 2).sum(-1)
    return inside & (apart < 0.01 * ((forward**2).sum(-1) + (back**2).sum(-1)) + 0.5)


def raft(model: str, weights: Path, device: torch.device | str = "cpu", longest: int = 640) -> Estimate:
    """RAFT (Teed and Deng 2020) of torchvision with published weights, on pictures reduced to `longest` pixels.

    Args:
        model: One of `MODELS`.
        weights: torchvision's state dict, such as raft_large_C_T_SKHT_V2-ff5fadd5.pth.
        device: Where to run.
        longest: Longest side that the network sees [px].

    Raises:
        SynthError: torchvision is not installed, or the weights are another network's.
    """
    try:
        optical_flow = importlib.import_module("torchvision.models.optical_flow")
    except (ImportError, RuntimeError) as error:  # the latter: torchvision built for another torch
        hint = "Install the torchvision that belongs to this torch, or give flow files that other software made"
        raise SynthError(f"RAFT needs torchvision ({str(error).splitlines()[0]})", hint) from None
    network: Any = getattr(optical_flow, model)(weights=None)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise SynthError(f"{weights}: no such file", "torchvision's page of models links the weights") from None
    except Exception as error:  # a pickle may fail in any way
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise SynthError(f"{weights}: no weights of {model} ({reason})", "Give torchvision's state dict") from error
    network = network.to(device).eval()

    @torch.no_grad()
    def estimate(first: UInt8[Array, "H W 3"], second: UInt8[Array, "H W 3"]) -> Float[Array, "h w 2"]:
        pair = [_reduced(picture, longest) for picture in (first, second)]
        height, width = pair[0].shape[:2]
        extra = (0, max(128, -(-width // 8) * 8) - width, 0, max(128, -(-height // 8) * 8) - height)
        tensors = []
        for picture in pair:
            values = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0
            tensors.append(functional.pad(values, extra, mode="replicate").to(device))
        flow = network(*tensors)[-1][0].permute(1, 2, 0).cpu().numpy()[:height, :width]
        return flow * np.array([first.shape[1] / width, first.shape[0] / height], np.float32)

    return estimate


def _reduced(picture: UInt8[Array, "H W 3"], longest: int) -> UInt8[Array, "h w 3"]:
    factor = longest / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def estimate_source(
    source: Source, out: Path, estimate: Estimate, progress: Callable[[str], None] | None = None
) -> int:
    """Write the flow between successive pictures of every track; what is there already is left alone.

    Flow that does not lead back (`consistent`) is marked as not known.

    Returns:
        How many files were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    files, written = FlowFiles(out, source.path), 0
    for record in source:
        before = written
        for first, second in zip(record.images, record.images[1:], strict=False):
            path = files.stem(first)
            path = path.with_name(path.name + ".npz")
            if path.exists():
                continue
            one, other = read_picture(first), read_picture(second)
            forward, backward = estimate(one, other), estimate(other, one)
            grid = np.array([one.shape[1] / forward.shape[1], one.shape[0] / forward.shape[0]], np.float32)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flow(path, forward, consistent(forward / grid, backward / grid))
            written += 1
        if progress is not None and written > before:
            progress(f"{record.name}: {written - before} pictures")
    return written
