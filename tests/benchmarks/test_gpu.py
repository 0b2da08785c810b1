"""The GPU benchmark's own arithmetic, and what gets it to a machine: no card is needed.

That its stages run is seen by `python benchmarks/gpu.py --tiny` on the CPU (docs/gpu.md); here are the parts that a run
without a card does not reach: budgets, resuming, shares, what nvidia-smi says.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def task(folder, **changes):
    from ongpu.ledger import Task

    given = {
        "stage": "render",
        "ledger": folder / "gpu.jsonl",
        "until": time.time() + 100.0,
        "devices": ("optix", "cuda"),
        "torch_device": "cuda",
        "cores": 16,
        "tiny": True,
        "blender": ("python",),
        "torch": ("python3",),
    }
    return Task(**{**given, **changes})


def test_a_task_survives_the_way_to_its_process(tmp_path):
    from ongpu.ledger import Task

    sent = task(tmp_path)
    assert Task.read(sent.dump()) == sent


def test_what_is_measured_is_not_measured_again_and_failures_are(tmp_path):
    from ongpu.ledger import Ledger, measure

    calls = []

    def work():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("CUDA out of memory")
        return {"images_per_s": 7.0}

    for _ in range(3):  # each a new call with the file of the last one
        measure(task(tmp_path), Ledger(tmp_path / "gpu.jsonl"), "render/optix", 1.0, work)
    assert len(calls) == 2
    assert Ledger(tmp_path / "gpu.jsonl").values["render/optix"]["images_per_s"] == 7.0


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path):
    from ongpu.ledger import Ledger

    path = tmp_path / "gpu.jsonl"
    Ledger(path).put("a", {"x": 1})
    path.write_text(path.read_text() + '{"key": "b", "x"')
    again = Ledger(path)
    again.put("c", {"x": 3})
    assert Ledger(path).values == {"a": {"x": 1}, "c": {"x": 3}}


def test_nothing_is_begun_that_does_not_fit_the_time_left(tmp_path):
    from ongpu.ledger import BudgetError, Ledger, measure

    ledger = Ledger(tmp_path / "gpu.jsonl")
    with pytest.raises(BudgetError):
        measure(task(tmp_path, until=time.time() + 5.0), ledger, "render/optix", 60.0, dict)
    assert not ledger.path.exists()


def test_blenders_status_lines_are_shared_out():
    """A line opens a stretch that lasts to the next line; what is after a render's end is not counted."""
    pytest.importorskip("bpy")
    from ongpu.frames import add_up, phase_of

    assert phase_of("Fra:1 Mem:20M | picture, ViewLayer | Sample 3/16") == "trace"
    assert phase_of("truth, ViewLayer | Updating Geometry BVH body 2/1 | Building BVH 0%") == "bvh"
    assert phase_of("truth, ViewLayer | Updating Device | Writing constant memory") == "update"
    assert phase_of("picture, ViewLayer | Loading denoising kernels (may take a few minutes)") == "denoise"
    events = [
        (0.0, "start", "picture"),
        (1.0, "Synchronizing object | body", ""),
        (3.0, "Updating Scene BVH | Building", ""),
        (4.0, "Sample 0/16", ""),
        (9.0, "Sample 16/16", ""),
        (9.5, "Finished", ""),
        (10.0, "end", ""),
        (20.0, "start", "truth"),
        (20.5, "Sample 0/1", ""),
        (21.0, "end", ""),
    ]
    assert add_up(events) == {
        "picture/depsgraph": 1.0,
        "picture/sync": 2.0,
        "picture/bvh": 1.0,
        "picture/trace": 5.5,
        "picture/output": 0.5,
        "truth/depsgraph": 0.5,
        "truth/trace": 0.5,
    }


def test_nvidia_smi_is_read_and_not_needed(tmp_path, monkeypatch):
    from ongpu import together

    monkeypatch.setenv("PATH", str(tmp_path))
    assert together.memory_used() is None
    assert together.utilisation() is None
    fake = tmp_path / "nvidia-smi"
    fake.write_text('#!/bin/sh\ncase "$1" in *memory*) echo 512; echo 1024;; *) echo 80; echo 100;; esac\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    assert together.memory_used() == 1536.0
    assert together.utilisation() == pytest.approx(0.9)


def test_a_process_that_does_not_get_ready_is_an_error(tmp_path, monkeypatch):
    """Else the whole stage would wait for it until the budget is gone."""
    from ongpu import together

    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    with pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
        together.crew([{"kind": "nobody"}], 0.1, 60.0)


def test_headline_takes_the_best_and_says_what_is_missing():
    from ongpu.report import headline, markdown

    values = {
        "processes/optix/1": {"images_per_s": 20.0},
        "processes/optix/8": {"images_per_s": 110.0},
        "processes/optix/8/no denoiser": {"images_per_s": 150.0},
        "processes/cpu/16": {"images_per_s": 11.0},
        "pipeline/optix/16 jobs": {"images_per_s": 50.0},
        "render/optix/250/16/gpu": {"images_per_s": 25.0},
        "render/optix/512/16/gpu": {"images_per_s": 10.0},
        "render/cuda/250/16/gpu": {"error": "CUDA out of memory"},
        "labels/optix": {"labels_identical": True},
        "labels/cuda": {"labels_identical": False},
        "train/tar/pictures/bf16/batch x1": {"error": "CUDA out of memory"},
    }
    found = headline(values)
    assert (found["images_per_s"], found["images_per_s_with"]) == (110.0, "processes/optix/8")
    assert found["speedup_over_cpu_cores"] == 10.0
    assert found["gpu_hours_of_3_million_frames"] == pytest.approx(3e6 / 50 / 3600, abs=0.1)
    assert found["pixels_per_s_512_over_250"] == pytest.approx(10 / 25 * 512**2 / 250**2, abs=0.01)
    assert found["labels_identical_on_gpu"] is False
    assert found["best_share_of_bf16_peak"] is None
    without = {"labels/cpu": {"labels_identical": True}, "pipeline/cpu/2 jobs": {"images_per_s": 2.0}}
    assert set(headline(without).values()) == {None}  # the CPU's figures are not a card's
    assert "**failed**: tar/pictures/bf16/batch x1: CUDA out of memory" in markdown(values)


def test_what_a_card_reads_is_packed_and_what_it_does_not_is_left():
    from ongpu.pack import ADDONS, STANDARD_LEFT_OUT, kept

    kernels = f"{ADDONS}cycles/lib/"
    assert kept(kernels + "kernel_compute_75.ptx.zst")  # the driver compiles it for cards without a cubin
    assert kept(kernels + "kernel_optix.ptx.zst")
    assert not kept(kernels + "kernel_sm_86.cubin.zst")
    assert kept(kernels + "kernel_sm_86.cubin.zst", ["sm_86"])
    assert kept("bpy/lib/libOpenImageDenoise_device_cuda.so.2.3.3")
    assert not kept("bpy/lib/libOpenImageDenoise_device_hip.so.2.3.3")
    assert kept("bpy/4.5/python/lib/python3.11/site-packages/OpenImageIO/__init__.py")
    assert kept("bpy/4.5/datafiles/studiolights/world/forest.exr")
    assert kept("numpy/core/numeric.py")
    assert not kept("numpy/core/tests/test_numeric.py")
    assert not kept("../../../bin/f2py")
    assert STANDARD_LEFT_OUT.search("test/test_os.py")
    assert not STANDARD_LEFT_OUT.search("unittest/case.py")


def test_libraries_of_glibc_stay_the_machines_own():
    from ongpu.pack import linked

    said = "\tlibX11.so.6 => /lib/libX11.so.6 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\tlibgone.so => not found\n"
    said += "\tlibm.so.6 => /lib/libm.so.6 (0x3)\n\tlibmd.so.0 => /lib/libmd.so.0 (0x4)\n"
    assert set(linked(said)) == {"libX11.so.6", "libmd.so.0"}


@pytest.mark.skipif(shutil.which("xz") is None, reason="packing needs xz")
def test_pieces_are_put_together_again_and_a_missing_one_is_named(tmp_path):
    from ongpu.pack import split, write_archive

    source = tmp_path / "thing"
    source.write_bytes(bytes(range(256)) * 4096)
    archive = tmp_path / "all.tar.xz"
    write_archive(archive, [(source, "site/thing")], 0)
    size = archive.stat().st_size
    pieces = split(archive, tmp_path / "out", size // 3 + 1)
    assert len(pieces) == 3
    unpack = ["bash", str(BENCHMARKS / "ongpu" / "unpack.sh")]
    environment = {"PATH": "/usr/bin:/bin", "RAIMENT_PREFIX": str(tmp_path / "there")}

    def called(*arguments):
        return subprocess.run([*unpack, *map(str, arguments)], env=environment, capture_output=True, text=True)

    assert called("add", pieces[0].parent, pieces[2].parent).returncode == 0
    assert "piece.01 is missing" in called("finish").stderr
    assert called("add", pieces[1].parent).returncode == 0
    called("finish")  # its last line starts Blender, which is not in this archive
    assert (tmp_path / "there" / "raiment" / "site" / "thing").read_bytes() == source.read_bytes()
    assert (tmp_path / "there" / "raiment" / "run").stat().st_mode & stat.S_IXUSR


def test_a_call_without_time_begins_nothing_and_still_reports(tmp_path):
    out = tmp_path / "gpu.jsonl"
    out.write_text('{"key": "labels/optix", "labels_identical": true}\n')
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--out", str(out), "--device", "optix", "--budget", "0"]
    done = subprocess.run([*command, "--stage", "labels"], capture_output=True, text=True, check=True, timeout=100)
    assert "labels: not begun, the time is up" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["labels_identical_on_gpu"] is True


def test_the_best_backend_is_measured_fully_the_second_enough_to_compare(tmp_path, monkeypatch):
    """A machine with a card is simulated: workers that do nothing, and a card that takes 500 MiB for each."""
    from ongpu import together
    from ongpu.ledger import Ledger

    def crew(orders, seconds, patience):
        done = {"images": 60 if order_on_card(orders) else 6, "peak_mb": 900.0, "cpu_s": 3.0}
        workers = [{**done, "kind": order["kind"]} for order in orders]
        used = {"memory_before_mib": 100.0, "memory_during_mib": 100.0 + 500.0 * len(orders)}
        return {"workers": workers, "utilisation": 0.9, "ready_s": 1.0, **used}

    def order_on_card(orders):
        return orders[0]["device"] != "cpu"

    monkeypatch.setattr(together, "crew", crew)
    ledger = Ledger(tmp_path / "gpu.jsonl")
    together.processes_stage(task(tmp_path, tiny=False), ledger)
    keys = {key.removeprefix("processes/") for key in ledger.values}
    assert {f"optix/{n}" for n in (1, 2, 4, 8, 16)} | {"cuda/1", "cuda/8", "cpu/16"} <= keys
    assert "optix/8/truth on card" in keys
    assert "cuda/4" not in keys
    eight = ledger.values["processes/optix/8"]
    assert (eight["images_per_s"], eight["card_mib_each"], eight["cpu_cores_used"]) == (80.0, 500.0, 4.0)


def test_only_blenders_libraries_lose_their_symbols(tmp_path, monkeypatch):
    """OpenBLAS in NumPy's and SciPy's wheels no longer loads once stripped."""
    from ongpu import pack

    monkeypatch.setattr(pack, "LARGE", 3)
    monkeypatch.setattr(pack.shutil, "which", lambda name: name)
    monkeypatch.setattr(pack.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    library = tmp_path / "x.so"
    library.write_bytes(b"1234")
    files = [(library, "site/bpy/lib/x.so"), (library, "site/numpy.libs/x.so"), (library, "site/scipy.libs/x.so")]
    slim = pack.without_symbols(files, tmp_path)
    assert slim == [(tmp_path / "0.so", "site/bpy/lib/x.so"), *files[1:]]


@pytest.mark.skipif(shutil.which("xz") is None, reason="packing needs xz")
def test_a_pack_is_its_pieces_and_git_leaves_it_alone(tmp_path, monkeypatch):
    from ongpu import pack

    source = tmp_path / "thing"
    source.write_bytes(b"x" * 1000)
    monkeypatch.setattr(pack, "python_files", lambda: iter([(source, "python/bin/python3.11")]))
    monkeypatch.setattr(pack, "package_files", lambda archs: iter([(source, "site/thing")]))
    monkeypatch.setattr(pack, "library_files", lambda files: iter(()))
    pieces = pack.pack(tmp_path / "out", 2**20, [], 0, say=lambda line: None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".gitignore", "part-00"]
    assert (tmp_path / "out" / ".gitignore").read_text() == "*\n"
    assert pieces == [tmp_path / "out" / "part-00" / "piece.00"]
    with pytest.raises(SystemExit, match="not empty"):
        pack.pack(tmp_path / "out", 2**20, [], 0)


@pytest.mark.blender
def test_a_rehearsal_finds_a_card_that_says_it_is_none():
    """What a card would be told to do is done on the CPU; other back-ends stay an error."""
    pytest.importorskip("bpy")
    there = BENCHMARKS / "ongpu" / "pretend"
    code = """
import os
from synth.blender import device
from synth.errors import SynthError
assert device.choose("auto") == device.choose("cuda") == "cuda" and device.choose("cpu") == "cpu"
assert device.described("cuda") == "cuda (pretended card (this CPU))"
try:
    device.choose("optix")
except SynthError:
    print("FINE", flush=True)
os._exit(0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(there), str(BENCHMARKS.parent)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert "FINE" in done.stdout, done.stderr
    query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    said = subprocess.run(["sh", str(there / "nvidia-smi"), *query], capture_output=True, text=True, check=True)
    assert int(said.stdout) >= 100
