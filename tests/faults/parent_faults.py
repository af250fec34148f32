"""The site's own process dies."""

from __future__ import annotations

from functools import partial
from typing import Any

from .lab import Fault, Lab
from .verdict import ABORTED, NATURAL, NEVER_RAN, Job

CUT_OFF = frozenset({NATURAL, NEVER_RAN})
"""How a job may end whose launch was cut off: it is finished or removed."""


def dies_at(moment: str, lab: Lab, **launcher_args: Any) -> None:
    """The parent kills itself at a call to the engine, for one of several jobs that are launched or end at a time."""
    party = lab.party(**launcher_args)
    party.start(die_at=f"{moment}:{lab.rng.randint(1, 3)}")
    party.launch(*lab.jobs(may_end=CUT_OFF))
    party.until_dead()
    lab.sleep(0, 1)


def dies_while_running(lab: Lab) -> None:
    """It is killed when its jobs run; some end while there is nobody."""
    party = lab.party()
    party.start()
    jobs = lab.jobs()
    party.launch(*jobs)
    party.until_running(*jobs)
    lab.sleep(0, 1)
    party.kill()
    lab.sleep(0, 5)


def dies_at_random(times: int, most_ticks: int, lab: Lab) -> None:
    """It is killed so many times, at any moment of launches, runs, ends and recoveries."""
    party = lab.party()
    for life in range(times):
        party.start()
        ticks = [lab.rng.randint(0, most_ticks) for _ in range(2)]
        jobs = [Job(f"job-{life}-{i}", code, ticks[i], may_end=CUT_OFF) for i, code in enumerate((0, 3))]
        party.launch(*jobs, wait=False)
        lab.sleep(0, 2.5)
        party.kill()


def dies_while_ending(lab: Lab) -> None:
    """It is killed when it was asked to end jobs, one of which does not heed that."""
    party = lab.party()
    party.start()
    jobs = [
        Job("good", ticks=60, may_end=frozenset({ABORTED})),
        Job("deaf", ticks=60, deaf=True, may_end=frozenset({ABORTED})),
    ]
    party.launch(*jobs)
    party.until_running(*jobs)
    party.terminate(*jobs)
    party.until(lambda: all((job.id, "terminating") in party.said() for job in jobs), "requests")
    lab.sleep(0.1, 2.5)
    party.kill()


def _dies(name: str, title: str, moment: str) -> Fault:
    return Fault(f"parent-{name}", f"parent SIGKILLed {title}", partial(dies_at, moment))


def _dies_of_own_network(moment: str, title: str) -> Fault:
    play = partial(dies_at, moment, network={"per_job": True, "pools": ["10.210.0.0/16"]})
    return Fault(f"parent-{moment}", f"parent SIGKILLed {title}", play)


FAULTS = (
    _dies("before-create", "before create", "before-create"),
    _dies("after-create", "between create and start", "before-start"),
    _dies("after-start", "just after start", "after-start"),
    Fault("parent-while-running", "parent SIGKILLed while running", dies_while_running),
    _dies_of_own_network("before-network", "before its job's own network is made"),
    _dies_of_own_network("after-network", "when that is made, and no container"),
    _dies_of_own_network("before-network-goes", "when the container is gone, and that is not"),
    _dies_of_own_network("after-network-goes", "when that is gone, and the record is not"),
    _dies("at-end", "while the job ends", "end-seen"),
    _dies("before-drain", "before the output is kept", "before-drain"),
    _dies("before-remove", "before the removal", "before-remove"),
    _dies("after-remove", "just after the removal", "after-remove"),
    Fault("parent-while-ending", "parent SIGKILLed while it ends jobs", dies_while_ending),
    Fault("parent-at-random", "parent SIGKILLed three times at random", partial(dies_at_random, 3, 12)),
    Fault("parent-often", "parent SIGKILLed ten times while short jobs come and go", partial(dies_at_random, 10, 3)),
)
