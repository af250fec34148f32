"""Exits: how long after a container's end its job's end is known."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

from .engine_lab import EngineLab
from .framework import Contest, bench, times_floor
from .workload import TIMEOUT, a_nap, network_of

FLOOR = "raw event subscription"


@bench(cases=("bridge", "none"), rounds=50)
def exit_detection(network: str) -> Iterator[Contest]:
    """From FinishedAt to the answer, random durations. An engine lets nobody inspect before it has left the network."""
    durations = random.Random(1)
    with EngineLab(network=network_of(network), keep=True) as lab:
        measures = {
            "flcore": partial(_wait_of_ours, lab, durations),
            FLOOR: partial(_event, lab, durations),
            "event, then inspection": partial(_event_and_inspection, lab, durations),
            "docker-py wait": partial(_wait_of_docker_py, lab, durations),
        }
        yield Contest(measures, floor=FLOOR, targets={"ms": times_floor(1.3)})


def _wait_of_ours(lab: EngineLab, durations: random.Random) -> dict[str, float]:
    handle = lab.launch(a_nap(durations))
    handle.wait()
    known = time.time()
    handle.wait_for_clean_up(TIMEOUT)
    return _since_the_end(lab, handle.identity.container_id, known)


def _event(lab: EngineLab, durations: random.Random) -> dict[str, float]:
    with lab.ends() as ends:
        container_id = lab.run(a_nap(durations))
        known = _end_of(container_id, ends)
    return _since_the_end(lab, container_id, known)


def _event_and_inspection(lab: EngineLab, durations: random.Random) -> dict[str, float]:
    with lab.ends() as ends:
        container_id = lab.run(a_nap(durations))
        _end_of(container_id, ends)
        lab.api.inspect_container(container_id)
        known = time.time()
    return _since_the_end(lab, container_id, known)


def _end_of(container_id: str, ends: SimpleQueue[tuple[str, float]]) -> float:
    """Return when a raw subscription heard of a container's end; the engine tells of others too."""
    while True:
        ended, known = ends.get(timeout=TIMEOUT)
        if ended == container_id:
            return known


def _wait_of_docker_py(lab: EngineLab, durations: random.Random) -> dict[str, float]:
    container_id = lab.run(a_nap(durations))
    lab.api.wait(container_id)
    return _since_the_end(lab, container_id, time.time())


def _since_the_end(lab: EngineLab, container_id: str, known: float) -> dict[str, float]:
    finished_at = lab.finished_at(container_id)
    lab.remove(container_id)
    return {"ms": (known - finished_at) * 1e3}
