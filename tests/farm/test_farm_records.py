import dataclasses
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from render_farm import records
from render_farm.records import DriverReport, Failure
from render_farm.store import FolderStore, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = FolderStore(tmp_path / "out")
    store.prepare()
    return store


def failure(clip_id: str, kind: str = records.APPLICATION, reason: str = "SIGSEGV") -> Failure:
    return Failure(clip_id=clip_id, kind=kind, reason=reason, host="h", driver="d", time=time.time())


def test_a_living_process_keeps_its_claim(store: Store) -> None:
    one = records.my_claim("one")
    other = dataclasses.replace(one, driver="two")
    assert one.take(store, "abc")
    assert not other.take(store, "abc")
    assert not one.take(store, "abc")  # a worker that is cut off still works, and renews its claim on the store
    other.release(store, "abc")
    assert not other.take(store, "abc")  # catches a release of somebody else's claim
    one.release(store, "abc")
    assert other.take(store, "abc")


def test_a_claim_of_a_dead_process_of_this_machine_is_taken_over(store: Store) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    dead = dataclasses.replace(records.my_claim("one"), pid=done.pid)
    assert dead.take(store, "abc")
    assert records.my_claim("two").take(store, "abc")


def test_a_claim_of_another_machine_is_taken_over_when_it_is_stale(store: Store) -> None:
    far = dataclasses.replace(records.my_claim("one"), host="elsewhere", pid=2**22 + 1)
    mine = records.my_claim("two")
    assert far.take(store, "abc")
    assert not mine.take(store, "abc")
    past = time.time() - records.STALE - 5
    assert store.folder is not None
    os.utime(store.folder / "farm" / "claims" / "abc.json", (past, past))
    assert mine.take(store, "abc")


def test_quarantine_counts_each_kind_apart(store: Store) -> None:
    for _ in range(2):
        records.note(store, failure("abc"))
    for _ in range(19):
        records.note(store, failure("abc", records.INFRASTRUCTURE))
    records.note(store, failure("other"))
    counted = records.counts(records.failures(store, "abc"))
    assert set(counted) == {"abc"}
    assert not records.quarantined(counted["abc"])  # 2 of 3 and 19 of 20
    assert records.quarantined(counted["abc"] + Counter([records.APPLICATION]))
    assert records.quarantined(counted["abc"] + Counter([records.INFRASTRUCTURE]))


def test_released_failures_are_forgotten_but_kept(store: Store) -> None:
    for clip_id in ("abc", "abc", "abcd"):  # catches a release by prefix
        records.note(store, failure(clip_id))
    assert records.clear_failures(store, "abc") == 2
    assert [f.clip_id for f in records.failures(store)] == ["abcd"]
    assert len(store.names("released")) == 2


def test_a_stage_from_the_cache_keeps_the_time_that_it_took(store: Store) -> None:
    assert records.seconds_of(store, "abc") == {}
    records.note_seconds(store, "abc", {"simulate": 20.5})  # the first of two stages, or a node that died later
    records.note_seconds(store, "abc", {"simulate": 0.01, "render": 7.0})
    assert records.seconds_of(store, "abc") == {"simulate": 20.5, "render": 7.0}
    store.write("seconds/abc.json", "[1]")
    assert records.seconds_of(store, "abc") == {}


def test_a_damaged_record_is_passed_over(store: Store) -> None:
    records.note(store, failure("abc"))
    store.write("failures/abc.bad.json", '{"half')
    store.write("drivers/bad.json", "[]")
    assert len(records.failures(store)) == 1
    assert records.reports(store) == []


def test_a_driver_that_does_not_report_any_more_is_not_alive(store: Store) -> None:
    report = DriverReport(driver="d", cluster="local", plan="", started=time.time())
    report.write(store)
    (again,) = records.reports(store)
    assert again.alive
    again.updated -= records.SILENT + 1
    assert not again.alive
    report.ended = True
    assert not report.alive
