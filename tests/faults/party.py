"""A site whose parent is a process of its own, and what came of its jobs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from docker.errors import DockerException

from flcore import EventType
from flcore.disk.journal_file import journal_files, read_journal
from flcore.observers.job_history import SiteHistory
from launchers.container_spec import LABEL_JOB_ID, LABEL_SITE
from tests.engine_proxy import EngineProxy
from tests.engines.engine import api_of, until
from tests.engines.visit import run_as

from .verdict import Entry, Evidence, Job, Judgement, is_whole, journal_gaps, judge, read_story

ROOT = Path(__file__).parents[2]
FINISH_TIMEOUT = 90.0
"""Seconds from the end of a fault until the results of all jobs must be there."""
SLOW_POLL = 2.0
"""Seconds that no ``poll()`` may take. It takes microseconds; the machine may be busy."""
_ENGINE_EVENTS = (EventType.ENGINE_UNREACHABLE, EventType.ENGINE_REACHABLE)
_EXIT_TIMEOUT = 20.0
_STEP_TIMEOUT = 60.0
_ERROR_LINE = re.compile(r" (ERROR|CRITICAL) |^Traceback |^Exception in thread", re.MULTILINE)


@dataclass
class Outcome:
    """What came of one repeat of a fault."""

    jobs: int = 0
    right: int = 0
    left: list[str] = field(default_factory=list)
    """What of the jobs is still there: containers, networks, volumes, records."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """How jobs ended."""

    @property
    def passed(self) -> bool:
        return not (self.problems or self.left) and self.right == self.jobs

    def add(self, other: Outcome) -> None:
        self.jobs += other.jobs
        self.right += other.right
        self.left += other.left
        self.problems += other.problems
        self.notes += other.notes
        self.ends += other.ends


class Party:
    """A site of the lab: its workspace, its story, and its parent process, which may live several times.

    ``blind``: from when to when its engine may have seen no ends, in seconds since the epoch; may grow.
    ``user``: the uid of its parent.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        direct: bool,
        launcher_args: Mapping[str, Any],
        workspace: Path | None = None,
        blind: Sequence[tuple[float, float]] = (),
        user: int = 0,
    ) -> None:
        self.name = f"site-{uuid.uuid4().hex[:6]}"
        self.folder = folder / self.name
        self.folder.mkdir()
        os.chown(self.folder, user, user)
        self.workspace = workspace or self.folder / "workspace"
        self.jobs: dict[str, Job] = {}
        self.deaths = 0
        self._host = host
        self._blind = blind
        self._user = user
        self._lives = 0
        self._finishing = 0
        self._inspected: dict[str, int] = {}
        self.proxy = EngineProxy(host, self.folder / "e.sock", user)
        self.proxy.before(r"^DELETE \S*/containers/", self._look)
        self._config = self.folder / "site.json"
        self.journal_path = self.folder / "journal.jsonl"  # not in the workspace, whose disk may be full
        self._story_path = self.folder / "story.jsonl"
        self._write_config({"docker_host": host if direct else self.proxy.host, **launcher_args})
        self._process: subprocess.Popen[bytes] | None = None

    # The parent's lives

    def start(self, die_at: str | None = None) -> None:
        """Start the parent (again), and return when its site has started or the parent is dead."""
        self._let_go()
        self._lives += 1
        command = [sys.executable, "-m", "tests.faults.parent", str(self._config), str(self._story_path)]
        command += [f"--life={self._lives}", *([f"--die-at={die_at}"] if die_at else [])]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                run_as(self._user, *command), stdin=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True
            )
        self.until(lambda: self._says("started", life=self._lives), "the start of the parent")

    def kill(self) -> None:
        """SIGKILL the parent, if it lives."""
        if self._process and self.alive:
            self._process.kill()
        self.until_dead()

    def until_dead(self, timeout: float = _STEP_TIMEOUT) -> None:
        """Return when the parent has died. Raises TimeoutError if it does not."""
        assert self._process is not None
        until(lambda: not self.alive, timeout, f"{self.name}: the parent's death")
        self.deaths += 1

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self, *jobs: Job, wait: bool = True) -> None:
        """Have jobs launched, all at once; by default, return when all launches have returned or the parent is dead."""
        for job in jobs:
            self.jobs[job.id] = job
            self._send(do="launch", job=job.id, script=job.script, image=job.image)
        if wait:
            self.until(
                lambda: all(self._says("launched", job.id) or self._says("refused", job.id) for job in jobs), "launches"
            )

    def terminate(self, *jobs: Job, threads: int = 1) -> None:
        """Have jobs ended by their handles."""
        for job in jobs:
            self._send(do="terminate", job=job.id, threads=threads)

    def abort(self, *jobs: Job, threads: int = 1) -> None:
        """Have jobs ended by their ids, whatever they are at."""
        for job in jobs:
            self._send(do="abort", job=job.id, threads=threads)

    def jump(self, seconds: float) -> None:
        """Make the parent's wall clock jump."""
        said = sum(entry["what"] == "jumped" for entry in self.story)
        self._send(do="jump", seconds=seconds)
        self.until(lambda: sum(entry["what"] == "jumped" for entry in self.story) > said, "a jump of the clock")

    def was_told(self, event: str) -> bool:
        """Whether the parent's components were told that the engine answers no more, or again."""
        return any(entry["what"] == "engine" and entry["event"] == event for entry in self.story)

    def churn(self, jobs: int, threads: int, timeout: float) -> Entry:
        """Launch many jobs, one after the other; return the figures of the parent before and after."""
        self._send(do="churn", jobs=jobs, threads=threads)
        self.until(lambda: self._says("churned"), "a thousand jobs", timeout)
        return next(entry for entry in self.story if entry["what"] == "churned")

    def begin_to_finish(self) -> None:
        """Have the parent wait for all jobs; after this it takes no command any more. Idempotent."""
        if self._finishing != self._lives:
            self._finishing = self._lives
            self._send(do="finish")

    def finish(self, timeout: float = FINISH_TIMEOUT) -> None:
        """Wait for the results of all jobs, if need be in another life. Raises TimeoutError. Idempotent."""
        if self._has_finished():
            return
        if not self.alive:
            self.start()
        self.begin_to_finish()
        try:
            self.until(self._has_finished, "the results of all jobs", timeout)
            until(lambda: not self.alive, _EXIT_TIMEOUT, f"{self.name}: the parent's exit")
        except TimeoutError:
            self._dump_stacks()
            raise

    def close(self) -> None:
        """Kill the parent if it lives, and let go of all. Idempotent."""
        self._let_go()
        self.proxy.close()

    # What is seen of it

    @property
    def story(self) -> list[Entry]:
        return read_story(self._story_path)

    @property
    def log_path(self) -> Path:
        return self.folder / "parent.log"

    def until(self, condition: Callable[[], object], what: str, timeout: float = _STEP_TIMEOUT) -> None:
        """Return when the condition holds, or at once when the parent is dead. Raises TimeoutError."""
        until(lambda: condition() or not self.alive, timeout, f"{self.name}: {what}")

    def until_state(self, state: str, *jobs: Job, timeout: float = _STEP_TIMEOUT) -> None:
        """Return when the jobs were told to have entered a state, or the parent is dead."""
        self.until(lambda: all(state in self.states(job) for job in jobs), f"state {state}", timeout)

    def until_running(self, *jobs: Job) -> None:
        """Return when the jobs' own notes say that they run."""
        until(lambda: all((self.folder_of(job) / "runs").exists() for job in jobs), _STEP_TIMEOUT, "running jobs")

    def states(self, job: Job) -> list[str]:
        """Return the states of a job that were told so far."""
        return [
            entry["change"]["state"] for entry in self.story if entry["what"] == "change" and entry["job"] == job.id
        ]

    def said(self) -> set[tuple[str | None, str]]:
        """Return all that was said, as pairs of a job and what."""
        return {(entry.get("job"), entry["what"]) for entry in self.story}

    def folder_of(self, job: Job) -> Path:
        return self.workspace / job.id

    def containers(self, job: Job | None = None) -> list[str]:
        """Return the ids of its containers, of whatever state."""
        labels = [f"{LABEL_SITE}={self.name}", *([f"{LABEL_JOB_ID}={job.id}"] if job else [])]
        with api_of(self._host) as api:
            return [entry["Id"] for entry in api.containers(all=True, filters={"label": labels})]

    def outcome(self) -> Outcome:
        """Return what came of all jobs. The parent has finished, or never will."""
        journal = SiteHistory(read_journal(self.journal_path))
        judgements = [self._judge(job, journal) for job in self.jobs.values() if self._says("launching", job.id)]
        wrong = [j for j in judgements if j.problems]
        outcome = Outcome(jobs=len(judgements), right=len(judgements) - len(wrong), left=self._left())
        outcome.add(self._churned())
        outcome.problems += [f"{self.name}: job {j.job.id}: {problem}" for j in wrong for problem in j.problems]
        outcome.problems += [f"{self.name}: {problem}" for problem in self._troubles()]
        outcome.ends.update(j.end or "no result" for j in judgements)
        return outcome

    def _judge(self, job: Job, journal: SiteHistory) -> Judgement:
        inspected = self._inspected.get(f"{self.name}-{job.id}")
        evidence = Evidence.of(self.folder_of(job), self.name, self._blind)
        judgement = judge(job, self.story, evidence, inspected)
        judgement.problems += journal_gaps(job, self.story, journal.jobs.get((self.name, job.id)))
        return judgement

    def _churned(self) -> Outcome:
        """Return what came of the jobs that were launched by the thousand, of which only what is wrong was said."""
        jobs = sum(entry["jobs"] for entry in self.story if entry["what"] == "churned")
        wrong = [entry for entry in self.story if entry["what"] == "wrong"]
        problems = [f"{self.name}: job {w['job']}: exit code {w['wanted']}, told was {w['result']}" for w in wrong]
        return Outcome(jobs, jobs - len(wrong), problems=problems, ends=Counter(natural=jobs - len(wrong)))

    def _left(self) -> list[str]:
        left = [f"container {container[:12]}" for container in self.containers()]
        with api_of(self._host) as api:
            networks = api.networks(filters={"label": [f"{LABEL_SITE}={self.name}"]})
        left += [f"network {entry['Name']}" for entry in networks]
        records = self.workspace / ".flcore" / "jobs"
        return left + [f"record {path.name}" for path in (records.iterdir() if records.is_dir() else ())]

    def _troubles(self) -> Iterator[str]:
        """Yield what is wrong with the parent, whatever came of its jobs."""
        if self._lives != self.deaths + 1 or self._process is None or self._process.returncode != 0:
            yield f"the parent ended by itself, or not at all: {self._lives} lives, {self.deaths} planned deaths"
        slowest = max((entry["slowest_poll"] for entry in self.story if entry["what"] == "finished"), default=0.0)
        if slowest > SLOW_POLL:
            yield f"a poll took {slowest:.1f} s"
        for life in range(1, self._lives + 1):
            told = [entry["event"] for entry in self.story if entry["what"] == "engine" and entry["life"] == life]
            if told != [_ENGINE_EVENTS[i % 2] for i in range(len(told))]:
                yield f"the engine was told to be {told}"
        for line in (line for path in journal_files(self.journal_path) for line in path.read_bytes().splitlines(True)):
            if not is_whole(line):
                yield f"a line of the journal is torn: {line!r}"
        log = self.log_path.read_text(errors="replace")
        if found := _ERROR_LINE.search(log):
            yield f"the parent logged an error: {' / '.join(log[found.start() :].splitlines()[:3])}"

    def _has_finished(self) -> bool:
        return self._says("finished", life=self._lives)

    def _says(self, what: str, job: str | None = None, life: int | None = None) -> bool:
        return any(
            entry["what"] == what and job in (None, entry.get("job")) and life in (None, entry["life"])
            for entry in self.story
        )

    def _send(self, **command: Any) -> None:
        """Write a command to the parent; one that is dead does not mind."""
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()

    def _let_go(self) -> None:
        """Let go of the parent's process, which ends if it has not."""
        if self._process and self._process.stdin:
            self._process.kill()
            self._process.wait()
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _look(self, request: str) -> None:
        """Note what inspection says of a container before it is removed."""
        match = re.search(r"/containers/([^/?]+)", request)
        with suppress(DockerException, requests.RequestException), api_of(self._host) as api:  # it may be going
            container = api.inspect_container(match[1] if match else "")
            if container["State"]["Status"] == "exited":
                self._inspected[container["Name"].lstrip("/")] = container["State"]["ExitCode"]

    def _write_config(self, launcher_args: Mapping[str, Any]) -> None:
        launcher = {"id": "launcher", "path": "tests.faults.dying.ScriptLauncher", "args": dict(launcher_args)}
        journal = {"id": "journal", "name": "JobJournal", "args": {"path": str(self.journal_path)}}
        config = {"site": self.name, "workspace": str(self.workspace), "components": [journal, launcher]}
        self._config.write_text(json.dumps(config))

    def _dump_stacks(self) -> None:
        """Have a parent that hangs write to its log where it does."""
        if self._process and self.alive:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
