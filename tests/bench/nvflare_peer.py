"""Run by a peer's interpreter: NVIDIA FLARE's part in one bench. ``python -m tests.bench.nvflare_peer BENCH [CASE]``.

Writes its name (or null, if it has no part in the bench), then a measurement for each line that it reads. To take part
in another bench, write a generator of that bench's name and arguments that yields a measure (None for a case that it
has no part in), and cleans up behind.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import IO, Any

from tests.bench.nvflare_lab import NvflareLab, a_lab
from tests.bench.timing import Measure, importing, per_call
from tests.bench.workload import CLEANERS, FOR_EVER, JOBS, TIMEOUT, a_nap, by, network_of

DOCKER_LAUNCHER = "nvflare.app_opt.job_launcher.docker_launcher"


def fire_event(components: int) -> Iterator[Measure]:
    from nvflare.apis.fl_component import FLComponent

    fl_ctx = _context([FLComponent() for _ in range(components)])
    yield per_call(FLComponent().fire_event, "event", fl_ctx)


def new_context() -> Iterator[Measure]:
    from nvflare.apis.fl_context import FLContextManager

    yield per_call(FLContextManager(object(), "site-1", "job-1").new_context)


def set_prop(kind: str) -> Iterator[Measure]:
    yield per_call(_context([]).set_prop, "key", "value", True, kind == "sticky")


def get_prop(kind: str) -> Iterator[Measure]:
    fl_ctx = _context([])
    if kind != "missing":
        fl_ctx.set_prop("key", "value", True, kind == "sticky")
    yield per_call(fl_ctx.get_prop, "key")


def import_docker_launcher() -> Iterator[Measure]:
    yield importing(DOCKER_LAUNCHER)


def launch_job() -> Iterator[Measure]:
    with a_lab() as lab:
        yield partial(_launch, lab)


def exit_detection(network: str) -> Iterator[Measure]:
    with a_lab(network_of(network)) as lab:
        yield partial(_wait, lab, random.Random(1))


def forty_jobs(case: str) -> Iterator[Measure | None]:
    command, _, threads = case.partition(" by ")
    if command == "true" and version("nvflare").startswith("2.6."):
        yield None  # it waits for a job to run that has ended already, and never returns a handle
        return
    with a_lab() as lab:
        yield partial(_forty_launches, lab, command, int(threads))


_ALL = (
    *(fire_event, new_context, set_prop, get_prop, import_docker_launcher),
    *(launch_job, exit_detection, forty_jobs),
)
BENCHES: dict[str, Callable[..., Iterator[Measure | None]]] = {make.__name__: make for make in _ALL}


def _launch(lab: NvflareLab) -> dict[str, float]:
    job = lab.prepare(FOR_EVER)
    began = time.perf_counter()
    job.launch()
    took = time.perf_counter() - began
    lab.remove_all()
    return {"ms": took * 1e3}


def _wait(lab: NvflareLab, durations: random.Random) -> dict[str, float]:
    job = lab.prepare(a_nap(durations))
    handle = job.launch()
    with ThreadPoolExecutor(1) as pool:
        finished_at = pool.submit(lab.finished_at, job.container)
        handle.wait()
        known = time.time()
        took = known - finished_at.result(TIMEOUT)
    lab.remove_all()
    return {"ms": took * 1e3}


def _forty_launches(lab: NvflareLab, command: str, threads: int) -> dict[str, float]:
    """Clean up as these launchers do: 2.6 removes at a poll, for 2.9 the engine does. Neither reads the output."""
    jobs = [lab.prepare(command) for _ in range(JOBS)]
    began = time.perf_counter()
    handles = by(threads, lambda number: jobs[number].launch())
    for handle in handles:
        handle.wait()
    ended = time.perf_counter() - began
    with ThreadPoolExecutor(CLEANERS) as pool:
        list(pool.map(lambda handle: handle.poll(), handles))
    lab.wait_until_none_is_left()
    return {"s, ended": ended, "s, cleaned up": time.perf_counter() - began}


class _Engine:
    """What NVIDIA FLARE's engines do to fire an event, and no more."""

    def __init__(self, components: list[Any]) -> None:
        from nvflare.private.event import fire_event

        self._components = components
        self._fire = fire_event

    def fire_event(self, event_type: str, fl_ctx: Any) -> None:
        self._fire(event_type, self._components, fl_ctx)


def _context(components: list[Any]) -> Any:
    from nvflare.apis.fl_context import FLContextManager

    return FLContextManager(_Engine(components), "site-1", "job-1").new_context()


def main(name: str, *case: str) -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the peer prints is no answer
    make = BENCHES.get(name)
    if not make:
        _answer(answers, None)
        return
    with contextmanager(make)(*map(json.loads, case)) as measure:
        _answer(answers, measure and f"nvflare {version('nvflare')}")
        while measure and sys.stdin.readline():
            _answer(answers, measure())


def _answer(answers: IO[str], value: Any) -> None:
    print(json.dumps(value), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
