"""Write one clip's shard: stream the frames into a temporary file, check it, let it appear under its name at once."""

import contextlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from PIL import Image

from synth.errors import SynthError
from synth.files import temporary
from synth.labels.frame import label_frame
from synth.labels.keypoints import keypoints_world, rest_pelvis, smpl_in_camera
from synth.shards import checksum, schema
from synth.spec import ClipSpec, to_json
from synth.types import BodyModel, Camera, FrameLabels, Passes, SimulatedClip

Array = np.ndarray

__all__ = ["Provenance", "ShardWriter", "publish", "write_shard"]

_FILTERS = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What made the shard. All of it goes into the file, so it must not change from run to run."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved configuration, JSON's types."""
    commit: str = "unknown"
    bpy_version: str = "none"
    device: str = "none"


def write_shard(
    path: Path,
    *,
    spec: ClipSpec,
    clip: SimulatedClip,
    body: BodyModel,
    cameras: tuple[Camera, ...],
    frames: Iterable[tuple[int, int, Passes]],
    provenance: Provenance,
) -> Path:
    """Label and write one clip.

    Args:
        path: The shard, `<folder>/<clip id>.h5`. If it already exists it is left alone: another process was faster.
        spec: What the clip is.
        clip: The dressed body in motion.
        body: The model of its body.
        cameras: One for each view.
        frames: (view, t, passes), view by view or frame by frame; within a view t counts up from 0.
        provenance: What made it.

    Returns:
        `path`.

    Raises:
        SynthError: a frame is missing or holds impossible values, the disk is full, or the file read back is not right.
    """
    with ShardWriter(path, spec=spec, clip=clip, body=body, cameras=cameras, provenance=provenance) as writer:
        for view, t, passes in frames:
            writer.add(view, t, passes, label_frame(clip, body, cameras[view], passes, t))
    return path


class ShardWriter:
    """A shard being written, as a context manager: what is whole at the end appears, anything else disappears.

    The same content added in the same order gives the same bytes.
    """

    def __init__(
        self,
        path: Path,
        *,
        spec: ClipSpec,
        clip: SimulatedClip,
        body: BodyModel,
        cameras: tuple[Camera, ...],
        provenance: Provenance,
    ) -> None:
        self.path, self.spec, self.clip, self.body, self.cameras = Path(path), spec, clip, body, cameras
        self.provenance = provenance
        self.layout = _layout(clip, body, cameras)
        self.expected = schema.expected(self.layout)
        self._part = temporary(self.path)
        self._digests: dict[str, Any] = {}
        self._open: dict[str, h5py.Dataset] = {}
        self._jpegs: list[list[bytes]] = [[] for _ in cameras]

    def __enter__(self) -> "ShardWriter":
        with self._readable_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(self._part, "x", libver=("v110", "v110"))
            try:
                self._begin()
            except BaseException:
                self._discard()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._readable_errors():
                    self._finish()
        finally:
            self._discard()

    def add(self, view: int, t: int, passes: Passes, labels: FrameLabels) -> None:
        """Write one frame of one view.

        Raises:
            ValueError: a frame of this view was left out or came twice.
            SynthError: a value is impossible, or the disk is full.
        """
        if t != len(self._jpegs[view]) or t >= self.layout.frames:
            raise ValueError(f"{self.spec.clip_id}: view {view}: expected frame {len(self._jpegs[view])}, got {t}")
        arrays = {
            "depth": passes.depth,
            "flow": passes.flow if t + 1 < self.layout.frames else np.zeros_like(passes.flow),
            "normal": passes.normal,
            "parts": passes.parts,
            "garments": passes.garments,
            "keypoints_2d": labels.keypoints_2d,
            "joints_camera": labels.joints_camera,
            "visibility": labels.visibility,
            "bbox": labels.bbox,
        }
        with self._readable_errors():
            for name, array in arrays.items():
                self._append(f"views/{view}/{name}", t, array)
        self._jpegs[view].append(_jpeg(passes.rgb, self.spec.render.jpeg_quality))

    def _begin(self) -> None:
        attributes = {
            "schema_version": schema.SCHEMA_VERSION,
            "clip_id": self.spec.clip_id,
            "spec": to_json(self.spec),
            "config": json.dumps(dict(self.provenance.config), sort_keys=True),
            "commit": self.provenance.commit,
            "bpy_version": self.provenance.bpy_version,
            "device": self.provenance.device,
            "body_model": json.dumps({"name": self.body.name, "gender": self.body.gender, "sha256": self.body.sha256}),
            "conventions": schema.CONVENTIONS,
            "fps": self.clip.motion.fps,
            "cloth": json.dumps({"solvers": dict(self.clip.solvers), "tries": self.clip.tries}, sort_keys=True),
            "layout": self.layout.to_json(),
        }
        self._file.attrs.update(attributes)
        for path, array in _clip_arrays(self.clip, self.body, self.cameras).items():
            self._put(path, array)

    def _create(self, path: str, shape: tuple[int, ...]) -> h5py.Dataset:
        wanted = self.expected[path]
        chunk = wanted.chunk
        filters = {} if chunk is None else {"chunks": chunk, **_FILTERS}
        dataset = self._file.create_dataset(path, shape=shape, dtype=wanted.kind.dtype, track_times=False, **filters)
        dataset.attrs.update({"about": wanted.kind.about, "unit": wanted.kind.unit, "scale": wanted.kind.scale})
        self._digests[path], self._open[path] = checksum.begin(path, dataset.dtype, shape), dataset
        return dataset

    def _put(self, path: str, values: Any) -> None:
        stored = schema.encode(self.expected[path].kind, values, f"{self.path.name}: {path}")
        self._check_shape(path, self.expected[path].shape, stored.shape)
        self._create(path, stored.shape)[...] = stored
        self._digests[path].update(np.ascontiguousarray(stored).data)

    def _append(self, path: str, t: int, values: Array) -> None:
        wanted = self.expected[path]
        dataset = self._open.get(path) or self._create(path, wanted.shape)
        stored = schema.encode(wanted.kind, values, f"{self.path.name}: {path}, frame {t}")
        self._check_shape(path, wanted.shape[1:], stored.shape)
        dataset[t] = stored
        self._digests[path].update(np.ascontiguousarray(stored).data)

    def _check_shape(self, path: str, wanted: tuple[int, ...], got: tuple[int, ...]) -> None:
        if len(wanted) != len(got) or any(w not in (-1, g) for w, g in zip(wanted, got, strict=True)):
            raise ValueError(f"{self.spec.clip_id}: {path}: expected {wanted}, got {got}")

    def _finish(self) -> None:
        for view, jpegs in enumerate(self._jpegs):
            if len(jpegs) != self.layout.frames:
                raise SynthError(
                    f"clip {self.spec.clip_id}: view {view} has {len(jpegs)} of {self.layout.frames} frames",
                    "Run the same command again: an unfinished clip is made anew",
                )
            self._put(f"views/{view}/rgb", np.frombuffer(b"".join(jpegs), dtype=np.uint8))
            self._put(f"views/{view}/rgb_offsets", np.cumsum([0, *map(len, jpegs)]))
        _write_checksums(self._file, {path: digest.hexdigest() for path, digest in self._digests.items()})
        self._file.close()
        _flush(self._part)
        _validate(self._part)
        publish(self._part, self.path)

    def _discard(self) -> None:
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a full disk fails again on closing
            self._file.close()
        self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _readable_errors(self) -> Any:
        try:
            yield
        except (OSError, RuntimeError) as error:
            free = _free_bytes(self.path.parent)
            hint = f"{free / 2**20:.0f} MiB are free in {self.path.parent}; make room or choose another --out folder"
            raise SynthError(f"{self.path}: cannot be written ({error})", hint) from error


def _layout(clip: SimulatedClip, body: BodyModel, cameras: tuple[Camera, ...]) -> schema.Layout:
    sizes = {(camera.height, camera.width) for camera in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras: expected one or more with one picture size, got {sorted(sizes)}")
    ((height, width),) = sizes
    garments = [dressed.garment for dressed in clip.garments]
    return schema.Layout(
        frames=len(clip.motion),
        views=len(cameras),
        height=height,
        width=width,
        vertices=len(body.v_template),
        faces=len(body.faces),
        betas=len(clip.betas),
        garments=tuple((g.name, clip.garment_vertices_world[g.name].shape[1], len(g.faces)) for g in garments),
        keypoint_sets=tuple((name, len(matrix)) for name, matrix in sorted(body.keypoint_regressors.items())),
    )


def _clip_arrays(clip: SimulatedClip, body: BodyModel, cameras: tuple[Camera, ...]) -> dict[str, Array]:
    """All that does not come out of the renderer, by path."""
    motion = clip.motion
    arrays: dict[str, Array] = {
        "smpl/global_orient": motion.global_orient,
        "smpl/body_pose": motion.body_pose,
        "smpl/betas": clip.betas,
        "smpl/transl": motion.transl,
        "source_frames": motion.source_frames,
        "joints_world": clip.joints_world,
        "vertices_world": clip.body_vertices_world,
        "faces": body.faces.astype(np.int64),
        "face_parts": body.face_parts,
    }
    sets = keypoints_world(body, clip.body_vertices_world)
    arrays |= {f"keypoints_world/{name}": points for name, points in sets.items()}
    for dressed in clip.garments:
        name = dressed.garment.name
        arrays[f"garments/{name}/vertices_world"] = clip.garment_vertices_world[name]
        arrays[f"garments/{name}/faces"] = dressed.garment.faces
        arrays[f"garments/{name}/face_parts"] = dressed.face_parts
        for measure in schema.QUALITY:
            arrays[f"quality/{name}/{measure}"] = getattr(clip.quality[name], measure)
    pelvis = rest_pelvis(body, clip.betas)
    for view, camera in enumerate(cameras):
        orient, transl = smpl_in_camera(motion.global_orient, motion.transl, pelvis, camera.T_camera_world)
        arrays[f"views/{view}/K"] = camera.K
        arrays[f"views/{view}/T_camera_world"] = camera.T_camera_world
        arrays[f"views/{view}/smpl_camera/global_orient"] = orient
        arrays[f"views/{view}/smpl_camera/transl"] = transl
        arrays[f"views/{view}/flow_valid"] = (np.arange(len(motion)) + 1 < len(motion)).astype(np.uint8)
    return arrays


def _jpeg(rgb: Array, quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def _write_checksums(file: h5py.File, digests: dict[str, str]) -> None:
    digests = {"attributes": checksum.attributes_digest(file, sorted(digests)), **dict(sorted(digests.items()))}
    for path, column in zip(schema.CHECKSUMS, (list(digests), list(digests.values())), strict=True):
        file.create_dataset(path, data=np.array([text.encode() for text in column]), track_times=False)


def _flush(path: Path) -> None:
    """Make sure the file's bytes, or the folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _validate(path: Path) -> None:
    from synth.shards.read import check_checksums

    if faults := check_checksums(path):
        raise SynthError(f"{path}: what was written reads back differently ({faults[0]})", "Check the disk")


def publish(part: Path, path: Path) -> bool:
    """Give a finished temporary file its name, never over an existing file.

    Args:
        part: The temporary file, in the same folder; gone afterwards.
        path: Its final name.

    Returns:
        True if it is ours now, False if another process was faster.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        part.unlink()
        return False
    except OSError:  # a file system without hard links: a rename can overwrite, but only with an equal shard
        if path.exists():
            part.unlink()
            return False
        part.rename(path)
    part.unlink(missing_ok=True)
    _flush(path.parent)
    return True


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
