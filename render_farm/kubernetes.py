"""A farm in a Kubernetes cluster: scheduler, workers and the driver as pods, made and removed with `kubectl`.

What dies is started again by Kubernetes; the store, an object store or a shared volume, is the truth as ever.
"""

import hashlib
import json
import logging
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from render_farm import board, certificates
from render_farm.driver import Options, Summary
from render_farm.store import Store
from synth.errors import SynthError

__all__ = ["manifest", "submit_to_pods"]

log = logging.getLogger(__name__)

KEYS = "/keys"
PORT = 8786
_CLOSED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_PODS = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}


def submit_to_pods(store: Store, path: Path | None, how: Options, options: dict[str, Any]) -> Summary:
    """Do all that is not done of the plans on a store, in pods; wait for it, then remove them.

    Args:
        store: A prepared store that this machine and the pods reach by the same name.
        path: A plan to add first.
        how: How jobs are done.
        options: `image`, `workers`, `namespace`, `volume`, `env_secret`, `certs`, as `synth farm submit` names them.

    Raises:
        SynthError: there is no kubectl or no image, the cluster refuses, or the driver's pod failed too often.
    """
    if path is not None:
        board.keep_plan(store, path)
    clock, before = time.monotonic(), board.look(store)
    if before.finished:
        return Summary()
    farm = manifest(store.url, how, options)
    name = farm["items"][-1]["metadata"]["name"]
    if _ended(name, options):
        _kubectl(["delete", "job", name, "--ignore-not-found"], options)
    _kubectl(["apply", "-f", "-"], options, json.dumps(farm))
    while not (ended := _ended(name, options)):
        time.sleep(2.0)
    after, summary = board.look(store), Summary(seconds=time.monotonic() - clock)
    _kubectl(["delete", "--ignore-not-found", "-f", "-"], options, json.dumps(farm))
    if not after.finished:
        raise SynthError(f"{store.url}: the driver's pod ended ({ended}), but jobs are missing", "Submit again")
    summary.images = after.images_done - before.images_done
    for kind in ("done", "rejected", "quarantined"):
        summary.counts[kind] = len(getattr(after, kind)) - len(getattr(before, kind))
    return summary


def manifest(url: str, how: Options, options: dict[str, Any]) -> dict[str, Any]:
    """All objects of a farm, as `kubectl apply -f` takes them; the last is the driver's job.

    Args:
        url: The store.
        how: How jobs are done; a device other than "cpu" and "auto" asks for a card a worker.
        options: As for `submit_to_pods`.

    Raises:
        SynthError: no image is named.
    """
    if not options.get("image"):
        raise SynthError(
            "--cluster k8s: no image", "Name one that has raiment[farm] in it: --image REGISTRY/raiment:TAG"
        )
    keys = options.get("certs") or certificates.usual()
    certificates.make(keys)
    name = f"raiment-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    address = f"tls://{name}:{PORT}"
    scheduler = ["scheduler", "--host", "0.0.0.0", "--port", str(PORT), "--certs", KEYS]
    worker = ["worker", address, "--certs", KEYS, "--jobs", "1", "--device", how.device]
    submit = ["submit", "--out", url, "--cluster", address, "--certs", KEYS, "--device", how.device]
    submit += ["--time-limit", f"{how.limits.seconds:g}", "--memory", f"{how.limits.memory / 2**30:g}"]
    submit += ["--patience", f"{how.patience:g}", *(["--two-stages"] if how.two_stages else [])]
    once = {
        "backoffLimit": 20,
        # status 1: all is settled, and something is in quarantine; another try would find nothing to do
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}],
        },
    }
    items = [
        _object("v1", "Secret", f"{name}-keys", stringData={p.name: p.read_text() for p in certificates.paths(keys)}),
        _object("v1", "Service", name, spec={"selector": _labels(name, "scheduler"), "ports": [{"port": PORT}]}),
        _always(name, "scheduler", 1, _pod(name, "scheduler", scheduler, how, url, options)),
        _always(name, "worker", options.get("workers") or 2, _pod(name, "worker", worker, how, url, options)),
        _object("batch/v1", "Job", f"{name}-submit", spec=once | _pod(name, "submit", submit, how, url, options)),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _object(version: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


def _labels(name: str, part: str) -> dict[str, str]:
    return {"app": name, "part": part}


def _always(name: str, part: str, count: int, pod: dict[str, Any]) -> dict[str, Any]:
    """Pods that are started again whenever they end."""
    spec = {"replicas": count, "selector": {"matchLabels": _labels(name, part)}, **pod}
    return _object("apps/v1", "Deployment", f"{name}-{part}", spec=spec)


def _pod(name: str, part: str, arguments: list[str], how: Options, url: str, options: dict[str, Any]) -> dict[str, Any]:
    """A pod's template: one `synth farm` command with the keys, and the store's volume where it is needed."""
    mounts: list[dict[str, Any]] = [{"name": "keys", "mountPath": KEYS, "readOnly": True}]
    volumes: list[dict[str, Any]] = [{"name": "keys", "secret": {"secretName": f"{name}-keys", "defaultMode": 0o440}}]
    container: dict[str, Any] = {
        "name": part,
        "image": options["image"],
        "command": ["python", "-m", "synth", "farm", *arguments],
        "securityContext": _CLOSED,
        "resources": _resources(part, how),
        "volumeMounts": mounts,
    }
    if part != "scheduler":
        if options.get("volume"):
            mounts.append({"name": "store", "mountPath": url})
            volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": options["volume"]}})
        if options.get("env_secret"):
            container["envFrom"] = [{"secretRef": {"name": options["env_secret"]}}]
    restart = "Never" if part == "submit" else "Always"
    spec = {"restartPolicy": restart, "securityContext": _PODS, "containers": [container], "volumes": volumes}
    spec |= {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 60}
    return {"template": {"metadata": {"labels": _labels(name, part)}, "spec": spec}}


def _resources(part: str, how: Options) -> dict[str, Any]:
    """What a pod asks for: a worker a core, its job's memory and 1 GiB more, and a card if it renders on one."""
    if part != "worker":
        return {"requests": {"cpu": "500m", "memory": "1Gi"}}
    limits = {"memory": f"{how.limits.memory // 2**20 + 1024}Mi"} if how.limits.memory else {}
    if how.device not in ("cpu", "auto"):
        limits["nvidia.com/gpu"] = "1"
    return {"requests": {"cpu": "1", **limits}, **({"limits": limits} if limits else {})}


def _ended(name: str, options: dict[str, Any]) -> str:
    """How the driver's job has ended, or nothing while it runs or is not there."""
    told = _kubectl(["get", "job", name, "--ignore-not-found", "-o", "json"], options)
    conditions = json.loads(told or "{}").get("status", {}).get("conditions") or []
    ends = [c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"]
    return ends[0] if ends else ""


def _kubectl(arguments: list[str], options: dict[str, Any], text: str = "") -> str:
    """Call kubectl.

    Raises:
        SynthError: it is not there, or it refuses.
    """
    if shutil.which("kubectl") is None:
        raise SynthError("--cluster k8s: no kubectl on this machine", "Install it and log in to the cluster")
    where = ["--namespace", options["namespace"]] if options.get("namespace") else []
    done = subprocess.run(["kubectl", *where, *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise SynthError(f"kubectl {arguments[0]}: {said[0]}", "Mend it, submit again")
    return done.stdout
