"""Measurements so far, one JSON line each, and the time that is left: a run can stop and go on at any line."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Ledger:
    """A file of measurements by key; what it has is not measured again.

    Args:
        path: The file; it need not exist. A last line that was cut off is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, dict[str, Any]] = {}
        self.reload()

    def reload(self) -> None:
        """Take in what other processes have added."""
        self.values = {}
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                self.values[entry.pop("key")] = entry
            except (json.JSONDecodeError, KeyError):
                continue

    def __contains__(self, key: str) -> bool:
        return key in self.values and "error" not in self.values[key]

    def put(self, key: str, values: dict[str, Any]) -> None:
        """Add a measurement."""
        self.values[key] = values
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        line = json.dumps({"key": key, **values}, sort_keys=True) + "\n"
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line if whole else "\n" + line)
            stream.flush()
            os.fsync(stream.fileno())


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a process that measures is told."""

    stage: str
    ledger: Path
    until: float
    """Time (as `time.time`) after which nothing new is begun."""
    devices: tuple[str, ...]
    """Devices that Blender renders on, best first; "cpu" is measured too."""
    torch_device: str
    cores: int
    tiny: bool
    """Smallest sizes, to see that all works."""
    blender: tuple[str, ...]
    """Command of the Python that has Blender."""
    torch: tuple[str, ...]
    """Command of the Python that has PyTorch."""

    def left(self) -> float:
        """Seconds left."""
        return self.until - time.time()

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(
            {name: getattr(self, name) for name in self.__slots__ if name != "ledger"} | {"ledger": str(self.ledger)}
        )

    @staticmethod
    def read(text: str) -> "Task":
        """From JSON."""
        values = json.loads(text)
        for name in ("devices", "blender", "torch"):
            values[name] = tuple(values[name])
        return Task(**values | {"ledger": Path(values["ledger"])})


class BudgetError(Exception):
    """The budget is used up; what was measured is in the ledger."""


def measure(task: Task, ledger: Ledger, key: str, needs: float, work: Callable[[], dict[str, Any]]) -> None:
    """Measure one thing unless it is there already; a failure is noted and the next thing is measured.

    Args:
        task: With the time left.
        ledger: Where the result goes.
        key: Of the measurement.
        needs: Seconds that it takes, about.
        work: Gives the values.

    Raises:
        BudgetError: less time is left than it needs.
    """
    if key in ledger:
        return
    if task.left() < needs:
        raise BudgetError(key)
    started = time.perf_counter()
    try:
        values: dict[str, Any] = work()
    except Exception as error:  # whatever one case runs into, the machine's time is for the others
        values = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
    values["took_s"] = round(time.perf_counter() - started, 3)
    ledger.put(key, values)
    print(f"{key}: {json.dumps(values)}", flush=True)
