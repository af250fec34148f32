"""A federation to which something is done while it runs a job, and what its operator sees of that."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from docker.errors import APIError

from tests.engines.engine import api_of, until

from .federation import Federation, Outcome
from .jobs import Job
from .kits import CLIENTS, SITES
from .launchers import SERVER

SLOW = Job("slow", trainer={"seconds": 4})
"""Three rounds of four seconds each: long enough for something to happen in the middle of it."""
ABORTED, ABANDONED = "FINISHED:ABORTED", "FINISHED:ABANDONED"
FAILED = (ABORTED, "FINISHED:EXECUTION_EXCEPTION", "FINISHED:ABNORMAL", "FINISHED:FAILED_TO_RUN")
"""What NVIDIA FLARE calls a job that has failed; up to 2.7 it calls it aborted if a client's part fails."""
FEW_SECONDS = 20.0
"""In which a job that fails is to end."""
BROKEN = "broken.invalid"
"""The registry of images that do not run, or are not there."""
_BEGIN_TIMEOUT = 60.0
_END_TIMEOUT = 120.0
_SETTLE_TIMEOUT = 60.0
"""After it, what is there is left. A server's job that is aborted before it listens ends itself in 40 s, up to 2.7."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"^\S+ \S+ - \S+ - [A-Z]+ - ")
_COMPLAINT = re.compile(r" - (WARNING|ERROR|CRITICAL) - |finished with RC [1-9]")


@dataclass
class Sight:
    """What the operator has seen of one repeat."""

    statuses: list[str] = field(default_factory=list)
    """NVIDIA FLARE's, of the jobs that were hit."""
    seconds: float | None = None
    """From the fault, or where there is none from the submission, to the end."""
    reason: str = ""
    """The line of a log that says what has happened."""
    left: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not self.left and not self.problems


class Stage:
    """Where one repeat is played: begin a job, do something to it, and say what is to be seen of it."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.sight = Sight()
        self._job_id = ""
        self._hit = time.monotonic()
        self._read: dict[str, int] = {}
        """By site, how much of its log was there before."""

    # What is done

    def begin(self, job: Job = SLOW, says: bytes = b"trained") -> str:
        """Submit a job of our own trainer, and return its id when it says something at both clients.

        By default it has trained for a round by then. What comes next is the fault.
        """
        job_id = self.submit(job)
        until(lambda: all(says in self._output(job_id, site) for site in CLIENTS), _BEGIN_TIMEOUT, "a round", 0.2)
        self.hit()
        return job_id

    def submit(self, job: Job) -> str:
        self.hit()
        self._job_id = self.federation.submit(job)
        return self._job_id

    def hit(self) -> None:
        """From now on, time and logs count."""
        self._hit = time.monotonic()
        self._read = {site: len(self.federation.log(site)) for site in SITES}

    def kill_job(self, job_id: str, site: str) -> None:
        """Kill a job's process at one site, as its machine's kernel might."""
        with api_of(self.federation.engine) as api:
            api.kill(self.container(job_id, site))

    def container(self, job_id: str, site: str) -> str:
        """Return the name of a job's container at one site; empty if it is not there."""
        return next((name for name in self.federation.containers(job_id) if site in name), "")

    def naming(self, site: str, image: str) -> dict[str, Any]:
        """Return what the metadata of a job says that names an image for one site."""
        lab = self.federation
        if lab.launcher.jobs_name_image and lab.flare.release < (2, 8):
            others = {"sites": [one for one in SITES if one != site], "image": lab.image}
            return {"deploy_map": {"app": [others, {"sites": [site], "image": image}]}}
        return {"launcher_spec": {"default": {"docker": {"image": lab.image}}, site: {"docker": {"image": image}}}}

    @contextmanager
    def image_that_ends(self) -> Iterator[str]:
        """Yield an image in which Python ends as it starts."""
        name, tag = f"{BROKEN}/{self.federation.folder.name}", "1"
        with api_of(self.federation.engine) as api:
            container = api.create_container(self.federation.image, ["true"])
            api.commit(container, name, tag, changes=["ENV PYTHONHOME=/nowhere"])
            api.remove_container(container)
        try:
            yield f"{name}:{tag}"
        finally:
            with api_of(self.federation.engine) as api, suppress(APIError):
                api.remove_image(f"{name}:{tag}")

    # What is to be seen

    def completes(self, *job_ids: str) -> None:
        """Expect that jobs end well, with the right result."""
        for outcome in self._end(job_ids):
            self.expect(outcome.is_right, f"{outcome.status}, its model is {outcome.model}")

    def fails(self, job_id: str, site: str, says: str, statuses: Sequence[str] = FAILED) -> None:
        """Expect that a job fails in seconds, and that a site's log says why: a pattern."""
        [outcome] = self._end([job_id])
        model = "the right model" if outcome.model == outcome.job.model else f"the model {outcome.model}"
        self.expect(outcome.status in statuses, f"it ended as {outcome.status}, with {model}")
        self.expect(self.sight.seconds and self.sight.seconds < FEW_SECONDS, f"it took {self.sight.seconds:.0f} s")
        self.tells(site, says)

    def tells(self, site: str, says: str) -> None:
        """Expect that a site's log tells a reason. What it, or the server's, complains of instead is noted."""
        lines = [_PREFIX.sub("", line) for line in self._new_lines(site)]
        reason = next((f"{site}: {line}" for line in lines if re.search(says, line)), "")
        self.expect(reason, f"the log of {site} does not say {says!r}")
        self.sight.reason = reason or next(chain(self._complaints(site), self._complaints(SERVER)), "nothing")

    def keeps_log(self, job_id: str, site: str) -> None:
        """Expect that the output of a job's process is in its folder."""
        log = self.federation.folder / site / job_id / f"{site}.log"
        self.expect(log.is_file() and log.stat().st_size, f"{site} has not kept the job's output")

    def leaves_nothing(self) -> None:
        """Note what is left of jobs, all of which have ended."""
        self.sight.left = self.federation.left_over(_SETTLE_TIMEOUT)

    def next_job_runs(self) -> None:
        """Expect that a job that is submitted now ends well, and leaves nothing."""
        outcome = self.federation.run(Job("next"), _END_TIMEOUT)
        self.expect(outcome.is_right, f"the next job: {outcome.status}, its model is {outcome.model}")
        self.sight.left = sorted({*self.sight.left, *self.federation.left_over()})

    def add(self, other: Stage) -> None:
        """Add what is to be seen on another stage."""
        self.sight.statuses += other.sight.statuses
        self.sight.left += other.sight.left
        self.sight.problems += other.sight.problems

    def expect(self, condition: object, problem: str) -> None:
        """Note a problem if a condition does not hold."""
        if not condition:
            self.sight.problems.append(problem)

    def _complaints(self, site: str) -> Iterator[str]:
        """Yield what a site's log says of the last job that is not as it is to be, errors first."""
        for line in sorted(self._new_lines(site), key=lambda line: " - ERROR - " not in line):
            if _COMPLAINT.search(line) and self._job_id in line:
                yield f"{site}: {_PREFIX.sub('', line)}"

    def _end(self, job_ids: Sequence[str]) -> list[Outcome]:
        outcomes = [self.federation.wait(job_id, _END_TIMEOUT) for job_id in job_ids]
        self.sight.seconds = time.monotonic() - self._hit
        self.sight.statuses += [outcome.status for outcome in outcomes]
        return outcomes

    def _output(self, job_id: str, site: str) -> bytes:
        container = self.container(job_id, site)
        with api_of(self.federation.engine) as api, suppress(APIError):
            return bytes(api.logs(container)) if container else b""
        return b""

    def _new_lines(self, site: str) -> list[str]:
        return _STYLE.sub("", self.federation.log(site)[self._read[site] :]).splitlines()
