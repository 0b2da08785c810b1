"""What a worker process tells the process that started it: one JSON object a line over a pipe."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message of a worker."""

    kind: str
    """"device" (what is rendered on), "progress", "done", "rejected" (by the gate), "error", "crashed".

    An "error" is one that the user can mend.
    """
    stage: str = ""
    """"simulate" or "render", for progress."""
    done: int = 0
    of: int = 0
    text: str = ""
    """The error, or the device; empty otherwise."""
    hint: str = ""
    reasons: tuple[str, ...] = ()
    """Why the clip was rejected."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Spent on each stage of a finished or refused clip."""


class Reporter:
    """Sends events to a file descriptor; a worker whose parent is gone stops at its next event."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, event: Event) -> None:
        """Send one event.

        Raises:
            BrokenPipeError: nobody listens any more.
        """
        os.write(self._descriptor, (json.dumps(asdict(event)) + "\n").encode())


def parse(line: bytes) -> Event:
    """Read one event back."""
    fields = json.loads(line)
    return Event(**{**fields, "reasons": tuple(fields["reasons"])})
