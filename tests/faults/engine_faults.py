"""The engine's daemon stops, dies, or does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from flcore import EventType
from tests.engines.engine import Engine

from .lab import Fault, Lab
from .party import Party
from .verdict import ABORTED, FORGOTTEN, KILLED, NATURAL, NEVER_RAN, REFUSED, Job

FREEZE = 20.0
_STAYS = frozenset({NATURAL})
_ENDED = frozenset({NATURAL, KILLED})
_FORGOTTEN = frozenset({FORGOTTEN})
"""A daemon that goes forgets the ends of its last moments, and of no others: its inspection says 255 for ever."""
_NOT_LAUNCHED = frozenset({REFUSED, NEVER_RAN})


def daemon_ends(how: str, live_restore: bool, may_end: frozenset[str], lab: Lab) -> None:
    """The daemon is stopped or killed when jobs run, and comes back; a job is launched when it is away.

    What jobs write when there is no daemon, or one that is killed has not yet written down, may be lost with it.
    """
    engine = _engine(lab, live_restore)
    if not engine.program.outlived_by_jobs:
        may_end |= {KILLED}
    parties = lab.party(), lab.party(direct=True)
    for party in parties:
        party.start()
        jobs = lab.jobs(may_end=may_end, gapless=how == "terminate" and not live_restore)
        party.launch(*jobs)
        party.until_running(*jobs)
    lab.sleep(0, 1.5)
    getattr(engine, how)()
    for party in parties:
        party.launch(Job("late", 3, 2, may_end=may_end | _NOT_LAUNCHED), wait=False)
    lab.sleep(0, 4)
    engine.start(live_restore)


def frozen_while_running(lab: Lab) -> None:
    """Jobs run, and some end, when the daemon is frozen."""
    engine = _engine(lab)
    party = _party_with(lab, *lab.jobs())
    lab.sleep(0, 1)
    with _frozen_for_a_while(engine):
        pass
    _expect_both_told(lab, party)


def frozen_during_launch(lab: Lab) -> None:
    """Jobs are launched just before and after the daemon is frozen."""
    engine = _engine(lab)
    party = _party_with(lab)
    may_end = _STAYS | _NOT_LAUNCHED
    party.launch(*(Job(f"before-{i}", code, 3, may_end=may_end) for i, code in enumerate((0, 3, 7))), wait=False)
    lab.sleep(0, 0.6)
    with _frozen_for_a_while(engine):
        party.launch(*(Job(f"after-{i}", code, 3, may_end=may_end) for i, code in enumerate((0, 3))), wait=False)


def frozen_during_wait(lab: Lab) -> None:
    """Jobs are waited for that end when the daemon is frozen."""
    engine = _engine(lab)
    jobs = [Job(f"job-{code}", code, lab.rng.randint(5, 80)) for code in (0, 3, 7, 103)]
    party = _party_with(lab, *jobs)
    party.begin_to_finish()
    lab.sleep(0, 0.5)
    with _frozen_for_a_while(engine):
        pass
    _expect_both_told(lab, party)


def frozen_during_terminate(lab: Lab) -> None:
    """Jobs are ended just before and after the daemon is frozen."""
    engine = _engine(lab)
    jobs = [Job(f"job-{i}", 3, 400, deaf=i == 2, may_end=frozenset({ABORTED})) for i in range(4)]
    party = _party_with(lab, *jobs)
    party.terminate(*jobs[2:])
    lab.sleep(0, 0.3)
    with _frozen_for_a_while(engine):
        party.terminate(*jobs[:2])
    _expect_both_told(lab, party)


def away_during_terminate(lab: Lab) -> None:
    """Jobs are ended when the daemon is away; with live-restore, they go on."""
    engine = _engine(lab, live_restore=True)
    jobs = [Job(f"job-{i}", 3, 400, deaf=i == 2, gapless=False, may_end=frozenset({ABORTED})) for i in range(3)]
    party = _party_with(lab, *jobs)
    engine.kill()
    party.terminate(*jobs)
    lab.sleep(0, 4)
    engine.start(live_restore=True)


def both_die(lab: Lab) -> None:
    """The daemon and the parent are killed at a time, and the parent comes back first."""
    engine = _engine(lab, live_restore=True)
    party = _party_with(lab, *lab.jobs(gapless=False, may_end=_STAYS | _FORGOTTEN))
    lab.sleep(0, 1)
    engine.kill()
    party.kill()
    lab.sleep(0, 2)
    party.start()
    lab.sleep(0, 2)
    engine.start(live_restore=True)


def _engine(lab: Lab, live_restore: bool = False) -> Engine:
    engine = lab.need_engine()
    if engine.live_restore is not live_restore:
        engine.restart(live_restore)
    return engine


def _party_with(lab: Lab, *jobs: Job) -> Party:
    """Return a site whose jobs run."""
    party = lab.party()
    party.start()
    party.launch(*jobs)
    party.until_running(*jobs)
    return party


@contextmanager
def _frozen_for_a_while(engine: Engine) -> Iterator[None]:
    engine.freeze()
    try:
        yield
        time.sleep(FREEZE)
    finally:
        engine.thaw()


def _expect_both_told(lab: Lab, party: Party) -> None:
    """Expect that the engine was told not to answer, and to answer again."""
    party.finish()
    for event in (EventType.ENGINE_UNREACHABLE, EventType.ENGINE_REACHABLE):
        lab.expect(party.was_told(event), f"{party.name}: {event} was not told")


def _daemon(how: str, live_restore: bool, may_end: frozenset[str]) -> Fault:
    restore = "with" if live_restore else "without"
    signal = {"terminate": "SIGTERM", "kill": "SIGKILL"}[how]
    name = f"daemon-{signal.lower()}-{restore}-live-restore"
    play = partial(daemon_ends, how, live_restore, may_end)
    return Fault(name, f"daemon {signal}, {restore} live-restore", play, alone=True)


def _frozen(name: str, title: str, play: Callable[[Lab], None]) -> Fault:
    return Fault(f"frozen-{name}", f"daemon SIGSTOP for {FREEZE:g} s {title}", play, alone=True)


FAULTS = (
    _daemon("terminate", False, _ENDED),
    _daemon("kill", False, _ENDED | _FORGOTTEN),
    _daemon("terminate", True, _STAYS | _FORGOTTEN),
    _daemon("kill", True, _STAYS | _FORGOTTEN),
    Fault("daemon-away-during-terminate", "daemon away during terminate", away_during_terminate, alone=True),
    Fault("daemon-and-parent", "daemon and parent SIGKILLed, live-restore", both_die, alone=True),
    _frozen("while-running", "while running", frozen_while_running),
    _frozen("during-launch", "during launch", frozen_during_launch),
    _frozen("during-wait", "during wait", frozen_during_wait),
    _frozen("during-terminate", "during terminate", frozen_during_terminate),
)
