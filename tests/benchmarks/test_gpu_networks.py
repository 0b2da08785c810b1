"""What a machine with cards would do in training that this one cannot: simulated, or run at the smallest size."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from train import processes  # noqa: E402

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_each_process_takes_its_own_card_before_they_meet(monkeypatch):
    """NCCL's barriers run on the current card: all on the first one would wait for ever."""
    done = []
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "set_device", lambda card: done.append(("card", card)))
    fake = processes.distributed
    monkeypatch.setattr(fake, "is_initialized", lambda: False)
    monkeypatch.setattr(fake, "init_process_group", lambda kind, timeout: done.append((kind, timeout.days >= 0)))
    monkeypatch.setattr(fake, "get_rank", lambda: 3)
    monkeypatch.setattr(fake, "get_world_size", lambda: 4)
    assert processes.Processes.join("cuda") == processes.Processes(rank=3, count=4, local=3)
    assert done == [("card", 3), ("nccl", True)]
    done.clear()
    processes.Processes.join("cpu")
    assert [kind for kind, _ in done] == ["gloo"]


@pytest.mark.parametrize("name", ["mviper", "hpof", "spsnet", "tar"])
def test_every_model_takes_a_measured_step_in_half_precision(name, tmp_path, monkeypatch):
    """Losses, body and rasteriser get bf16 predictions; the benchmark's batch holds all that the model reads."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from ongpu.ledger import Task
    from ongpu.networks import one_training

    task = Task(
        stage="train", ledger=tmp_path / "gpu.jsonl", until=2e9, devices=(), torch_device="cpu", cores=1, tiny=True,
        blender=(), torch=(),
    )  # fmt: skip
    options = {"backbone": "resnet50" if name in ("mviper", "tar") else ""}
    found = one_training(task, name, options, precision="bf16", compiled=False, factor=1)
    assert torch.get_float32_matmul_precision() == "highest", "what follows would be rounded, or fail without AVX-512"
    assert found["gflop_per_step"] > 0
    assert found["windows_per_s"] == pytest.approx(found["batch"] / found["step_ms"] * 1000, rel=0.01)
    assert found["share_of_bf16_peak"] is None  # of no card


def test_share_of_the_peak_needs_a_known_card(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from ongpu.networks import peak

    assert peak("NVIDIA H200") == 989e12
    assert peak("NVIDIA GeForce RTX 2060") is None


def test_fits_are_measured_and_find_where_the_joints_were(tmp_path, monkeypatch):
    """The markers' world is upright, and a batch of two is as good as one trial at a time."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from ongpu.fits import fit_stage
    from ongpu.ledger import Ledger, Task

    task = Task(
        stage="fit", ledger=tmp_path / "gpu.jsonl", until=2e9, devices=(), torch_device="cpu", cores=1, tiny=True,
        blender=(), torch=(),
    )  # fmt: skip
    ledger = Ledger(task.ledger)
    fit_stage(task, ledger)
    assert set(ledger.values) == {"fit/cpu/batch 1", "fit/cpu/batch 2"}
    for found in ledger.values.values():
        assert found["joints_off_mm"] < 15.0
        assert found["frames"] == 96
