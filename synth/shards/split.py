"""Train, validation and test parts of a folder, such that nothing that was seen in one part comes again in another."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synth import rng
from synth.errors import SynthError
from synth.files import write_text
from synth.shards.manifest import ShardFolder, open_dataset

__all__ = ["KEYS", "NAME", "PARTS", "make_split", "open_split", "read_split"]

NAME = "split.json"
PARTS = ("train", "val", "test")


def _subjects(spec: Mapping[str, Any]) -> set[str]:
    """Who moved: the sequence's name without its number, such as "cmu/01" of "cmu/01_03"."""
    return {name.rpartition("_")[0] or name for name in spec["motion"]["names"]}


def _textures(spec: Mapping[str, Any]) -> set[str]:
    """Looks of skin and clothes: an image's digest, or the seed of what is procedural."""
    materials = [spec["scene"]["skin"], *(garment["material"] for garment in spec["outfit"])]
    return {str((m.get("image") or {}).get("sha256") or f"{m['kind']} {m['seed']}") for m in materials}


KEYS: dict[str, Callable[[Mapping[str, Any]], set[str]]] = {
    "subject": _subjects,
    "motion": lambda spec: set(spec["motion"]["names"]),
    "outfit": lambda spec: {"+".join(garment["name"] for garment in spec["outfit"])},
    "garment": lambda spec: {garment["name"] for garment in spec["outfit"]},
    "texture": _textures,
    "body": lambda spec: {json.dumps([spec["body"]["file"]["sha256"], spec["body"]["betas"]])},
}
"""What two clips may share, by name: the values that a spec has."""


def make_split(folder: Path, by: tuple[str, ...], shares: Mapping[str, float], seed: int = 0) -> dict[str, list[str]]:
    """Divide the clips and store it as split.json in the folder.

    Clips that share a value of any key, also through a chain of others, stay together. The groups go, the largest
    first, each to the part that lacks most of its share (the last ones to parts that are still empty); groups of one
    size are shuffled by the seed.

    Args:
        folder: The shards.
        by: Names in `KEYS`.
        shares: Weight of each of `PARTS`; 0: the part stays empty.
        seed: Of the shuffle.

    Returns:
        Clip ids by part.

    Raises:
        SynthError: a part would stay empty though its share is not 0; says what ties the clips together.
        ValueError: an unknown key or part, or shares that are negative or all zero.
    """
    if unknown := (set(by) - KEYS.keys()) | (set(shares) - set(PARTS)):
        raise ValueError(f"split: unknown {sorted(unknown)}")
    if min(shares.values(), default=0) < 0 or not sum(shares.values()) > 0:
        raise ValueError(f"split: expected shares that are not negative and not all zero, got {dict(shares)}")
    shards = open_dataset(folder)
    specs = {entry.clip_id: json.loads(shards[k].attributes["spec"]) for k, entry in enumerate(shards.entries)}
    groups = _groups({clip_id: {(key, v) for key in by for v in KEYS[key](spec)} for clip_id, spec in specs.items()})
    random = rng.generator(seed, "split")
    groups = sorted((groups[i] for i in random.permutation(len(groups))), key=len, reverse=True)
    total, parts = sum(shares.values()), {part: list[str]() for part in PARTS}
    for number, group in enumerate(groups):
        empty = {part for part, share in shares.items() if share > 0 and not parts[part]}
        lack = {part: len(specs) * share / total - len(parts[part]) for part, share in shares.items() if share > 0}
        last = len(groups) - number <= len(empty)  # so many groups are left as parts are empty
        parts[max(empty if last and empty else lack, key=lambda part: (lack[part], part))] += group
    empty = [part for part, share in shares.items() if share > 0 and not parts[part]]
    if empty:
        tie = _tie(specs, by)
        hint = f"Most clips have in common: {tie}. Split by fewer keys, give a share of 0, or render more variety"
        raise SynthError(f"{folder}: {len(specs)} clips in {len(groups)} groups leave {', '.join(empty)} empty", hint)
    parts = {part: sorted(clips) for part, clips in parts.items()}
    record = {"by": list(by), "shares": dict(shares), "seed": seed, **parts}
    write_text(folder / NAME, json.dumps(record, indent=1) + "\n")
    return parts


def _groups(values: Mapping[str, set[tuple[str, str]]]) -> list[list[str]]:
    """Connected clips, by union and find over their common values."""
    parent = {clip: clip for clip in values}

    def root(clip: str) -> str:
        while parent[clip] != clip:
            parent[clip] = parent[parent[clip]]
            clip = parent[clip]
        return clip

    first: dict[tuple[str, str], str] = {}
    for clip, own in values.items():
        for value in own:
            parent[root(clip)] = root(first.setdefault(value, clip))
    groups: dict[str, list[str]] = defaultdict(list)
    for clip in sorted(values):
        groups[root(clip)].append(clip)
    return sorted(groups.values())


def _tie(specs: Mapping[str, Mapping[str, Any]], by: tuple[str, ...]) -> str:
    counts = Counter(f"{key} {value[:40]}" for spec in specs.values() for key in by for value in KEYS[key](spec))
    return ", ".join(f"{name} ({count} of {len(specs)})" for name, count in counts.most_common(2))


def read_split(folder: Path) -> dict[str, list[str]]:
    """The stored parts of a folder: clip ids by part.

    Raises:
        SynthError: there is no split, or its file is damaged or names a clip twice.
    """
    path = folder / NAME
    if not path.is_file():
        raise SynthError(f"{folder}: is not split yet", "`synth split DIR` makes train, val and test parts")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = {part: [str(clip) for clip in record[part]] for part in PARTS}
    except (ValueError, KeyError, TypeError) as error:
        raise SynthError(f"{path}: is damaged ({error})", "`synth split DIR` makes it anew") from None
    clips = [clip for part in parts.values() for clip in part]
    if len(set(clips)) != len(clips):
        raise SynthError(f"{path}: a clip is in two parts", "`synth split DIR` makes it anew")
    return parts


def open_split(folder: Path, part: str, keep_open: int = 64) -> ShardFolder:
    """Open one part of a folder.

    Args:
        folder: The shards.
        part: "train", "val" or "test".
        keep_open: Shards kept open at most.

    Raises:
        SynthError: the folder is not split, or has clips that its split does not know.
        ValueError: an unknown part.
    """
    if part not in PARTS:
        raise ValueError(f"part: expected one of {PARTS}, got {part!r}")
    parts, shards = read_split(folder), open_dataset(folder)
    known = {clip for clips in parts.values() for clip in clips}
    if new := [entry.clip_id for entry in shards.entries if entry.clip_id not in known]:
        raise SynthError(f"{folder}: {len(new)} clips are newer than its split, such as {new[0]}", "Split it again")
    wanted = set(parts[part])
    return ShardFolder(shards.folder, [e for e in shards.entries if e.clip_id in wanted], keep_open)
