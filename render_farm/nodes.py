"""The two programs of a farm of several hosts: a scheduler, and a worker that outlives it."""

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from distributed import Nanny, Scheduler

from render_farm import certificates
from render_farm.cluster import LOOPBACK, configure, own_address, page, secured, security, slots

__all__ = ["run_scheduler", "run_worker"]

log = logging.getLogger(__name__)


def run_scheduler(host: str, port: int, keys: Path | None, dashboard: bool, tls: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C; with TLS if it is asked for, keys are named or other machines can connect.

    Raises:
        SynthError: the keys that are named are not there.
    """
    configure()
    keys = scheduler_keys(host, keys, tls)
    asyncio.run(_scheduler(host, port, keys, dashboard))


def scheduler_keys(host: str, keys: Path | None, tls: bool) -> Path | None:
    """The keys of a scheduler that listens at an address, this user's unless named; those are made if need be."""
    if keys is None and (tls or host not in LOOPBACK):
        keys = certificates.usual()
        log.warning("keys %s %s", "made in" if certificates.make(keys) else "of", keys)
    return keys


def run_worker(address: str, jobs: int, device: str, keys: Path | None, until_eof: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C, or the end of standard input; a scheduler that is not there is waited for."""
    address, keys = secured(address, keys)
    security(keys)  # says so if they are not there
    configure()
    asyncio.run(_worker(address, jobs, device, keys, until_eof))


async def _scheduler(host: str, port: int, keys: Path | None, dashboard: bool) -> None:
    stop = _stop_event()
    scheduler = Scheduler(
        host=host, port=port, protocol="tls" if keys else "tcp", security=security(keys), **page(dashboard)
    )
    async with scheduler:
        log.warning("scheduler at %s", scheduler.address)
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(scheduler.finished())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


async def _worker(address: str, jobs: int, device: str, keys: Path | None, until_eof: bool) -> None:
    stop = _stop_event()
    if until_eof:
        asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 4096) or stop.set())
    while not stop.is_set():
        nannies: list[Nanny] = []
        try:
            # Dask would listen everywhere; the scheduler finds us where we come from
            own = {"host": own_address(address.partition("://")[2].rpartition(":")[0])}
            nannies += [
                Nanny(address, security=security(keys), death_timeout=30, **own, **page(), **options)
                for options in slots(jobs, device)
            ]
            await asyncio.wait_for(asyncio.gather(*(_started(nanny) for nanny in nannies)), 90)
            log.warning("%d slots offered to %s", len(nannies), address)
            ends = [asyncio.ensure_future(nanny.finished()) for nanny in nannies]
            await asyncio.wait([asyncio.ensure_future(stop.wait()), *ends], return_when=asyncio.FIRST_COMPLETED)
        except (OSError, TimeoutError, RuntimeError) as error:
            log.warning("%s: %s; tried again", address, error or type(error).__name__)
        finally:
            for nanny in nannies:
                with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                    await asyncio.wait_for(nanny.close(), 30)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 3.0)


async def _started(nanny: Nanny) -> None:
    await nanny


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM and Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
