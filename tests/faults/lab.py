"""What a fault is played with: an engine, and sites whose parents are processes of their own and can be killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from launchers.container_spec import LABEL_SITE
from tests.engine_proxy import EngineProxy

from .engine import NETWORK, Engine, EngineError, api_of, until
from .verdict import Entry, Evidence, Job, Judgement, judge, read_story

ROOT = Path(__file__).parents[2]
FINISH_TIMEOUT = 90.0
"""Seconds from the end of a fault until the results of all jobs must be there."""
SLOW_POLL = 2.0
"""Seconds that no ``poll()`` may take. It takes microseconds; the machine may be busy."""
_EXIT_TIMEOUT = 20.0
_STEP_TIMEOUT = 60.0
_ERROR_LINE = re.compile(r" (ERROR|CRITICAL) |^Traceback |^Exception in thread", re.MULTILINE)


@dataclass
class Outcome:
    """What came of one repeat of a fault."""

    jobs: int = 0
    right: int = 0
    left: list[str] = field(default_factory=list)
    """What of the jobs is still there: containers, volumes, records."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (self.problems or self.left) and self.right == self.jobs

    def add(self, other: Outcome) -> None:
        self.jobs += other.jobs
        self.right += other.right
        self.left += other.left
        self.problems += other.problems
        self.notes += other.notes


class Party:
    """A site of the lab: its workspace, its story, and its parent process, which may live several times."""

    def __init__(
        self,
        folder: Path,
        host: str,
        launcher_args: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        workspace: Path | None = None,
    ) -> None:
        self.name = f"site-{uuid.uuid4().hex[:6]}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.workspace = workspace or self.folder / "workspace"
        self.jobs: dict[str, Job] = {}
        self.deaths = 0
        self.may_log_errors = False
        self.sees_inspections = False
        """Whether a container's inspection just before its removal is seen, and is compared."""
        self._host = host
        self._engine_socket = host
        self._environment = environment or {}
        self._lives = 0
        self._inspected: dict[str, int] = {}
        self.proxy = EngineProxy(host, self.folder / "e.sock")
        self.proxy.before(r"^DELETE \S*/containers/", self._look)
        self._write_config(launcher_args)
        self._process: subprocess.Popen[bytes] | None = None

    # The parent's lives

    def start(self, die_at: str | None = None) -> None:
        """Start the parent (again), and return when its site has started or the parent is dead."""
        self._lives += 1
        command = [sys.executable, "-m", "tests.faults.parent", str(self._config), str(self._story_path)]
        command += [f"--life={self._lives}", *([f"--die-at={die_at}"] if die_at else [])]
        with self.log_path.open("ab") as log:
            environment = {**os.environ, **self._environment}
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment, start_new_session=True
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
            self.until(lambda: all(self._says("launched", job.id) or self._says("refused", job.id) for job in jobs), "launches")

    def terminate(self, *jobs: Job, threads: int = 1, wait: bool = False) -> None:
        for job in jobs:
            self._send(do="terminate", job=job.id, threads=threads)
        if wait:
            self.until(lambda: all(self._says("terminated", job.id) for job in jobs), "ends of jobs")

    def churn(self, jobs: int, threads: int, timeout: float) -> Entry:
        """Launch many jobs, one after the other; return the figures of the parent before and after."""
        self._send(do="churn", jobs=jobs, threads=threads)
        self.until(lambda: self._says("churned"), "a thousand jobs", timeout)
        return next(entry for entry in self.story if entry["what"] == "churned")

    def finish(self, timeout: float = FINISH_TIMEOUT) -> None:
        """Wait for the results of all jobs, in another life of the parent if need be. Raises TimeoutError."""
        if not self.alive:
            self.start()
        self._send(do="finish")
        try:
            self.until(lambda: self._says("finished", life=self._lives), "the results of all jobs", timeout)
            until(lambda: not self.alive, _EXIT_TIMEOUT, f"{self.name}: the parent's exit")
        except TimeoutError:
            self._dump_stacks()
            raise

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.close()
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
        return [entry["change"]["state"] for entry in self.story if entry["what"] == "change" and entry["job"] == job.id]

    def folder_of(self, job: Job) -> Path:
        return self.workspace / job.id

    def containers(self, job: Job | None = None) -> list[str]:
        """Return the ids of its containers, of whatever state."""
        labels = [f"{LABEL_SITE}={self.name}", *([f"flcore.job_id={job.id}"] if job else [])]
        with api_of(self._engine_socket) as api:
            return [entry["Id"] for entry in api.containers(all=True, filters={"label": labels})]

    def outcome(self) -> Outcome:
        """Return what came of all jobs. The parent has finished, or never will."""
        judgements = [self._judge(job) for job in self.jobs.values() if self._says("launching", job.id)]
        wrong = [j for j in judgements if j.problems]
        outcome = Outcome(jobs=len(judgements), right=len(judgements) - len(wrong), left=self._left())
        outcome.problems = [f"{self.name}: job {j.job.id}: {problem}" for j in wrong for problem in j.problems]
        outcome.problems += self._slow_polls() + self._logged_errors()
        outcome.notes = [j.end for j in judgements]
        return outcome

    def _judge(self, job: Job) -> Judgement:
        inspected = self._inspected.get(f"{self.name}-{job.id}") if self.sees_inspections else None
        return judge(job, self.story, Evidence.of(self.folder_of(job), self.name), inspected)

    def _left(self) -> list[str]:
        containers = [f"container {container[:12]}" for container in self.containers()]
        records = self.workspace / ".flcore" / "jobs"
        return containers + [f"record {path.name}" for path in (records.iterdir() if records.is_dir() else ())]

    def _slow_polls(self) -> list[str]:
        slowest = max((e["slowest_poll"] for e in self.story if e["what"] == "finished"), default=0.0)
        return [f"{self.name}: a poll took {slowest:.1f} s"] if slowest > SLOW_POLL else []

    def _logged_errors(self) -> list[str]:
        log = self.log_path.read_text(errors="replace")
        found = None if self.may_log_errors else _ERROR_LINE.search(log)
        if not found:
            return []
        return [f"{self.name}: the parent logged an error: {' / '.join(log[found.start() :].splitlines()[:3])}"]

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

    def _look(self, request: str) -> None:
        """Note what inspection says of a container before it is removed."""
        match = re.search(r"/containers/([^/?]+)", request)
        with suppress(NotFound), api_of(self._engine_socket) as api:
            container = api.inspect_container(match[1] if match else "")
            if container["State"]["Status"] == "exited":
                self._inspected[container["Name"].lstrip("/")] = container["State"]["ExitCode"]

    def _write_config(self, launcher_args: Mapping[str, Any]) -> None:
        self._config = self.folder / "site.json"
        self._story_path = self.folder / "story.jsonl"
        launcher = {"id": "launcher", "path": "tests.faults.parent.ScriptLauncher", "args": dict(launcher_args)}
        config = {"site": self.name, "workspace": str(self.workspace), "components": [launcher]}
        self._config.write_text(json.dumps(config))

    def _dump_stacks(self) -> None:
        """Have a parent that hangs write to its log where it does."""
        if self._process and self.alive:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)


class Lab:
    """What one repeat of a fault has at hand; at the end it says what came of it.

    Args:
        engine: a private one; None where ``host`` names one that is others', too.
    """

    def __init__(self, host: str, folder: Path, image: str, engine: Engine | None = None, seed: str = "") -> None:
        self.host = host
        self.engine = engine
        self.rng = random.Random(seed)
        self.image = image
        self.folder = folder
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._parties: list[Party] = []
        folder.mkdir(parents=True)

    def party(self, direct: bool = False, **more: Any) -> Party:
        """Make a site; its parent is started by whoever wants it. ``direct``: its engine's socket is not proxied."""
        own = {name: more.pop(name) for name in ("environment", "workspace") if name in more}
        args = {"image": self.image, "network": NETWORK, "stop_grace": 2, **more}
        party = Party(self.folder, self.host, args, **own)
        party.sees_inspections = not direct
        args["docker_host"] = self.host if direct else party.proxy.host
        party._write_config(args)
        self._parties.append(party)
        return party

    def jobs(self, *more: Job, **fields: Any) -> list[Job]:
        """Return jobs that end in different ways, at different times."""
        codes = self.rng.sample([0, 3, 7, 103], 3)
        mix = [Job(f"job-{i}", code, ticks=self.rng.randint(1, 20), **fields) for i, code in enumerate(codes)]
        return [*mix, Job("long", self.rng.choice([0, 7]), ticks=30, **fields), *more]

    def sleep(self, shortest: float, longest: float) -> None:
        """Let a random time go by."""
        time.sleep(self.rng.uniform(shortest, longest))

    def outcome(self) -> Outcome:
        """Have all sites finish, and return what came of their jobs."""
        outcome = Outcome(problems=self.problems)
        for party in self._parties:
            try:
                party.finish()
            except (TimeoutError, EngineError) as error:
                outcome.problems.append(str(error))
            outcome.add(party.outcome())
        outcome.notes = [*self.notes, *outcome.notes]
        return outcome

    def close(self, keep: bool) -> None:
        """End what still runs, and remove all; ``keep`` leaves the files of the sites."""
        for party in self._parties:
            party.close()
            with api_of(self.host) as api:
                for container in party.containers():
                    with suppress(NotFound):
                        api.remove_container(container, force=True, v=True)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def need_engine(self) -> Engine:
        if self.engine is None:
            raise EngineError("this fault needs a private engine")
        return self.engine


Play = Callable[[Lab], None]


@dataclass(frozen=True)
class Fault:
    """One way to make things go wrong."""

    name: str
    title: str
    play: Play
    engine_wide: bool = False
    """It hits everybody on the engine: needs a private one, and one repeat at a time."""
    repeats: int | None = None
    """How often, where not as often as all others."""
    data_size: str | None = None
    """Needs an engine of its own whose data has only this size."""


@contextmanager
def played(fault: Fault, lab: Lab, keep: bool = False) -> Iterator[Outcome]:
    """Play a fault and yield what came of it."""
    outcome = Outcome()
    try:
        fault.play(lab)
    except (TimeoutError, EngineError) as error:
        outcome.problems.append(f"{type(error).__name__}: {error}")
    try:
        outcome.add(lab.outcome())
        yield outcome
    finally:
        lab.close(keep)


def titles(faults: Sequence[Fault]) -> Iterator[str]:
    yield from (fault.title for fault in faults)
