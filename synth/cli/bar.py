"""A progress bar on stderr for work that counts its steps; nothing where stderr is not a terminal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

import click

__all__ = ["default_jobs", "shown_progress"]


def default_jobs() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def shown_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to be told how many steps of how many are done; it draws a bar with the time left.

    Args:
        label: What is being done.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True) as bar:
        done_before = 0

        def tell(done: int, total: int) -> None:
            nonlocal done_before
            bar.length = total
            bar.update(done - done_before)
            done_before = done

        yield tell
