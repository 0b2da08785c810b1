"""READ FIRST: the one way through the project, from a spec to a shard.

    plan          settings -> ClipSpec, pure data; everything random is decided there      (synth.plan)
    simulate      ClipSpec -> SimulatedClip: lead in from the A-pose, let the cloth move, judge it
    render        SimulatedClip -> Passes: Cycles, a picture and its ground truth per view and frame
    label, shard  Passes -> FrameLabels -> one HDF5 file, written whole or not at all
    verify        the shard's labels against its own pixels                               (synth.shards.verify)

`make_clip` does one clip in this process. `synth.run` does a whole plan, each clip in a process of its own.
"""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from synth import provenance
from synth.assets import resolve
from synth.blender.device import blender_version, choose
from synth.blender.render import ClipRenderer
from synth.blender.simulate import solve
from synth.body.model import load_body
from synth.cloth import store
from synth.cloth.items import with_items
from synth.cloth.rate import captured
from synth.cloth.simulate import simulate
from synth.journal import Journal, shown
from synth.layout import journal_folder, shard_path, simulation_path
from synth.scene.cameras import cameras
from synth.shards.write import Provenance, write_shard
from synth.spec import ClipSpec, to_plain
from synth.types import BodyModel, Passes, SimulatedClip

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told the stage ("simulate" or "render"), how much of it is done, and of how much."""


def make_clip(spec: ClipSpec, out: Path, *, device: str, progress: Progress) -> dict[str, float]:
    """Make one clip's shard. Doing it twice, or at two places at once, does no harm.

    Args:
        spec: What to make.
        out: Folder of the shards.
        device: What to render on; "auto" takes the best there is.
        progress: Told how far it is.

    Returns:
        Seconds spent on each stage.

    Raises:
        Rejected: the quality gate refused the clip's cloth; says why.
        SynthError: an input is missing or was changed since the plan, the device is not there, the disk is full.
    """
    device = choose(device)
    body = load_body(resolve(spec.body.file), spec.body.gender)
    clock = time.perf_counter()
    clip = simulated(spec, body, out, progress)
    seconds = {"simulate": time.perf_counter() - clock}
    journal = Journal(journal_folder(out, spec), shown(clip))
    made = frames(spec, clip, body, journal, device, progress)
    clock = time.perf_counter()
    rendering = _Timed(made)
    write_shard(
        shard_path(out, spec),
        spec=spec,
        clip=clip,
        body=body,
        cameras=cameras(spec.scene.cameras, clip.joints_world[:, 0]),
        frames=rendering,
        provenance=Provenance(
            config=to_plain(spec.render),
            commit=provenance.commit(),
            bpy_version=blender_version(),
            device=device,
        ),
    )
    seconds["render"] = rendering.seconds
    seconds["write"] = time.perf_counter() - clock - rendering.seconds
    journal.clear()
    return seconds


def simulated(spec: ClipSpec, body: BodyModel, out: Path, progress: Progress) -> SimulatedClip:
    """The clip's dressed body in motion, from the cache if it is there.

    Raises:
        Rejected: the quality gate refused it.
    """
    path = simulation_path(out, spec)
    clip = store.load(path, spec, body)
    if clip is None:
        motion, every = captured(spec.motion, body, np.array(spec.body.betas))
        clip = simulate(spec, body, motion, solve, lambda done, of: progress("simulate", done, of), every)
        store.save(path, spec, clip)
    return with_items(clip, spec.items, body)


def frames(
    spec: ClipSpec, clip: SimulatedClip, body: BodyModel, journal: Journal, device: str, progress: Progress
) -> Iterator[tuple[int, int, Passes]]:
    """Render every view of every frame, or take it from the journal.

    Yields:
        View, frame and what was rendered, frame by frame.
    """
    views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
    renderer = None
    total = len(clip.motion) * len(views)
    try:
        for t in range(len(clip.motion)):
            for view in range(len(views)):
                passes = journal.get(view, t)
                if passes is None:
                    renderer = renderer or ClipRenderer(spec, clip, body, views, device)
                    passes = renderer.frame(view, t)
                    if device == "cpu":  # elsewhere a whole clip takes seconds, and keeping a picture would be dear
                        journal.put(view, t, passes)
                yield view, t, passes
                progress("render", t * len(views) + view + 1, total)
    finally:
        if renderer is not None:
            renderer.close()


class _Timed:
    """An iterator that adds up how long its items take to come."""

    def __init__(self, items: Iterator[tuple[int, int, Passes]]) -> None:
        self._items = items
        self.seconds = 0.0

    def __iter__(self) -> Iterator[tuple[int, int, Passes]]:
        return self

    def __next__(self) -> tuple[int, int, Passes]:
        clock = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += time.perf_counter() - clock
