"""What a fault is played with: an engine, and sites whose parents are processes of their own and can be killed."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
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
    """A site of the lab: its workspace, its story, and its parent process, which may live several times."""

    def __init__(
        self,
        folder: Path,
        host: str,
        direct: bool,
        launcher_args: Mapping[str, Any],
        workspace: Path | None = None,
    ) -> None:
        self.name = f"site-{uuid.uuid4().hex[:6]}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.workspace = workspace or self.folder / "workspace"
        self.jobs: dict[str, Job] = {}
        self.deaths = 0
        self.may_log_errors = False
        self._host = host
        self._direct = direct
        self._lives = 0
        self._finishing = 0
        self._inspected: dict[str, int] = {}
        self.proxy = EngineProxy(host, self.folder / "e.sock")
        self.proxy.before(r"^DELETE \S*/containers/", self._look)
        self._config = self.folder / "site.json"
        self._story_path = self.folder / "story.jsonl"
        self._write_config({"docker_host": host if direct else self.proxy.host, **launcher_args})
        self._process: subprocess.Popen[bytes] | None = None

    # The parent's lives

    def start(self, die_at: str | None = None) -> None:
        """Start the parent (again), and return when its site has started or the parent is dead."""
        self._lives += 1
        command = [sys.executable, "-m", "tests.faults.parent", str(self._config), str(self._story_path)]
        command += [f"--life={self._lives}", *([f"--die-at={die_at}"] if die_at else [])]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True
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
        labels = [f"{LABEL_SITE}={self.name}", *([f"flcore.job_id={job.id}"] if job else [])]
        with api_of(self._host) as api:
            return [entry["Id"] for entry in api.containers(all=True, filters={"label": labels})]

    def outcome(self) -> Outcome:
        """Return what came of all jobs. The parent has finished, or never will."""
        judgements = [self._judge(job) for job in self.jobs.values() if self._says("launching", job.id)]
        wrong = [j for j in judgements if j.problems]
        outcome = Outcome(jobs=len(judgements), right=len(judgements) - len(wrong), left=self._left())
        outcome.add(self._churned())
        outcome.problems += [f"{self.name}: job {j.job.id}: {problem}" for j in wrong for problem in j.problems]
        outcome.problems += self._slow_polls() + self._logged_errors()
        outcome.ends.update(j.end or "no result" for j in judgements)
        return outcome

    def _judge(self, job: Job) -> Judgement:
        inspected = self._inspected.get(f"{self.name}-{job.id}")
        return judge(job, self.story, Evidence.of(self.folder_of(job), self.name), inspected)

    def _churned(self) -> Outcome:
        """Return what came of the jobs that were launched by the thousand, of which only what is wrong was said."""
        jobs = sum(entry["jobs"] for entry in self.story if entry["what"] == "churned")
        wrong = [entry for entry in self.story if entry["what"] == "wrong"]
        problems = [f"{self.name}: job {w['job']}: exit code {w['wanted']}, told was {w['result']}" for w in wrong]
        return Outcome(jobs, jobs - len(wrong), problems=problems, ends=Counter(natural=jobs - len(wrong)))

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

    def _look(self, request: str) -> None:
        """Note what inspection says of a container before it is removed."""
        match = re.search(r"/containers/([^/?]+)", request)
        with suppress(NotFound), api_of(self._host) as api:
            container = api.inspect_container(match[1] if match else "")
            if container["State"]["Status"] == "exited":
                self._inspected[container["Name"].lstrip("/")] = container["State"]["ExitCode"]

    def _write_config(self, launcher_args: Mapping[str, Any]) -> None:
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
        self._disks: list[Path] = []
        folder.mkdir(parents=True)

    def party(self, direct: bool = False, workspace: Path | None = None, **launcher_args: Any) -> Party:
        """Make a site; its parent is started by whoever wants it. ``direct``: no proxy before the engine's socket."""
        args = {"image": self.image, "network": NETWORK, "stop_grace": 2, **launcher_args}
        party = Party(self.folder, self.host, direct, args, workspace)
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

    def expect(self, condition: object, problem: str) -> None:
        """Note a problem if a condition does not hold."""
        if not condition:
            self.problems.append(problem)

    def new_name(self) -> str:
        """Return a name for an image or a network that nobody else has."""
        return f"faults-{self.rng.randrange(1 << 40):x}"

    def small_disk(self, size: str) -> Path:
        """Mount a small disk, in memory, until the lab is closed. Its folder is open to all."""
        disk = self.folder / f"disk-{len(self._disks)}"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", disk], check=True)
        self._disks.append(disk)
        return disk

    def outcome(self) -> Outcome:
        """Have all sites finish, and return what came of their jobs."""
        outcome = Outcome(problems=self.problems, notes=self.notes)
        for party in self._parties:
            try:
                party.finish()
            except TimeoutError as error:
                outcome.problems.append(f"TimeoutError: {error}")
            outcome.add(party.outcome())
        return outcome

    def close(self, keep: bool = False) -> None:
        """End what still runs, and remove all; ``keep`` leaves the files of the sites."""
        for party in self._parties:
            party.close()
            with api_of(self.host) as api:
                for container in party.containers():
                    with suppress(NotFound):
                        api.remove_container(container, force=True, v=True)
        for disk in self._disks:
            subprocess.run(["umount", "--lazy", disk], check=False)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def need_engine(self) -> Engine:
        if self.engine is None:
            raise EngineError("this fault needs a private engine")
        return self.engine


@dataclass(frozen=True)
class Fault:
    """One way to make things go wrong."""

    name: str
    title: str
    play: Callable[[Lab], None]
    """Does it to a lab. What came of it is the lab's to say."""
    private: bool = False
    """Needs what only the suite's own process and engine have: :meth:`Lab.need_engine`, :meth:`Lab.small_disk`."""
    alone: bool = False
    """Hits everybody on the engine, so it must be alone with a private one."""
    repeats: int | None = None
    """How often, where not as often as all others."""
    data_size: str | None = None
    """Needs an engine of its own whose data has only this size."""

    @property
    def fits_any_engine(self) -> bool:
        return not (self.private or self.alone or self.data_size)


def play(fault: Fault, lab: Lab, keep: bool = False) -> Outcome:
    """Play a fault once, and return what came of it. ``keep``: leave the sites' files where it went wrong."""
    try:
        try:
            fault.play(lab)
        except (TimeoutError, EngineError) as error:
            lab.problems.append(f"{type(error).__name__}: {error}")
        outcome = lab.outcome()
    except BaseException:
        lab.close()
        raise
    lab.close(keep=keep and not outcome.passed)
    return outcome
