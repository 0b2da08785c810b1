import json
from pathlib import Path

import drill_kit
import farm_fixtures
import pytest

from render_farm import board, records
from render_farm.collect import collect
from render_farm.job import Limits, Order, Outcome, perform, version
from render_farm.plan import write_plan
from render_farm.store import open_store
from synth.spec import to_json

ledger = farm_fixtures.ledger
bucket = farm_fixtures.bucket


def do(out: Path, action: str = "good", **changes: object) -> Outcome:
    """Do one job in this process, as a node does."""
    store = open_store(str(out))
    if not changes.pop("gone", False):
        store.prepare()
    spec = drill_kit.spec(0, action)
    limits = changes.pop("limits", Limits(seconds=120.0, memory=2**30))
    order = Order(clip_id=spec.clip_id, spec=to_json(spec), store=str(out), driver="test", limits=limits, **changes)
    return Outcome(**json.loads(perform(order.to_json())))


def test_a_good_job_leaves_its_shard_and_nothing_else(ledger: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = do(out)
    assert outcome.kind == "done"
    assert outcome.seconds > 0
    assert drill_kit.sound(out) == {outcome.clip_id}
    assert drill_kit.leftovers(out) == []
    assert open_store(str(out)).names("claims") == []
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "--- attempt" in (out / "logs" / f"{outcome.clip_id}.log").read_text()
    assert do(out).kind == "present"
    assert drill_kit.executions(ledger, outcome.clip_id) == 1


@pytest.mark.parametrize(
    ("action", "limits", "reason"),
    [
        ("segv", Limits(seconds=120.0), "was killed by SIGSEGV"),
        ("memory:3", Limits(seconds=120.0, memory=2**30), "needed more than its 1 GiB of memory"),
        ("sleep:600", Limits(seconds=3.0), "ran longer than its 3 s"),
        ("error", Limits(seconds=120.0), "motion.npz: changed since the plan. Plan again"),
    ],
)
def test_a_failure_is_written_down_with_its_reason(
    action: str, limits: Limits, reason: str, ledger: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = do(out, action, limits=limits)
    assert (outcome.kind, outcome.reason) == ("failed", reason)
    (noted,) = records.failures(open_store(str(out)))
    assert (noted.reason, noted.kind) == (reason, records.APPLICATION)
    assert drill_kit.orphans(ledger) == []
    assert open_store(str(out)).names("claims") == []


def test_a_refusal_is_no_failure(ledger: Path, tmp_path: Path) -> None:
    outcome = do(tmp_path / "out", "reject")
    assert outcome.kind == "rejected"
    store = open_store(str(tmp_path / "out"))
    assert records.failures(store) == []
    assert json.loads(store.read(f"rejected/{outcome.clip_id}.json") or "")["reasons"]


def test_a_store_that_is_not_there_is_nobodys_failure(ledger: Path, tmp_path: Path) -> None:
    outcome = do(tmp_path / "out", gone=True, patience=0.0)
    assert outcome.kind == "storage"
    assert not (tmp_path / "out").exists()


def test_a_node_with_other_code_refuses(ledger: Path, tmp_path: Path) -> None:
    assert do(tmp_path / "out", version="raiment 9.9.9 bpy 1").kind == "version"
    assert do(tmp_path / "out", version=version()).kind == "done"


def test_a_job_that_a_living_process_has_is_left_alone(ledger: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    store.prepare()
    records.my_claim("another driver").take(store, drill_kit.spec(0).clip_id)
    assert do(tmp_path / "out").kind == "elsewhere"
    assert drill_kit.executions(ledger, drill_kit.spec(0).clip_id) == 0


def test_scratch_of_dead_workers_is_swept(ledger: Path, tmp_path: Path) -> None:
    dead = tmp_path / "scratch" / f"raiment-job-{2**22 + 5}-abc"  # no process has this number
    dead.mkdir()
    (dead / "half.h5").touch()
    do(tmp_path / "out", "reject")
    assert not dead.exists()


def test_an_object_store_gets_shard_and_log(ledger: Path, tmp_path: Path, bucket: str) -> None:
    spec = drill_kit.spec(7)
    url = f"{bucket}/{tmp_path.name}"
    order = Order(clip_id=spec.clip_id, spec=to_json(spec), store=url, driver="test")
    assert json.loads(perform(order.to_json()))["kind"] == "done"
    store = open_store(url)
    assert store.fault(spec.clip_id) == ""
    assert "--- attempt" in store.log(spec.clip_id)
    assert list((tmp_path / "scratch").iterdir()) == []

    specs = [spec, drill_kit.spec(8)]
    write_plan(tmp_path / "plan.jsonl", specs)
    board.keep_plan(store, tmp_path / "plan.jsonl")
    store.write(f"rejected/{specs[1].clip_id}.json", '{"reasons": ["slipped off"]}')
    found = collect(store)
    assert (found.shards, found.rejected, found.missing) == (1, 1, [])
    import fsspec

    lines = fsspec.filesystem("s3").cat_file(f"{url}/manifest.jsonl").decode().splitlines()
    found = [json.loads(line) for line in lines]
    assert [(entry["clip_id"], entry["status"], entry["seconds"]) for entry in found] == [
        (spec.clip_id, "done", {"render": 1.0}),
        (specs[1].clip_id, "rejected", {}),
    ]
