"""A site's lives, made up by a seed: jobs come and go, faults of all kinds come at any call, and processes are killed.

A kill is one at a call of a disk or an engine, of whatever thread: from there on nothing that the threads of this life
do has any effect, and nobody hears what they tell. What another life needs the first to have done is then missing, as
after a real kill. All else of a story follows from its seed, but for the order in which threads get their turns.
"""

from __future__ import annotations

import threading
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobReturnCode, Site
from flcore.errors import FLCoreError, RuntimeUnavailableError
from launchers.job_handle import ContainerJobHandle
from launchers.runtime.fake import FakeRuntime

from .faulty import DISK_ERRORS, ENGINE_ERRORS, faulty_disk, no_thread, until
from .faulty_lives import TIMEOUT, Host

STEPS = 14
CONFIRM_TIMEOUT = 0.5
"""Seconds. Whoever is killed meanwhile confirms nothing."""
DISK, ENGINE, THREADS = "disk", "engine", "threads"
_STILL_WORK = frozenset({"close", "close_events"})
"""Calls by which a dead life's threads are ended; they change nothing of what is on the engine."""
_ENDS = (EventType.JOB_COMPLETED, EventType.JOB_ABORTED)


class Killed(BaseException):
    """What the call raises at which a process is killed."""


class Life(FLComponent):
    """One process of a site. As a component of the site, it hears what is told in it."""

    def __init__(self, told: Callable[[str, FLContext], object]) -> None:
        super().__init__()
        self.is_dead = False
        self._told = told

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type in _ENDS and not self.is_dead:
            self._told(event_type, fl_ctx)


class Weather:
    """Which calls fail, of what kind, from when on and how often; and at which the process is killed."""

    def __init__(self) -> None:
        self.life: Life | None = None
        self._failing: dict[str, tuple[int, int, Callable[[], Exception]]] = {}
        self._kill_in: dict[str, int] = {}
        self._lock = threading.Lock()

    def fail(self, kind: str, after: int, lasting: int, error: Callable[[], Exception]) -> None:
        """Have so many calls of a kind fail, after so many that do not."""
        self._failing[kind] = after, lasting, error

    def kill(self, kind: str, after: int) -> None:
        """Have the process be killed at a call of a kind."""
        self._kill_in = {kind: after}

    def heal(self) -> None:
        """Have no more calls fail."""
        with self._lock:
            self._failing, self._kill_in = {}, {}

    def hit(self, kind: str, name: str) -> None:
        """Count a call, and raise if it is to fail, or is not to be any more."""
        life = getattr(threading.current_thread(), "life", None) or self.life
        assert life
        if life.is_dead:
            if name in _STILL_WORK:
                return
            raise OSError("dead") if kind == DISK else RuntimeUnavailableError("dead", reached=False)
        with self._lock:
            if kind in self._kill_in:
                self._kill_in[kind] -= 1
                if self._kill_in[kind] < 0:
                    self._kill_in, life.is_dead = {}, True
                    raise Killed
            after, lasting, error = self._failing.get(kind, (0, 0, no_thread))
            if after or not lasting:
                self._failing[kind] = max(0, after - 1), lasting, error
                return
            self._failing[kind] = 0, lasting - 1, error
        raise error()


class OfKind:
    """The calls of one kind."""

    def __init__(self, weather: Weather, kind: str) -> None:
        self._weather, self._kind = weather, kind

    def hit(self, name: str) -> None:
        self._weather.hit(self._kind, name)


@contextmanager
def threads_of_lives(weather: Weather) -> Iterator[None]:
    """Have each thread be of the life of the one that starts it; and some not be started."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        of = getattr(threading.current_thread(), "life", None) or weather.life
        thread.life = of  # type: ignore[attr-defined]
        if of and not of.is_dead:
            weather.hit(THREADS, thread.name)
        real(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield


class Story:
    """What happens to one host by one seed. :meth:`play` raises AssertionError for what is not as it should be."""

    def __init__(self, host: Host, seed: int) -> None:
        self.host = host
        self._random = Random(seed)
        self._weather = Weather()
        self._site: Site | None = None
        self._jobs: list[str] = []
        self._launched: set[str] = set()
        """Whose launch has returned a handle."""
        self._exited: dict[str, int] = {}
        self._ends: dict[str, set[str]] = defaultdict(set)
        self._killed: set[str] = set()
        """In whose launch the process was killed."""
        self._results: dict[str, set[JobReturnCode]] = defaultdict(set)
        self.steps: list[str] = []
        self.has_disk_faults = bool(self._random.getrandbits(1))

    def play(self) -> None:
        weather, host = self._weather, self.host
        (host.workspace / ".flcore" / "jobs").mkdir(parents=True)
        with ExitStack() as stack:
            stack.enter_context(threads_of_lives(weather))
            stack.enter_context(faulty_disk(OfKind(weather, DISK), host.workspace, host.secrets))
            host.runtime.faults = OfKind(weather, ENGINE)
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(ContainerJobHandle, "confirm_timeout", CONFIRM_TIMEOUT)
            stack.callback(self._bury)
            self._begin()
            for _ in range(STEPS):
                self._step()
            self._come_to_an_end()
        self._check()

    # Lives

    def _begin(self) -> None:
        while True:
            life = self._weather.life = Life(self._take_in)
            site = self._site = self.host.site()
            site.add_component("life", life)
            with suppress(Killed):
                site.start()
            if not life.is_dead:
                return
            self._bury()

    def _bury(self) -> None:
        """End a life, be it dead or not."""
        if self._site:
            with suppress(Killed):
                self._site.close()
            if self._life.is_dead:  # what the kill may have interrupted in the closing
                for component in self._site.components().values():
                    with suppress(Exception):
                        component.handle_event(EventType.SYSTEM_END, self._site.new_context())
        self._site = None

    @property
    def _life(self) -> Life:
        assert self._weather.life
        return self._weather.life

    def _take_in(self, event_type: str, fl_ctx: FLContext) -> None:
        job_id = fl_ctx.get_job_id()
        self._ends[job_id].add(f"{event_type} {fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID)}")
        self._results[job_id].add(fl_ctx.get_prop(FLContextKey.JOB_RESULT).return_code)

    # Steps

    def _step(self) -> None:
        step = self._random.choice([*self._STEPS])
        self.steps.append(step.__name__)
        try:
            step(self)
        except Killed:
            self.steps.append("killed")
        if self._life.is_dead:
            self._bury()
            self._begin()

    def _launch(self) -> None:
        assert self._site
        job_id = f"j{len(self._jobs)}"
        self._jobs.append(job_id)
        gpus = {"site-1": {"num_of_gpus": 1}} if self._random.random() < 0.3 else {}
        try:
            self._site.launch_job({"job_id": job_id, "resource_spec": gpus}, app=self.host.app)
        except FLCoreError:
            if self._life.is_dead:
                self._killed.add(job_id)
        except Killed:
            self._killed.add(job_id)
            raise
        else:
            self._launched.add(job_id)

    def _exit(self) -> None:
        code = self._random.choice((0, 3))

        def end(name: str) -> None:
            self._exited.setdefault(name.removeprefix("site-1-"), code)
            self.host.runtime.exit(name, code)

        self._do_to_one(end)

    def _abort(self) -> None:
        assert self._site
        if self._jobs:
            with suppress(FLCoreError):
                self._site.abort_job(self._random.choice(self._jobs), by="me")

    def _restart(self) -> None:
        self._bury()
        self._begin()

    def _kill(self) -> None:
        self._weather.kill(self._random.choice((DISK, ENGINE)), self._random.choice((0, 0, 1, 3, 6, 12, 25)))

    def _spoil(self) -> None:
        kinds = [ENGINE, THREADS, *([DISK] * 2 if self.has_disk_faults else [])]
        kind, after, lasting = (
            self._random.choice(kinds),
            self._random.choice((0, 1, 3, 8, 20)),
            self._random.choice((1, 3, 12)),
        )
        errors: dict[str, list[Callable[[], Exception]]] = {
            DISK: [*DISK_ERRORS.values()],
            ENGINE: [*ENGINE_ERRORS.values()],
            THREADS: [no_thread],
        }
        self.steps[-1] += f" {kind} after {after} for {lasting}"
        self.host.runtime.does_it_first = bool(self._random.getrandbits(1))
        self._weather.fail(kind, after, lasting, self._random.choice(errors[kind]))

    def _heal(self) -> None:
        self._weather.heal()
        self.host.runtime.set_reachable(True)

    def _take_engine_away(self) -> None:
        with suppress(FLCoreError):  # of an event stream that cannot be closed
            self.host.runtime.set_reachable(False)

    def _pause(self) -> None:
        self._do_to_one(self.host.runtime.pause)

    def _unpause(self) -> None:
        self._do_to_one(self.host.runtime.unpause)

    def _remove(self) -> None:
        """Do as ``docker rm -f`` does."""

        def remove(name: str) -> None:
            FakeRuntime.remove(self.host.runtime, self.host.runtime.container(name).id)

        if self.host.runtime.reachable:
            self._do_to_one(remove)

    def _do_to_one(self, do: Callable[[str], object]) -> None:
        running = [each.spec.name for each in self.host.runtime.containers() if each.has_process]
        if running:
            with suppress(KeyError):
                do(self._random.choice(running))

    _STEPS: tuple[Callable[[Story], None], ...] = (
        *(_launch, _launch, _launch, _exit, _exit, _abort, _restart, _kill, _kill, _spoil, _spoil, _spoil, _heal),
        *(_pause, _unpause, _remove, _take_engine_away),
    )

    # The end

    def _come_to_an_end(self) -> None:
        self._heal()
        if self._life.is_dead:
            self._bury()
            self._begin()
        self._restart()  # what needs no more than that is done by it
        self._restart()
        for job_id in self._jobs:
            with suppress(KeyError):
                self._exited.setdefault(job_id, 3)
                self.host.runtime.exit(f"site-1-{job_id}", 3)
        must_end = self._launched | {job_id for job_id in self._jobs if job_id not in self._killed}
        until(lambda: must_end <= self._ends.keys(), f"ends of {sorted(must_end - self._ends.keys())}", TIMEOUT)
        self._bury()
        self._weather.life = Life(self._take_in)
        self.host.check()

    def _check(self) -> None:
        for job_id, ends in self._ends.items():
            if not self.has_disk_faults:
                assert len(ends) == 1, f"{job_id} has several ends: {ends}"
            assert JobReturnCode.UNKNOWN not in self._results[job_id]
            if JobReturnCode.SUCCESS in self._results[job_id]:
                assert self._exited.get(job_id) == 0, f"{job_id} did not succeed"


def wrong(make: Callable[[], Host], seeds: range) -> list[str]:
    """Play stories; return what went wrong in which."""
    return [problem for seed in seeds if (problem := _wrong(make(), seed))]


def _wrong(host: Host, seed: int) -> str:
    before, story = _descriptors(), Story(host, seed)
    try:
        story.play()
        until(lambda: _descriptors() <= before, "all descriptors are closed", TIMEOUT)
    except Exception as problem:  # noqa: BLE001 - all are told of
        where = traceback.extract_tb(problem.__traceback__)[-1]
        left, steps = host.left(), ", ".join(story.steps)
        return f"seed {seed}: {problem!r} at {where.name}:{where.lineno}; left: {left}; {steps}"
    return ""


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
