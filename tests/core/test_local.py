import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest
from test_spec import make_spec

from synth.events import Event
from synth.layout import log_path
from synth.local import run_jobs
from synth.spec import ClipSpec, to_json


@pytest.fixture(autouse=True)
def _workers_find_the_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def run(out: Path, *indices: int, jobs: int = 2) -> tuple[dict[int, Event], list[Event]]:
    seen: list[Event] = []
    queue = deque(make_spec(index=index) for index in indices)
    outcomes = run_jobs(queue, out, jobs=jobs, device="cpu", watch=lambda _, e: seen.append(e), worker="fake_worker")
    return {outcome.spec.index: outcome.event for outcome in outcomes}, seen


def test_each_way_a_job_can_end_is_told_apart(tmp_path: Path) -> None:
    ends, seen = run(tmp_path, 0, 1, 2)
    assert {i: e.kind for i, e in ends.items()} == {0: "done", 1: "rejected", 2: "error"}
    assert ends[1].reasons == ("trousers: frame 3: slipped off",)
    assert (ends[2].text, ends[2].hint) == ("disk full", "make room")
    assert [e.done for e in seen if e.kind == "progress"] == [1, 1, 1]


def test_a_killed_job_is_tried_once_more_and_a_crashing_one_given_up(tmp_path: Path) -> None:
    ends, _ = run(tmp_path, 3, 4)
    assert ends[3].kind == "done"
    assert ends[4].kind == "crashed"
    assert "SIGSEGV" in ends[4].text
    assert str(log_path(tmp_path, make_spec(index=4))) in ends[4].hint
    assert len(list(tmp_path.glob("4-*"))) == 2


def test_the_caller_can_add_jobs_between_outcomes(tmp_path: Path) -> None:
    queue = deque([make_spec(index=1)])
    ends = []
    for outcome in run_jobs(queue, tmp_path, jobs=1, device="cpu", watch=lambda *_: None, worker="fake_worker"):
        ends.append((outcome.spec.index, outcome.event.kind))
        if outcome.event.kind == "rejected":
            queue.append(make_spec(index=7))
    assert ends == [(1, "rejected"), (7, "done")]


def test_closing_the_runner_ends_its_processes(tmp_path: Path) -> None:
    queue: deque[ClipSpec] = deque([make_spec(index=5), make_spec(index=0)])
    outcomes = run_jobs(queue, tmp_path, jobs=2, device="cpu", watch=lambda *_: None, worker="fake_worker")
    assert next(outcomes).spec.index == 0
    pid = _pid_of_sleeper(tmp_path)
    outcomes.close()
    assert not _alive(pid)


def test_a_job_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    # catches a lost PR_SET_PDEATHSIG: SIGKILL gives the parent no chance to clean up
    (tmp_path / "spec.json").write_text(to_json(make_spec(index=5)))
    script = (
        "import sys; from collections import deque; from pathlib import Path; from synth.local import run_jobs; "
        "from synth.spec import ClipSpec, from_json; out = Path(sys.argv[1]); "
        "q = deque([from_json(ClipSpec, (out / 'spec.json').read_text())]); "
        "list(run_jobs(q, out, jobs=1, device='cpu', watch=lambda *_: None, worker='fake_worker'))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    pid = _pid_of_sleeper(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _pid_of_sleeper(out: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := list(out.glob("5-*")):
            return int(found[0].name.split("-")[1])
        time.sleep(0.05)
    raise AssertionError("the job never started")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().split(")")[1].split()[0] != "Z"
