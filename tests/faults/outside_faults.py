"""Somebody else, or several threads at a time, lay hands on what belongs to a job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from docker.errors import APIError

from tests.engines.engine import api_of

from .lab import Fault, Lab
from .party import Party
from .verdict import ABORTED, KILLED, NATURAL, REFUSED, Job

RUNNING_LONG = 30
REQUESTS = 8


def container_removed(lab: Lab) -> None:
    """Containers are removed by force when they run."""
    may_end = frozenset({KILLED})
    party = _running(lab, [Job(f"job-{code}", code, RUNNING_LONG, may_end=may_end, whole_log=False) for code in (0, 3)])
    with api_of(lab.host) as api:
        for container in party.containers():
            lab.sleep(0, 1)
            api.remove_container(container, force=True, v=True)


def container_removed_and_parent_killed(lab: Lab) -> None:
    """A container is removed by force when its site's parent is dead."""
    may_end = frozenset({KILLED})
    party = _running(lab, [Job(f"job-{code}", code, RUNNING_LONG, may_end=may_end, whole_log=False) for code in (0, 3)])
    party.kill()
    with api_of(lab.host) as api:
        for container in party.containers():
            api.remove_container(container, force=True, v=True)


def image_removed(lab: Lab) -> None:
    """The image loses its name when its containers run; a launch that needs it then is refused."""
    image = lab.own_image()
    party = _running(lab, lab.jobs(), image=image)
    with api_of(lab.host) as api:
        api.remove_image(image, force=True)
    party.launch(Job("late", may_end=frozenset({REFUSED})))


def network_removed(lab: Lab) -> None:
    """The network is taken from under running containers; a launch that needs it then is refused."""
    network = lab.own_network()
    party = _running(lab, lab.jobs(), network=network)
    with api_of(lab.host) as api:
        for container in party.containers():
            with suppress(APIError):  # it has ended
                api.disconnect_container_from_network(container, network, force=True)
        api.remove_network(network)
    party.launch(Job("late", may_end=frozenset({REFUSED})))


def terminated_and_removed(lab: Lab) -> None:
    """Many threads end jobs while somebody removes their containers."""
    may_end = frozenset({ABORTED, KILLED})
    jobs = [Job(f"job-{i}", 3, RUNNING_LONG, deaf=i % 2 == 1, may_end=may_end, whole_log=False) for i in range(4)]
    party = _running(lab, jobs)
    containers = party.containers()
    party.terminate(*jobs, threads=REQUESTS)
    lab.sleep(0, 0.1)
    with ThreadPoolExecutor(4) as pool:
        for container in containers * 2:
            pool.submit(_remove, lab, container)


def terminated_while_ending(lab: Lab) -> None:
    """Many threads end jobs that end by themselves at that time."""
    may_end = frozenset({ABORTED, NATURAL})
    jobs = [Job(f"job-{i}", code, 8, may_end=may_end) for i, code in enumerate((0, 3, 7, 103))]
    party = _running(lab, jobs)
    lab.sleep(0.8, 1.8)
    party.terminate(*jobs, threads=REQUESTS)


def aborted_during_launch(lab: Lab) -> None:
    """Many threads end jobs that are being launched: before create, between create and start, and just after."""
    may_end = frozenset({ABORTED, REFUSED})
    party = lab.party()
    party.start()
    for i in range(4):
        job = Job(f"job-{i}", 3, RUNNING_LONG, may_end=may_end)
        party.launch(job, wait=False)
        party.until(lambda job=job: (job.id, "launching") in party.said(), "a launch")  # type: ignore[misc]
        lab.sleep(0, 0.5)
        party.abort(job, threads=REQUESTS)


def clock_jumps(seconds: float, lab: Lab) -> None:
    """The parent's wall clock jumps while jobs run; jobs are launched, end, and are ended before and after."""
    doomed = [Job(f"doomed-{i}", 3, 400, may_end=frozenset({ABORTED})) for i in range(2)]
    party = _running(lab, [*lab.jobs(), *doomed])
    party.terminate(doomed[0])
    lab.sleep(0, 1)
    party.jump(seconds)
    party.launch(Job("after-0", 0, 3), Job("after-3", 3, 3))
    party.terminate(doomed[1])
    lab.sleep(0, 3)
    party.jump(-seconds)


def _running(lab: Lab, jobs: list[Job], **launcher_args: Any) -> Party:
    party = lab.party(**launcher_args)
    party.start()
    party.launch(*jobs)
    party.until_running(*jobs)
    return party


def _remove(lab: Lab, container: str) -> None:
    with suppress(APIError), api_of(lab.host) as api:
        api.remove_container(container, force=True, v=True)


FAULTS = (
    Fault("container-removed", "container removed from outside", container_removed),
    Fault("container-removed-unseen", "container removed when the parent is dead", container_removed_and_parent_killed),
    Fault("image-removed", "image removed from outside", image_removed),
    Fault("network-removed", "network removed from outside", network_removed),
    Fault("terminate-and-remove", "8 threads terminate, others remove", terminated_and_removed),
    Fault("terminate-at-end", "8 threads terminate as jobs end", terminated_while_ending),
    Fault("abort-at-launch", "8 threads abort during launch", aborted_during_launch),
    Fault("clock-ahead", "wall clock jumps ahead by an hour", partial(clock_jumps, 3600)),
    Fault("clock-back", "wall clock jumps back by an hour", partial(clock_jumps, -3600)),
)
