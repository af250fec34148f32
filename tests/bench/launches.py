"""Launches: what a job costs until it runs, and forty of them until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .engine_lab import EngineLab
from .framework import Contest, bench, times_floor
from .workload import CLEANERS, FOR_EVER, TIMEOUT, by

FLOOR = "docker-py create + start"
WHOLE = "docker-py create + start + wait + remove"
PAUSE = 0.01
"""Seconds in which a launcher does what the floor does not: look at the image, check the job, write its record."""
PAUSED = f"the floor, pausing {PAUSE * 1e3:g} ms"
"""Beside the floor, for an engine that is asked for the next container more than some 5 ms after the last one's start
takes far longer for it (measured: 60 ms, of 310), presumably since the last one leaves its network just then.
"""


@bench(rounds=30)
def launch_job() -> Iterator[Contest]:
    """One launch, until it is known that the process runs."""
    with EngineLab() as lab:
        measures = {"flcore": partial(_launch, lab), FLOOR: partial(_run, lab)}
        yield Contest(measures, floor=FLOOR, targets={"ms": times_floor(1.03)})


@bench(cases=("true by 1", "true by 8", "sleep 0.3 by 1", "sleep 0.3 by 8"), rounds=11)
def forty_jobs(case: str) -> Iterator[Contest]:
    """Forty jobs by one or eight threads: until all have ended, and until their output is read and they are removed."""
    command, _, threads = case.partition(" by ")
    with EngineLab() as lab:
        measures = {
            "flcore": partial(_forty_launches, lab, command, int(threads)),
            FLOOR: partial(_forty_runs, lab, command, int(threads)),
            PAUSED: partial(_forty_runs, lab, command, int(threads), PAUSE),
        }
        targets = {"s, ended": times_floor(1.05), "s, cleaned up": times_floor(1.05)}
        yield Contest(measures, floor=FLOOR, targets=targets)


@bench(rounds=7)
def processor_of_a_short_job() -> Iterator[Contest]:
    """The site's processor time for a job that ends at once, from its launch until nothing is left, by ten in a row."""
    with EngineLab() as lab:
        measures = {"flcore": partial(_processor_of_ten, lab.pass_through), WHOLE: partial(_processor_of_ten, lab.bare)}
        yield Contest(measures, floor=WHOLE, targets={"ms of processor": times_floor(1.55)})


def _processor_of_ten(job: Callable[[], object]) -> dict[str, float]:
    began = time.process_time()
    for _ in range(10):
        job()
    return {"ms of processor": (time.process_time() - began) * 100}


def _launch(lab: EngineLab) -> dict[str, float]:
    began = time.perf_counter()
    handle = lab.launch(FOR_EVER)
    took = time.perf_counter() - began
    lab.finish(handle)
    return {"ms": took * 1e3}


def _run(lab: EngineLab) -> dict[str, float]:
    began = time.perf_counter()
    container_id = lab.run(FOR_EVER)
    took = time.perf_counter() - began
    lab.remove(container_id)
    return {"ms": took * 1e3}


def _forty_launches(lab: EngineLab, command: str, threads: int) -> dict[str, float]:
    began = time.perf_counter()
    handles = by(threads, lambda _: lab.launch(command))
    for handle in handles:
        handle.wait()
    ended = time.perf_counter() - began
    for handle in handles:
        handle.wait_for_clean_up(TIMEOUT)
    return {"s, ended": ended, "s, cleaned up": time.perf_counter() - began}


def _forty_runs(lab: EngineLab, command: str, threads: int, pause: float = 0.0) -> dict[str, float]:
    """Clean up when all have ended: a launcher that does so earlier takes the processors from those it launches."""
    with lab.ends() as ends:
        began = time.perf_counter()
        containers = by(threads, lambda _: _pause_and_run(lab, command, pause))
        running = set(containers)
        while running:
            running.discard(ends.get(timeout=TIMEOUT)[0])
        ended = time.perf_counter() - began
        with ThreadPoolExecutor(CLEANERS) as pool:
            list(pool.map(lab.remove, containers))
        return {"s, ended": ended, "s, cleaned up": time.perf_counter() - began}


def _pause_and_run(lab: EngineLab, command: str, pause: float) -> str:
    if pause:
        time.sleep(pause)  # the contestant is this pause
    return lab.run(command)
