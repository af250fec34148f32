"""What can go wrong in a federation, and what is to be seen of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tests.engines.engine import until

from .federation import Federation
from .jobs import Job
from .launchers import SERVER
from .stage import ABANDONED, ABORTED, BROKEN, FAILED, SLOW, Stage

CLIENT = "site-1"


@dataclass(frozen=True)
class Row:
    """One thing that goes wrong, or is asked of a federation."""

    name: str
    title: str
    play: Callable[[Stage], None]
    """Does it, and says what is to be seen."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Of flcore's launcher."""
    proxied: bool = False
    """Needs a federation whose way to the engine can be cut."""
    user: int | None = None
    """The user that the parents run as; None is our own."""
    repeats: int | None = None
    """How often, where not as often as all others."""


def engine_away(stage: Stage, seconds: float, job: Job = SLOW) -> None:
    """The engine refuses and cuts all connections of the parents for some seconds; jobs go on meanwhile."""
    job_id = stage.begin(job)
    with stage.federation.engine_away():
        time.sleep(seconds)
    stage.completes(job_id)
    stage.tells(CLIENT, "does not answer|[Rr]efused|[Aa]borted")


def ends_at_once(stage: Stage) -> None:
    """The interpreter in the image of one client ends as it starts."""
    with stage.image_that_ends() as image:
        job_id = stage.submit(Job("ends", meta=stage.naming(CLIENT, image)))
        stage.fails(job_id, CLIENT, "exit code 1; .*Fatal Python error")
        stage.leaves_nothing()


def image_missing(stage: Stage, site: str) -> None:
    """A job names an image for one site that its engine does not have."""
    image = f"{BROKEN}/missing:1"
    job_id = stage.submit(Job("missing", meta=stage.naming(site, image)))
    stage.fails(
        job_id, site, f"(?i)(not there|not found|no such image).*{image}|{image}.*(not there|not found|no such image)"
    )


def job_killed(stage: Stage, site: str) -> None:
    """The container of one site is killed in the middle of a job."""
    job_id = stage.begin()
    stage.kill_job(job_id, site)
    stage.fails(job_id, site, r"\b137\b|signal 9|SIGKILL")


def out_of_memory(stage: Stage) -> None:
    """One client's part of a job takes more memory than it may have."""
    job_id = stage.submit(Job("eats", trainer={"seconds": 1, "eat": 600}))
    stage.fails(job_id, CLIENT, "out of memory|OOM")


def aborted(stage: Stage) -> None:
    """The operator aborts a job, whose processes stop as they are asked to."""
    job_id = stage.begin()
    stage.federation.abort(job_id)
    stage.fails(job_id, SERVER, "[Ss]top the job run|ABORTED", [ABORTED])


def aborted_deaf(stage: Stage) -> None:
    """The operator aborts a job whose training does not heed it."""
    job_id = stage.begin(Job("deaf", trainer={"seconds": 60, "deaf": True}), b"begins a round")
    stage.federation.abort(job_id)
    stage.fails(job_id, SERVER, "[Ss]top the job run|ABORTED", [ABORTED])
    stage.leaves_nothing()


def client_restarted(stage: Stage) -> None:
    """A client's parent is killed in the middle of a job, and started again at once."""
    job_id = stage.begin()
    stage.federation.restart_parent(CLIENT)
    stage.fails(job_id, CLIENT, "found again")
    stage.leaves_nothing()
    stage.keeps_log(job_id, CLIENT)


def server_restarted(stage: Stage) -> None:
    """The server's parent is killed in the middle of a job, and started again at once."""
    job_id = stage.begin()
    stage.federation.restart_parent(SERVER)
    stage.federation.reconnect()
    stage.fails(job_id, SERVER, "found again", [*FAILED, ABANDONED])
    stage.leaves_nothing()
    stage.keeps_log(job_id, SERVER)


def not_root(stage: Stage) -> None:
    """All parents run as a user of no name."""
    stage.completes(stage.submit(Job()))


def two_federations(stage: Stage) -> None:
    """Two federations, whose sites have the same names, have the same engine."""
    lab = stage.federation
    with Federation(lab.flare, lab.launcher, lab.topology, lab.engine) as other:
        also = Stage(other)
        job_id, other_id = stage.submit(Job()), also.submit(Job())
        stage.completes(job_id)
        also.completes(other_id)
        also.leaves_nothing()
        stage.add(also)


def many(stage: Stage) -> None:
    """Nothing goes wrong, but there is more than one job."""
    stage.hit()
    for _ in range(10):
        stage.completes(stage.federation.submit(Job()))
    three = [stage.federation.submit(replace(SLOW, name=f"at-once-{number}")) for number in range(3)]
    until(lambda: all(len(stage.federation.containers(job_id)) == 3 for job_id in three), 60, "three jobs at a time")
    stage.completes(*three)


_BROKEN_IMAGES = {"images": [f"{BROKEN}/*"]}

ROWS = (
    *(
        Row(
            f"engine-away-{seconds}",
            f"the engine's API away for {seconds} s",
            partial(engine_away, seconds=seconds, job=job),
            proxied=True,
        )
        for seconds, job in ((3, SLOW), (10, SLOW), (30, Job("slower", trainer={"seconds": 14})))
    ),
    Row(
        "engine-away-end",
        "the engine's API away for 30 s, in which the job ends",
        partial(engine_away, seconds=30),
        proxied=True,
    ),
    Row("ends-at-once", "a client's container ends at once", ends_at_once, _BROKEN_IMAGES),
    Row("image-missing-client", "a client's image is missing", partial(image_missing, site=CLIENT), _BROKEN_IMAGES),
    Row("image-missing-server", "the server's image is missing", partial(image_missing, site=SERVER), _BROKEN_IMAGES),
    Row("killed-client", "a client's container is killed", partial(job_killed, site=CLIENT)),
    Row("killed-server", "the server's container is killed", partial(job_killed, site=SERVER)),
    Row("memory", "a client's container reaches its memory limit", out_of_memory, {"limits": {"memory": "512Mi"}}),
    Row("abort", "the operator aborts the job", aborted),
    Row("abort-deaf", "the operator aborts a job that goes on", aborted_deaf),
    Row("restart-client", "a client's parent is killed, and started again", client_restarted),
    Row("restart-server", "the server's parent is killed, and started again", server_restarted),
    Row("not-root", "parents that are not root", not_root, user=1001),
    Row("two-federations", "two federations on one engine, a job in each", two_federations),
    Row("many", "ten jobs one after the other, then three at a time", many, repeats=1),
)
