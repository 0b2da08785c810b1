"""A training run from names and folders: what the command line and `train table` call."""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from synth.errors import SynthError
from synth.files import write_text
from synth.rng import generator
from synth.shards.split import NAME as SPLIT
from synth.shards.split import read_split
from synth.spec import from_plain, to_json
from train.augment import PLAIN, Augmentation
from train.backbones import load_weights
from train.batch import GENDERS, TemporalModel
from train.body import BodyLayer
from train.checkpoint import load
from train.clips import Clips, folder_bodies
from train.extract import encoder_of, extract
from train.loop import Loop
from train.models import build, model_class
from train.models.tar import Heads
from train.nn.regressor import Regressor
from train.presets import CROP, ENCODER, model_options, settings_options
from train.processes import Processes
from train.real import open_source
from train.real.clips import RealClips
from train.real.motions import MotionStream, MotionWindows
from train.rotations import mean_rotation, upright
from train.settings import Progress, Settings
from train.store import FeatureStore

__all__ = ["Run", "check_body", "choose_device", "fit", "label_mean", "open_sources", "part_of", "warm_start"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to train on what."""

    model: str
    data: tuple[Path, ...]
    out: Path
    weights: tuple[int, ...] | None = None
    """Share of each folder of `data`, then of each of `real`."""
    real: tuple[tuple[str, Path], ...] = ()
    """Real data sets trained on beside the shards: name (as in `train.real.SOURCES`) and path."""
    bodies: Path | None = None
    """Folder of licensed SMPL models: gives EMDB's and Human3.6M's translations (docs/real-data.md)."""
    motions: Path | None = None
    """Folder of AMASS motions that the discriminator takes for real; None: the labels."""
    flow: Mapping[str, Path] = field(default_factory=dict)
    """Folders of optical flow of the real data sets, by name (`train flow`)."""
    preset: str = "paper"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the model, over the preset's."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the training, over the preset's."""
    features: tuple[Path, ...] = ()
    """Frozen features of each folder; none: they are extracted into `out`."""
    init: Path | None = None
    """Checkpoint whose encoder and regressor are copied."""
    backbone_weights: Path | None = None
    body: str = "free"
    device: str = "auto"
    size: int | None = None
    """Pixels of a crop's side; None: the preset's."""
    stride: int = 1
    augment: bool = True
    split: bool = True
    """Train on the train part and validate on the val part of folders that `synth split` divided; off: on all clips."""
    tensorboard: bool = False


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" takes CUDA where there is one.

    Raises:
        SynthError: it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SynthError(f"device {name!r}: {str(error).splitlines()[0]}", "Use --device cpu") from None
    return device


def check_body(body: BodyLayer, folders: Sequence[Path]) -> None:
    """Make sure that the shards were made with this body model.

    Raises:
        SynthError: they were not.
    """
    for folder in folders:
        for gender, digest in folder_bodies(folder).items():
            if gender not in GENDERS or body.sha256[GENDERS.index(gender)] != digest:
                hint = "Give --body the model that the shards were rendered with"
                raise SynthError(f"{folder}: its {gender} body is not {body.name!r}'s", hint)


def label_mean(sources: Sequence[Clips], count: int = 256) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean rotations (24, 3, 3), betas (10,) and weak-perspective camera (3,) of some windows' labels.

    Pose and shape count in frames whose `smpl_valid` says they are known (none at all: the upright T-pose of the mean
    shape); the camera that fits a frame best maps its known joints' x, y onto the keypoints by least squares.
    """
    rotations, betas, cameras = [], [], []
    for number, source in enumerate(sources):
        chosen = generator(0, "mean", number).permutation(len(source))[: max(1, count // len(sources))]
        for index in chosen.tolist():
            sample = source.plain_labels(index)
            rotations.append(sample["rotations"][sample["smpl_valid"]])
            betas.append(sample["betas"][sample["smpl_valid"]])
            cameras.append(_fitted_cameras(sample["joints_3d"], sample["joints_valid"], sample["keypoints_2d"]))
    camera = torch.cat(cameras)
    camera = camera.mean(0) if len(camera) else torch.tensor([0.9, 0.0, 0.0])
    known = torch.cat(rotations)
    if not len(known):
        return upright(), torch.zeros(10), camera
    return mean_rotation(known), torch.cat(betas).mean(0), camera


def _fitted_cameras(joints: torch.Tensor, valid: torch.Tensor, keypoints: torch.Tensor) -> torch.Tensor:
    """(s, tx, ty) of the frames with eight or more joints known in the picture and in space."""
    fitted = []
    for points, placed, seen in zip(joints, valid, keypoints, strict=True):
        known = (seen[:, 2] > 0) & placed
        if known.sum() < 8:
            continue
        x, u = points[known, :2], seen[known, :2]
        xc, uc = x - x.mean(0), u - u.mean(0)
        scale = (xc * uc).sum() / (xc * xc).sum().clamp_min(1e-9)
        if scale > 0.05:
            fitted.append(torch.cat([scale[None], u.mean(0) / scale - x.mean(0)]))
    return torch.stack(fitted) if fitted else torch.empty(0, 3)


def open_sources(
    run: Run, model: TemporalModel, size: int, features: Sequence[Path | None], augmentation: Augmentation, seed: int
) -> list[Clips]:
    """Open the folders as training clips, then the real data sets."""
    needs = model.needs | model.labels
    changes: dict[str, Any] = {"size": size, "stride": run.stride, "augmentation": augmentation, "seed": seed}
    opened: list[Clips] = [
        Clips(folder, model.window, needs, features=store, part=part_of(folder, "train", run.split), **changes)
        for folder, store in zip(run.data, features, strict=True)
    ]
    # real shapes and poses are SMPL's: on another body the same numbers are another person
    return opened + [
        RealClips(
            open_source(name, path, bodies=run.bodies),
            model.window,
            needs,
            smpl=run.body != "free",
            flow=run.flow.get(name),
            **changes,
        )
        for name, path in run.real
    ]


def part_of(folder: Path, part: str, split: bool = True) -> str:
    """A part's name where the folder is split, else "", which means all clips."""
    return part if split and (folder / SPLIT).exists() else ""


def open_validation(run: Run, model: TemporalModel, size: int, features: Sequence[Path | None]) -> list[Clips]:
    """Open the validation parts of the folders that have one, one frame a window, nothing changed."""
    stores = model.needs & {"features", "feature_maps"}
    return [
        Clips(folder, 1, model.needs, features=store if stores else None, size=size, part="val")
        for folder, store in zip(run.data, features, strict=True)
        if part_of(folder, "val", run.split) and read_split(folder)["val"]
    ]


def warm_start(model: TemporalModel, init: Path) -> list[str]:
    """Copy encoder and regressor out of a checkpoint.

    Returns:
        Names of what was copied.

    Raises:
        SynthError: it is not one, or its parts do not fit.
    """
    copied = model.start_from(load(init)["state"])
    log.info("%s: %d tensors copied from %s", model.name, len(copied), init)
    return copied


def fit(run: Run, *, resume: bool = False, report: Callable[[Progress], None] | None = None) -> Path:
    """Train, from the beginning or from the run's last checkpoint.

    Args:
        run: What to train.
        resume: Go on where `run.out` stopped.
        report: Told about the progress.

    Returns:
        The checkpoint.

    Raises:
        SynthError: something the user gave is wrong; nothing half-written is left.
    """
    settings: Settings = from_plain(Settings, {**settings_options(run.preset, run.model), **run.settings}, "settings")
    device = choose_device(run.device)
    processes = Processes.join(device.type)
    if device.type == "cuda" and processes.count > 1:
        device = torch.device("cuda", processes.local)
    size = run.size or CROP[run.preset]
    _check_out(run, resume)
    body = BodyLayer.named(run.body)
    check_body(body, run.data)
    options = model_options(run.preset, run.model) | dict(run.options)
    stores = _features(run, options, size, device, processes)
    torch.manual_seed(int(generator(settings.seed, "weights", run.model).integers(2**62)))
    model = _sized(run, options, stores)
    sources = open_sources(run, model, size, stores, Augmentation() if run.augment else PLAIN, settings.seed)
    _starting_point(run, model, sources[: len(run.data)])
    about = {
        "data": [str(folder) for folder in run.data],
        "real": [f"{name}={path}" for name, path in run.real],
        "bodies": None if run.bodies is None else str(run.bodies),
        "motions": None if run.motions is None else str(run.motions),
        "features": [None if store is None else str(store) for store in stores],
        "encoder_weights": None if sources[0].store is None else sources[0].store.about.get("weights"),
        "clips": clips_digest(sources),
        "parts": [source.part for source in sources[: len(run.data)]],
        "size": size,
        "preset": run.preset,
    }
    loop = Loop(
        model,
        sources,
        body,
        settings,
        run.out,
        weights=run.weights,
        about=about,
        device=device,
        processes=processes,
        validation=open_validation(run, model, size, stores),
        tensorboard=run.tensorboard,
        motions=open_motions(run, model, sources[0], settings.seed, processes) if run.motions else None,
    )
    if resume:
        loop.resume()
    elif processes.first:
        run.out.mkdir(parents=True, exist_ok=True)
        resolved = {"model": model.name, "options": model.config, "settings": settings, "about": about}
        write_text(run.out / "config.json", to_json(resolved) + "\n")
    processes.wait()
    loop.run(report)
    processes.wait()
    processes.leave()
    return loop.path


def open_motions(
    run: Run, model: TemporalModel, clips: Clips | RealClips, seed: int, processes: Processes
) -> MotionStream:
    """Motions for the discriminator, as long as a window and at the rate of the first clips.

    Raises:
        SynthError: the model cannot use them, or there are none.
    """
    if model.adversary is None:
        raise SynthError(f"--motions: {model.name} has no discriminator as it is set", "Leave the option out")
    if model.roots_matter:
        problem = f"--motions: {model.name}'s discriminator sees roots in the camera's frame, which motions do not tell"
        raise SynthError(problem, "Leave the option out: it learns from the labels")
    fps = float(clips.plain_labels(0)["fps"])
    windows = MotionWindows(run.motions or Path(), model.window, fps)
    log.info("%s: %.1f hours of motion, %d windows at %g Hz", run.motions, windows.hours, len(windows), fps)
    return MotionStream(windows, seed, part=processes.rank, parts=processes.count)


def clips_digest(sources: Sequence[Clips]) -> str:
    """SHA-256 over the clips and their shards' digests."""
    digest = hashlib.sha256()
    for source in sources:
        if isinstance(source, RealClips):
            tracks = "\n".join(f"{entry.name} {entry.frames}" for entry in source.source.entries)
            digest.update(f"{source.source.name} {tracks}\n".encode())
            continue
        for entry in source.windows.shards.entries:
            digest.update(f"{entry.clip_id} {entry.sha256}\n".encode())
    return digest.hexdigest()


def _check_out(run: Run, resume: bool) -> None:
    sources = len(run.data) + len(run.real)
    if unknown := sorted(set(run.flow) - {name for name, _ in run.real}):
        raise SynthError(f"--flow {unknown[0]}: no --real of that name", "Shards hold their own flow")
    if run.weights is not None and len(run.weights) != sources:
        hint = "Give one for each --data, then for each --real"
        raise SynthError(f"--weight: {len(run.weights)} given for {sources} folders", hint)
    if run.features and len(run.features) != len(run.data):
        raise SynthError(
            f"--features: {len(run.features)} given for {len(run.data)} folders", "Give one for each --data"
        )
    exists = (run.out / "last.pt").exists()
    if exists and not resume:
        raise SynthError(f"{run.out}: already holds a run", "Go on with --resume, or choose another --out folder")
    if resume and not exists:
        raise SynthError(f"{run.out}: holds no run to resume", "Leave --resume out to begin one")


def _features(
    run: Run, options: Mapping[str, Any], size: int, device: torch.device, processes: Processes
) -> list[Path | None]:
    """Feature folders of each source, extracted now if the model needs some and none were given."""
    needs = model_needs(run.model, options)
    kinds = needs & {"features", "feature_maps", "features_occluded"}
    if not kinds:
        return [None] * len(run.data)
    if run.features:
        return list(run.features)
    if run.model == "smoothnet":
        hint = "Make them by `train extract --predictions CHECKPOINT`"
        raise SynthError("smoothnet smooths another model's predictions: --features is missing", hint)
    folders: list[Path | None] = [run.out / "features" / str(i) for i in range(len(run.data))]
    if processes.first:
        name = ENCODER.get(run.preset, "resnet50")
        from_checkpoint = run.init if run.init is not None and _has_encoder(run.init) else None
        encoder = encoder_of(from_checkpoint, name, run.backbone_weights)
        for folder, out in zip(run.data, folders, strict=True):
            assert out is not None
            log.info("%s: extracting features into %s", folder, out)
            extract(
                folder,
                out,
                encoder,
                size=size,
                maps="feature_maps" in kinds,
                occluded=4 if "features_occluded" in kinds else 0,
                device=str(device),
            )
    processes.wait()
    return folders


def model_needs(name: str, options: Mapping[str, Any]) -> frozenset[str]:
    """What a model with these options reads, found without building its weights."""
    with torch.device("meta"):
        model = model_class(name).from_config(options)
    return model.needs | model.labels


def _has_encoder(path: Path) -> bool:
    return any(name.startswith("backbone.") for name in load(path)["state"])


def _sized(run: Run, options: dict[str, Any], stores: Sequence[Path | None]) -> TemporalModel:
    """The model, as wide as the features are."""
    kind = model_class(run.model)
    if stores[0] is not None and "features" in kind.Config.__dataclass_fields__ and "features" not in run.options:
        options = options | {"features": FeatureStore(stores[0]).width}
    return build(run.model, options)


def _starting_point(run: Run, model: TemporalModel, sources: Sequence[Clips]) -> None:
    if run.init is not None:
        copied = warm_start(model, run.init)
        _set_means(model, sources, copied)
        return
    network = getattr(model, "backbone", None)
    if run.backbone_weights is not None and network is not None:
        load_weights(network, run.backbone_weights)
    elif network is not None and run.preset != "smoke":
        log.warning("the encoder starts from random weights; --backbone-weights takes published ones")
    _set_means(model, sources, ())


def _set_means(model: TemporalModel, sources: Sequence[Clips], copied: Collection[str]) -> None:
    """Let iterations start at the labels' mean, in all parts that were not copied from another model."""
    named = ((name, module) for name, module in model.named_modules() if isinstance(module, Regressor | Heads))
    parts = [module for name, module in named if not any(other.startswith(f"{name}.") for other in copied)]
    if parts:
        mean = label_mean(sources)
        for part in parts:
            part.set_mean(*mean)
