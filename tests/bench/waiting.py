"""Waiting: what jobs cost while nothing happens to them."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from launchers.docker_launcher import DockerJobHandle

from ..engine_proxy import EngineProxy
from .engine_lab import EngineLab, cpu_seconds
from .framework import Contest, at_most, bench
from .workload import FOR_EVER

WINDOW = 30.0
"""Seconds that are watched."""
SETTLE = 8.0
"""Seconds after the last launch until what it has started has come to rest."""
SAMPLE = 0.25
NOBODY = "nobody who waits"


@bench(cases=(1, 10, 50, 100), rounds=1, warm_up=0)
def waiting(jobs: int) -> Iterator[Contest]:
    """Half a minute with so many running jobs, and a thread that waits for one of them."""
    with counted_engine() as (proxy, engine):
        measures = {
            "flcore": partial(_with_a_launcher, jobs, proxy, engine),
            NOBODY: partial(_without, jobs, engine),
        }
        targets = {
            "calls a minute": at_most(30),
            "threads": at_most(4),
            "connections": at_most(3),
            "% of a core, parent": at_most(0.2),
        }
        yield Contest(measures, floor=NOBODY, targets=targets)


@contextmanager
def counted_engine() -> Iterator[tuple[EngineProxy, str]]:
    """Yield a proxy that counts what an engine is asked, and the engine behind it."""
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    with (
        TemporaryDirectory(prefix="flcore-bench-") as folder,
        EngineProxy(engine, Path(folder, "engine.sock")) as proxy,
    ):
        yield proxy, engine


def _with_a_launcher(jobs: int, proxy: EngineProxy, engine: str) -> dict[str, float]:
    with EngineLab(docker_host=proxy.host) as lab:
        handles = [lab.launch(FOR_EVER) for _ in range(jobs)]
        threading.Thread(target=handles[0].wait, daemon=True).start()
        return watch_and_end(lab, handles, proxy, engine)


def watch_and_end(
    lab: EngineLab, handles: Sequence[DockerJobHandle], proxy: EngineProxy, engine: str
) -> dict[str, float]:
    """Return what running jobs cost, once they have settled, and end them."""
    time.sleep(SETTLE)
    seen = _watch(proxy, engine)
    for handle in handles:
        lab.client.api.kill(handle.identity.container_id)
    for handle in handles:
        lab.finish(handle)
    return seen


def _watch(proxy: EngineProxy, engine: str) -> dict[str, float]:
    proxy.reset_counts()
    ours, theirs, began = _cpu_of_ours(), _cpu_of_engine(engine), time.monotonic()
    threads = 0
    while time.monotonic() - began < WINDOW:
        threads = max(threads, len(_our_threads()))
        time.sleep(SAMPLE)
    took, counts = time.monotonic() - began, proxy.counts
    return {
        "calls a minute": sum(counts.requests.values()) * 60 / took,
        "threads": threads,
        "connections": counts.most_open,
        "% of a core, parent": (_cpu_of_ours() - ours) / took * 100,
        "% of a core, engine": (_cpu_of_engine(engine) - theirs) / took * 100,
    }


def _without(jobs: int, engine: str) -> dict[str, float]:
    with EngineLab() as lab:
        containers = [lab.run(FOR_EVER) for _ in range(jobs)]
        lab.launcher.close()
        time.sleep(SETTLE)
        theirs, began = _cpu_of_engine(engine), time.monotonic()
        time.sleep(WINDOW)
        used, took = _cpu_of_engine(engine) - theirs, time.monotonic() - began
        for container_id in containers:
            lab.remove(container_id)
    return {"% of a core, engine": used / took * 100}


def _our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("flcore-")]


def _cpu_of_ours() -> float:
    """Return the processor time of a launcher's threads that live."""
    return sum(cpu_seconds(Path(f"/proc/self/task/{thread.native_id}")) for thread in _our_threads())


def _cpu_of_engine(host: str) -> float:
    """Return the processor time of the process that listens on an engine's local socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(host.removeprefix("unix://"))
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)
    return sum(map(cpu_seconds, Path(f"/proc/{pid}/task").iterdir()))
