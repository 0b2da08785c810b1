"""What the shards of a folder have in them, in numbers to be drawn."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synth.body.joints import JOINT_NAMES
from synth.provenance import Run, recorded_runs
from synth.shards.manifest import Entry, Manifest, ShardFolder, open_dataset
from synth.shards.read import ShardReader

Array = np.ndarray

__all__ = ["Facts", "collect"]


@dataclass(slots=True, kw_only=True)
class Facts:
    """Numbers of a folder: by name, one list of values over clips (or views, lights, garments, frames)."""

    shards: ShardFolder
    entries: list[Entry]
    """Also the rejected ones."""
    poses: dict[str, Array] = field(default_factory=dict)
    """Angle of each joint's rotation from the rest pose in every frame [degrees]."""
    betas: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cameras: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lights: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    quality: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Mean of each measure over a clip, for each garment."""
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    runs: list[Run] = field(default_factory=list)
    """Commands that made the clips."""
    origin: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Clip id and what its shard says of where it came from."""


def collect(folder: Path) -> Facts:
    """Read the small arrays of every shard.

    Raises:
        SynthError: no manifest, or a shard is damaged.
    """
    entries = list(Manifest(folder).entries().values())
    facts = Facts(shards=open_dataset(folder), entries=entries, runs=recorded_runs(folder))
    angles = []
    for index, entry in enumerate(facts.shards.entries):
        reader = facts.shards[index]
        pose = np.concatenate([reader.clip("smpl/global_orient")[:, None], reader.clip("smpl/body_pose")], axis=1)
        angles.append(np.degrees(np.linalg.norm(pose, axis=2)))
        for k, value in enumerate(reader.clip("smpl/betas").tolist()):
            facts.betas[f"beta {k}"].append(value)
        for garment, _, _ in reader.layout.garments:
            facts.counts["garment"][garment] += 1
            for name in ("penetration", "poke_through", "strain", "coverage", "drift", "speed_ratio"):
                facts.quality[name].append(float(reader.clip(f"quality/{garment}/{name}").mean()))
        for view in range(reader.layout.views):
            _camera(facts, reader, view)
        spec = json.loads(reader.attributes["spec"])
        _scene(facts, spec)
        for title in ("kind", "outfit", "motion", "gender"):
            facts.counts[title][str(entry.attributes.get(title, "?"))] += 1
        names = ("commit", "bpy_version", "device", "body_model", "config", "spec")
        facts.origin.append((entry.clip_id, {name: str(reader.attributes[name]) for name in names}))
    if angles:
        joined = np.concatenate(angles)
        facts.poses = {name: joined[:, k] for k, name in enumerate(JOINT_NAMES) if k}
    return facts


def _camera(facts: Facts, reader: ShardReader, view: int) -> None:
    """Where a view's camera stands in the first frame, seen from the pelvis."""
    K, pose = reader.clip(f"views/{view}/K"), reader.clip(f"views/{view}/T_camera_world", 0, 1)
    position = -pose[0, :3, :3].T @ pose[0, :3, 3]
    offset = position - reader.clip("joints_world", 0, 1)[0, 0]
    facts.cameras["distance [m]"].append(float(np.linalg.norm(offset)))
    facts.cameras["azimuth [degrees]"].append(float(np.degrees(np.arctan2(offset[1], offset[0]))))
    facts.cameras["elevation [degrees]"].append(float(np.degrees(np.arctan2(offset[2], np.hypot(*offset[:2])))))
    facts.cameras["focal length [px]"].append(float(K[0, 0]))


def _scene(facts: Facts, spec: dict) -> None:
    """Lights and environment of a clip; a spec of another version may lack them."""
    scene = spec.get("scene", {})
    lights = scene.get("lights", [])
    facts.lights["lights in a clip"].append(float(len(lights)))
    for light in lights:
        for name, unit in (("power", "W"), ("size", "m")):
            if isinstance(light.get(name), (int, float)):
                facts.lights[f"{name} [{unit}]"].append(float(light[name]))
    environment = scene.get("environment") or {}
    if isinstance(environment.get("strength"), (int, float)):
        facts.lights["environment's strength"].append(float(environment["strength"]))
    background = scene.get("background") or {}
    facts.counts["background"][str(background.get("kind", "?"))] += 1
