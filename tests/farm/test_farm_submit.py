import json
from pathlib import Path

import pytest

from render_farm import board
from render_farm.plan import write_plan
from render_farm.store import FolderStore
from render_farm.submit import Replacer, unsettled
from synth.config import load_config
from synth.plan import Planner

SETTINGS = {"motion.clips": 2, "motion.interpolated_share": 0.0, "motion.frames": 4, "cloth.garments": ("none",)}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "out")
    store.prepare()
    return store


def refuse(store: FolderStore, clip_id: str) -> None:
    store.write(f"rejected/{clip_id}.json", json.dumps({"reasons": ["slipped off"]}))


def test_a_refused_clip_is_replaced_until_all_attempts_are_refused(store: FolderStore, tmp_path: Path) -> None:
    planner = Planner(load_config(None, SETTINGS))
    write_plan(tmp_path / "plan.jsonl", planner.clips(), planner.config)
    board.keep_plan(store, tmp_path / "plan.jsonl")
    second, replacer = planner.clip(1).clip_id, Replacer(store)
    for attempt in range(4):
        refuse(store, planner.clip(0, attempt).clip_id)
        todo = [job.clip_id for job in unsettled(store, replacer)]
        wanted = [planner.clip(0, attempt + 1).clip_id] if attempt < 3 else []
        assert sorted(todo) == sorted([second, *wanted])  # each once, also when the replacement is in a plan already
        assert sorted(job.clip_id for job in unsettled(store, replacer)) == sorted(todo)
    state = board.look(store)
    assert len(state.rejected) == 4
    assert state.jobs == 5


def test_without_settings_nothing_is_replaced(store: FolderStore, tmp_path: Path) -> None:
    planner = Planner(load_config(None, SETTINGS))
    write_plan(tmp_path / "plan.jsonl", planner.clips())
    board.keep_plan(store, tmp_path / "plan.jsonl")
    refuse(store, planner.clip(0).clip_id)
    assert [job.clip_id for job in unsettled(store, Replacer(store))] == [planner.clip(1).clip_id]
