"""Workers as jobs of a batch system (Slurm, PBS, HTCondor, SGE, LSF), through dask-jobqueue.

The scheduler runs where `submit` runs; a worker that the batch system takes away is asked for again.
"""

from pathlib import Path
from typing import Any

from render_farm import certificates
from render_farm.cluster import Farm, page, security
from synth.errors import SynthError

__all__ = ["SYSTEMS", "batch", "batch_cluster"]

SYSTEMS = ("slurm", "pbs", "htcondor", "sge", "lsf")
_GPU = {
    "slurm": ["--gres=gpu:1"],
    "pbs": ["-l ngpus=1"],
    "sge": ["-l gpu=1"],
    "lsf": ['-gpu "num=1"'],
}
_HOURS = "24:00:00"


def batch(system: str, device: str, options: dict[str, Any]) -> Farm:
    """A batch system's workers; they are asked for when the farm is first connected to.

    Args:
        system: One of `SYSTEMS`.
        device: "cpu": no graphics card is asked for.
        options: `workers`, `queue`, `memory` [GiB], `python`, `certs`, as `synth farm submit` names them.
    """
    keys = options.get("certs") or certificates.usual()
    certificates.make(keys)

    def start() -> Any:
        cluster = batch_cluster(system, device, options, keys)
        count = options.get("workers") or 2
        cluster.adapt(minimum_jobs=count, maximum_jobs=count, interval="10s")
        return cluster

    return Farm(system, start, security(keys))


def batch_cluster(system: str, device: str, options: dict[str, Any], keys: Path) -> Any:
    """The cluster, with its scheduler running and no worker yet; its `job_script()` is what will be submitted.

    Raises:
        SynthError: dask-jobqueue is not installed, or the batch system's settings are not right.
    """
    try:
        import dask_jobqueue
    except ImportError:
        raise SynthError("dask-jobqueue is not installed", "pip install 'raiment[farm]'") from None
    names = {"slurm": "SLURM", "pbs": "PBS", "htcondor": "HTCondor", "sge": "SGE", "lsf": "LSF"}
    kind = getattr(dask_jobqueue, f"{names[system]}Cluster")
    cards = device not in ("cpu", "auto")
    settings: dict[str, Any] = {
        "cores": 1,
        "processes": 1,
        "memory": f"{(options.get('memory') or 8.0) + 0.5:g}GiB",  # the worker's own share besides the job's
        "protocol": "tls",
        "security": security(keys),
        "death_timeout": 120,
        "worker_extra_args": [
            "--resources",
            "GPU=1" if cards else "CPU=1",
            "--memory-limit",
            "0",
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
        ],
        "scheduler_options": page(),
        "job_script_prologue": ["export OMP_NUM_THREADS=1"],
    }
    if system == "htcondor":
        settings |= {"disk": "20GB", "job_extra_directives": {"request_gpus": "1"} if cards else {}}
    else:
        settings |= {"walltime": _HOURS, "job_extra_directives": _GPU[system] if cards else []}
        if options.get("queue"):
            settings["queue"] = options["queue"]
    if options.get("python"):
        settings["python"] = options["python"]
    if options.get("address"):
        settings["scheduler_options"] |= {"host": f"tls://{options['address']}:0"}
    try:
        return kind(**settings)
    except (ValueError, RuntimeError) as error:
        raise SynthError(f"--cluster {system}: {error}", "See docs/farm.md") from error
