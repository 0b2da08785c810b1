"""Whole runs through the command line."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import drill_kit
import farm_fixtures
import listening
import pytest
from conftest import SMALL, run_command

from render_farm import board, certificates, cluster, records
from render_farm.batch import batch_cluster
from render_farm.driver import Options
from render_farm.store import open_store
from render_farm.submit import prepare
from synth.errors import SynthError
from synth.process import Limits
from synth.provenance import recorded_runs

ledger = farm_fixtures.ledger


def farm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("synth", "farm", *arguments)


@pytest.mark.slow
def test_a_plan_is_finished_and_a_second_submit_does_nothing(ledger: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good, once, segv, refused = drill_kit.make_plan(tmp_path / "plan.jsonl", ["good", "once:a", "segv", "reject"])
    call = ("submit", str(tmp_path / "plan.jsonl"), "--out", str(out), "--jobs", "2")
    first = farm(*call)
    assert first.returncode == 1, first.stderr  # a job is in quarantine
    assert "2 done, 1 quarantined, 1 rejected; 3 tried again" in first.stdout
    assert drill_kit.sound(out) == {good.clip_id, once.clip_id}
    assert drill_kit.executions(ledger, segv.clip_id) == 3
    assert drill_kit.executions(ledger, good.clip_id) == 1
    begun = len(list(ledger.iterdir()))
    assert "nothing to do" in farm(*call).stdout
    assert "nothing to do" in farm("submit", "--out", str(out)).stdout  # the store knows its plan
    assert len(list(ledger.iterdir())) == begun
    assert drill_kit.orphans(ledger) == []

    status = farm("status", "--out", str(out), "--watch", "--price", "2").stdout
    assert "4 jobs: 2 done, 0 running, 0 failing, 1 rejected, 1 quarantined" in status
    assert "of them lost on refused clips and failures" in status
    typed = [run.command for run in recorded_runs(out)]  # what `synth report` shows
    assert typed == [f"synth farm {' '.join(call)}"] * 2 + [f"synth farm submit --out {out}"]
    assert "SIGSEGV" in farm("quarantine", "--out", str(out)).stdout
    assert "--- attempt" in farm("quarantine", "--out", str(out), "--log", segv.clip_id).stdout
    collected = farm("collect", "--out", str(out))
    assert collected.returncode == 1
    assert "2 shards in the manifest, 1 rejected, 0 damaged, 1 missing" in collected.stdout
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert {entry["clip_id"]: (entry["status"], entry["seconds"]) for entry in entries} == {
        good.clip_id: ("done", {"render": 1.0}),
        once.clip_id: ("done", {"render": 1.0}),
        refused.clip_id: ("rejected", {"simulate": 36.0}),  # what a refused clip cost is known too
    }
    assert farm("report", "--out", str(out), "--html", str(tmp_path / "farm.html")).returncode == 0
    assert segv.clip_id in (tmp_path / "farm.html").read_text()
    assert "3 failures forgotten" in farm("quarantine", "--out", str(out), "--release", "all").stdout
    assert not board.look(open_store(str(out))).quarantined


def test_a_damaged_shard_is_removed_and_to_be_made_anew(tmp_path: Path) -> None:
    import drill_worker

    from render_farm.submit import Replacer, unsettled

    out = tmp_path / "out"
    specs = drill_kit.make_plan(tmp_path / "plan.jsonl", ["good", "good", "good"])
    store = open_store(str(out))
    prepare(store)
    board.keep_plan(store, tmp_path / "plan.jsonl")
    for spec in specs[:2]:
        drill_worker.make(spec, out)
    broken = out / f"{specs[1].clip_id}.h5"
    broken.write_bytes(broken.read_bytes()[:5000])
    for _ in range(3):
        records.note(
            store,
            records.Failure(
                clip_id=specs[2].clip_id, kind=records.APPLICATION, reason="", host="", driver="", time=0.0
            ),
        )
    todo = [job.clip_id for job in unsettled(store, Replacer(store))]
    assert todo == [specs[1].clip_id]  # not the sound one, not the one in quarantine
    assert not broken.exists()


@pytest.mark.parametrize(
    ("flags", "given"), [([], False), (["--device", "cpu"], False), (["--clips", "3"], True), (["--seed", "0"], True)]
)
def test_settings_on_the_command_line_make_a_plan(
    flags: list[str], given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # catches a resumed run that plans the default clips besides, only because it names a device
    import click.testing

    from render_farm import console
    from synth.cli.farm import farm as group

    seen = []
    monkeypatch.setattr(console, "run_submit", lambda plan, config, out, given, **_: seen.append(given) or 0)
    assert click.testing.CliRunner().invoke(group, ["submit", "--out", "x", *flags]).exit_code == 0
    assert seen == [given]


@contextmanager
def service(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A scheduler or worker in a process of its own, and the address that it names."""
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", "farm", *arguments], stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        yield process, next(found[0] for found in (re.search(r"tls://\S+", line) for line in lines) if found)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.close()
        process.wait(120)


@pytest.mark.slow
def test_scheduler_and_worker_over_tls(ledger: Path, tmp_path: Path) -> None:
    keys, out = tmp_path / "keys", tmp_path / "out"
    farm("certs", str(keys))
    farm("certs", str(tmp_path / "others"))
    specs = drill_kit.make_plan(tmp_path / "plan.jsonl", ["good", "good"])
    with (
        service("scheduler", "--port", "0", "--certs", str(keys)) as (scheduler, address),
        service("worker", address, "--certs", str(keys), "--jobs", "1") as (worker, _),
    ):
        for process in (scheduler, worker):  # catches Dask's pages, which listen everywhere unless told
            assert listening.addresses(process.pid) == {"127.0.0.1"}
        call = ("submit", str(tmp_path / "plan.jsonl"), "--out", str(out), "--cluster", address)
        strange = farm(*call, "--certs", str(tmp_path / "others"), "--patience", "1")
        assert strange.returncode == 2  # catches TLS without the other side's certificate checked
        assert not list(out.glob("*.h5"))
        done = farm(*call, "--certs", str(keys))
    assert done.returncode == 0, done.stderr
    assert drill_kit.sound(out) == {spec.clip_id for spec in specs}


def test_nothing_goes_to_another_machine_in_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from render_farm.nodes import scheduler_keys

    usual = tmp_path / ".raiment" / "farm-keys"
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(SynthError, match="no such file"):
        cluster.at("tls://10.0.0.1:8786", tmp_path)
    with pytest.raises(SynthError, match="no such file"):  # catches keys made by a client, which nobody else has
        cluster.at("tcp://10.0.0.1:8786", None)
    assert scheduler_keys("127.0.0.1", None, tls=False) is None
    assert not usual.exists()
    assert scheduler_keys("0.0.0.0", None, tls=False) == usual
    assert scheduler_keys("127.0.0.1", None, tls=True) == usual
    farm = cluster.at("tcp://10.0.0.1:8786", None)  # catches plain text because the address says tcp
    assert farm.name == "tls://10.0.0.1:8786"
    assert farm._security.require_encryption
    assert cluster.at("tcp://127.0.0.1:8786", None).name == "tcp://127.0.0.1:8786"


def test_keys_are_for_their_owner_only_and_stay(tmp_path: Path) -> None:
    assert certificates.make(tmp_path / "keys")
    before = [path.read_bytes() for path in certificates.paths(tmp_path / "keys")]
    assert [path.stat().st_mode & 0o777 for path in certificates.paths(tmp_path / "keys")] == [0o600] * 3
    assert not certificates.make(tmp_path / "keys")
    assert before == [path.read_bytes() for path in certificates.paths(tmp_path / "keys")]


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        ("slurm", ["#SBATCH -n 1", "#SBATCH --mem=5G", "#SBATCH -p long", "#SBATCH --gres=gpu:1", "#SBATCH -t 24:00"]),
        ("pbs", ["#PBS -q long", "#PBS -l ngpus=1", "#PBS -l select=1:ncpus=1:mem=4", "#PBS -l walltime=24:00:00"]),
        ("htcondor", ["request_gpus = 1", "RequestCpus = MY.DaskWorkerCores", "RequestMemory = floor"]),
        ("sge", ["#$ -q long", "#$ -l gpu=1", "#$ -l h_rt=24:00:00"]),
    ],
)
def test_a_batch_system_is_told_resources_and_keys(system: str, lines: list[str], tmp_path: Path) -> None:
    certificates.make(tmp_path)
    cluster.configure()
    options = {"queue": "long", "memory": 4.0, "workers": 3, "address": "127.0.0.1"}
    with batch_cluster(system, "optix", options, tmp_path) as made:
        script = made.job_script()
    for line in lines:
        assert line in script, script
    assert "tls://127.0.0.1" in script
    assert f"--tls-key {tmp_path / 'node.key'}" in script
    assert "GPU=1" in script


@pytest.mark.slow
def test_shares_of_an_array_are_done_to_the_end(ledger: Path, tmp_path: Path) -> None:
    from render_farm.arrays import submit_arrays

    out = tmp_path / "out"
    specs = drill_kit.make_plan(tmp_path / "plan.jsonl", ["good", "segv", "once:b"])
    store = open_store(str(out))
    prepare(store)
    options = Options(limits=Limits(seconds=120.0))
    summary = submit_arrays(store, tmp_path / "plan.jsonl", options, workers=2, system="local")
    assert summary.counts == {"done": 2, "quarantined": 1}
    assert drill_kit.sound(out) == {specs[0].clip_id, specs[2].clip_id}
    assert drill_kit.executions(ledger, specs[1].clip_id) == 3
    assert store.names("shares") == []
    assert summary.images == 4
    (report,) = records.reports(store)  # catches `status` that knows nothing of an array
    assert (report.ended, report.done, report.images, report.running) == (True, 2, 4, [])
    assert not submit_arrays(store, None, options, workers=2, system="local").counts


@pytest.mark.blender
@pytest.mark.slow
def test_a_real_clip_in_two_stages_shares_its_simulation(tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = (*SMALL, "--clips", "1", "--device", "cpu")
    done = farm("submit", *settings, "--out", str(out), "--jobs", "1", "--two-stages")
    assert done.returncode == 0, done.stderr
    assert len(list((out / ".cache" / "simulations").glob("*.npz"))) == 1
    assert not list((out / ".cache" / "frames").glob("*"))
    (log,) = (out / "logs").glob("*.log")
    printed = log.read_text()
    assert printed.index("attempt: render_farm.simulate") < printed.index("attempt: synth.worker")
    collected = farm("collect", "--out", str(out))
    assert collected.returncode == 0, collected.stdout
    (entry,) = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert entry["seconds"]["simulate"] > 0.2  # of the first stage; from the cache it takes no time
    assert entry["seconds"]["render"] > 0
