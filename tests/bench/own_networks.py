"""Networks of jobs' own: what one adds to a launch and to a job's end, and a hundred of them in one go."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from launchers.container_spec import LABEL_NONCE

from .engine_lab import EngineLab
from .framework import OURS, Contest, bench, over_floor
from .launches import FLOOR
from .workload import FOR_EVER, TIMEOUT, by

OWN: dict[str, Any] = {"per_job": True, "pools": ["10.231.0.0/16"]}
SHARED = "flcore, one network for all"
BY_HAND = "docker-py network + create + start"
HUNDRED = 100


@bench(rounds=15)
def launch_with_own_network() -> Iterator[Contest]:
    """One launch, until it is known that the process runs, and its end, until nothing is left."""
    with EngineLab() as shared, EngineLab(network=OWN) as own:
        measures = {
            OURS: partial(_life, partial(own.launch, FOR_EVER), own.finish),
            SHARED: partial(_life, partial(shared.launch, FOR_EVER), shared.finish),
            BY_HAND: partial(_by_hand, shared),
            FLOOR: partial(_life, partial(shared.run, FOR_EVER), shared.remove),
        }
        yield Contest(measures, floor=BY_HAND, targets={"ms": over_floor(100), "ms, end": over_floor(150)})


@bench(rounds=1)
def hundred_own_networks() -> Iterator[Contest]:
    """A hundred jobs at the same time, by eight threads: until all run, and until nothing is left of them."""
    with EngineLab() as shared, EngineLab(network=OWN) as own:
        yield Contest({OURS: partial(_hundred, own), SHARED: partial(_hundred, shared)}, floor=SHARED)


def _life(begin: Callable[[], Any], end: Callable[[Any], object]) -> dict[str, float]:
    began = time.perf_counter()
    job = begin()
    runs = time.perf_counter()
    end(job)
    return {"ms": (runs - began) * 1e3, "ms, end": (time.perf_counter() - runs) * 1e3}


def _by_hand(lab: EngineLab) -> dict[str, float]:
    """Do what must be done: three calls of docker-py, and three to end it."""
    name = f"bench-{secrets.token_hex(6)}"
    with ExitStack() as stack:  # what is begun is undone, too, if it fails

        def begin() -> None:
            lab.api.create_network(name, driver="bridge", internal=True, check_duplicate=True)
            stack.callback(lab.api.remove_network, name)
            stack.callback(lab.remove, lab.run(FOR_EVER, network=name))

        return _life(begin, lambda _: stack.close())


def _hundred(lab: EngineLab) -> dict[str, float]:
    began = time.perf_counter()
    handles = by(8, lambda _: lab.launch(FOR_EVER), HUNDRED)
    ran = time.perf_counter() - began
    by(8, lambda number: lab.finish(handles[number]), HUNDRED)
    ended = time.perf_counter() - began - ran
    for handle in handles:
        handle.wait_for_clean_up(TIMEOUT)
    left = lab.api.networks(filters={"label": [LABEL_NONCE, f"flcore.site={lab.site.name}"]})
    return {"s": ran, "s, end": ended, "networks left": float(len(left))}
