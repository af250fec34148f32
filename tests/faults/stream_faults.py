"""The connection to the engine fails, or the engine answers for some containers only."""

from __future__ import annotations

from .lab import Fault, Lab
from .verdict import ABORTED, Job

SHARE = 0.3


def events_cut(lab: Lab) -> None:
    """The event stream is cut again and again while jobs are launched, run and end."""
    party = lab.party()
    party.start()
    party.launch(*lab.jobs(), wait=False)
    for _ in range(8):
        lab.sleep(0, 1)
        party.proxy.cut_events()


def events_half_open(lab: Lab) -> None:
    """The event stream delivers nothing any more, and does not end; nor do some that follow."""
    party = lab.party()
    party.start()
    party.launch(*lab.jobs(), wait=False)
    lab.sleep(0, 1)
    party.proxy.stall_events()
    party.proxy.stall_new_events = lab.rng.random() < 0.5


def events_dropped(lab: Lab) -> None:
    """Three of ten events are lost."""
    party = lab.party()
    party.proxy.drop_events(SHARE, seed=lab.rng.randrange(1 << 30))
    party.start()
    for wave in range(3):
        party.launch(*(Job(f"job-{wave}-{code}", code, lab.rng.randint(0, 12)) for code in (0, 3, 7)))


def connections_refused(lab: Lab) -> None:
    """The engine's socket refuses all connections for some seconds, and cuts those that are there."""
    party = lab.party()
    party.start()
    jobs = lab.jobs()
    party.launch(*jobs)
    for _ in range(2):
        lab.sleep(0, 1)
        party.proxy.refuse()
        lab.sleep(0, 4)
        party.proxy.accept()


def inspection_hangs(lab: Lab) -> None:
    """All that concerns one container hangs; the others go on meanwhile."""
    party = lab.party()
    party.start()
    stuck = Job("stuck", 3, 25)
    doomed = Job("doomed", 3, 400, may_end=frozenset({ABORTED}))
    party.launch(stuck, doomed)
    party.until_running(stuck, doomed)
    containers = "|".join(party.containers(stuck) + party.containers(doomed))
    rule = party.proxy.hang(f"/containers/({containers})")
    party.terminate(doomed)
    others = [Job(f"job-{code}", code, lab.rng.randint(0, 10)) for code in (0, 3, 7)]
    party.launch(*others)
    party.until_state("exited", *others, timeout=30)
    lab.expect(party.states(stuck) != ["created", "running", "exited"], "the container that hung was inspected")
    rule.release()


def shim_hangs(lab: Lab) -> None:
    """containerd cannot reach one container: what holds it is frozen. The others go on meanwhile."""
    engine = lab.need_engine()
    party = lab.party(direct=True)
    party.start()
    stuck = Job("stuck", 3, 400, may_end=frozenset({ABORTED}))
    party.launch(stuck)
    party.until_running(stuck)
    with engine.frozen_shim(party.containers(stuck)[0]):
        party.terminate(stuck)
        others = [Job(f"job-{code}", code, lab.rng.randint(0, 10)) for code in (0, 3, 7)]
        party.launch(*others)
        party.until_state("exited", *others, timeout=40)
        lab.sleep(0, 3)
        lab.expect("exited" not in party.states(stuck), "the frozen container was told to have exited")


FAULTS = (
    Fault("events-cut", "event stream cut", events_cut),
    Fault("events-half-open", "event stream half-open", events_half_open),
    Fault("events-dropped", f"{SHARE:.0%} of events dropped", events_dropped),
    Fault("connections-refused", "connections cut and refused", connections_refused),
    Fault("one-container-hangs", "engine hangs for two containers", inspection_hangs),
    Fault("one-shim-hangs", "containerd hangs for one container", shim_hangs, alone=True),
)
