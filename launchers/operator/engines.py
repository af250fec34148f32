"""Which engines are asked for jobs: those that somebody names, and those on which sites say that they launch jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias

from flcore.errors import FLCoreError
from flcore.threads import OwnThread

from ..runtime.base import Runtime, engine_in_words, whereabouts_of
from ..settings import EngineAddress
from .job_view import Listed

Answer: TypeAlias = "Sequence[Listed] | FLCoreError"

_UNIX = "unix://"


class _Engine(NamedTuple):
    """One of them."""

    key: str
    """The same for all that lead there."""
    runtime: Runtime
    is_noted: bool
    """Only what a site has on disk names it: it may be gone for good, and nobody minds."""


class Engines:
    """Asks all of them at the same time, each by one connection. For one thread at a time.

    Args:
        named: make those that a command is about; each is called once. An ImportError is a problem to be told.
        at: makes one that a site names; None where only the others are to be asked.
    """

    def __init__(
        self, named: Sequence[Callable[[], Runtime]], at: Callable[[EngineAddress], Runtime] | None = None
    ) -> None:
        self._named = named
        self._at = at
        self._made: dict[str, _Engine] = {}
        self._to_make = list(named)
        self._unanswered: list[tuple[_Engine, FLCoreError]] = []
        self._no_sdk: list[str] = []

    def ask(self, noted: Iterable[EngineAddress] = ()) -> list[Listed]:
        """Return the containers of all, and of those that sites have noted. Who does not answer is in the problems."""
        engines = [engine for engine in self._all(noted) if engine.runtime.remembers]
        told = list(zip(engines, _listed_by_all([engine.runtime for engine in engines]), strict=True))
        self._unanswered = [(engine, answer) for engine, answer in told if isinstance(answer, FLCoreError)]
        return [one for _, answer in told if not isinstance(answer, FLCoreError) for one in answer]

    def answered(self) -> list[Runtime]:
        """Return those that have answered the last time."""
        silent = [engine.key for engine, _ in self._unanswered]
        made = [engine for engine in self._made.values() if engine.runtime.remembers]
        return [engine.runtime for engine in made if engine.key not in silent]

    def problems(self, in_use: Iterable[EngineAddress], *, guess_matters: bool = True) -> list[str]:
        """Return what the last list could not find out, a line each.

        Of an engine that nobody has named, and on which no job can be, nobody need hear.

        Args:
            in_use: on these there may be jobs.
            guess_matters: there may be jobs on that of which nobody knows but that it is where one is by default.
        """
        keys = {_key(engine) for engine in in_use}
        there = [error for engine, error in self._unanswered if self._matters(engine, keys, guess_matters)]
        return [*self._no_sdk, *map(str, there)]

    def _matters(self, engine: _Engine, keys_in_use: Set[str], guess_matters: bool) -> bool:
        if engine.key in keys_in_use:
            return True
        if whereabouts_of(engine.runtime).is_guessed:
            return guess_matters and len(self._made) == 1
        return not engine.is_noted or len(self._made) == 1

    def in_words(self) -> list[str]:
        """Return what was asked: what each is, and where."""
        return [engine_in_words(engine.runtime) for engine in self._made.values() if engine.runtime.remembers]

    def close(self) -> None:
        """Let go of them. Idempotent; who asks again gets others."""
        made, self._made, self._to_make = self._made, {}, list(self._named)
        for engine in made.values():
            engine.runtime.close()

    def _all(self, noted: Iterable[EngineAddress]) -> Sequence[_Engine]:
        """Return all engines, made when they are first asked."""
        at = self._at
        try:
            while self._to_make:
                self._add(self._to_make[0](), is_noted=False)
                del self._to_make[0]
            for address in noted if at else ():
                if at and _key(address) not in self._made:
                    self._add(at(address), is_noted=True)
        except ImportError as error:
            self._no_sdk = [f"no engine was asked: {error}"]
        return list(self._made.values())

    def _add(self, runtime: Runtime, *, is_noted: bool) -> None:
        where = whereabouts_of(runtime).engine
        key = _key(where) if where else runtime.name
        self._made.setdefault(key, _Engine(key, runtime, is_noted))


def _listed_by_all(runtimes: Sequence[Runtime]) -> list[Answer]:
    """Ask all at the same time, on threads for which nothing waits: Ctrl-C ends a command, whoever does not answer."""
    if len(runtimes) <= 1:
        return [_listed(runtime) for runtime in runtimes]
    answers: dict[int, Answer] = {}
    answered: SimpleQueue[tuple[int, Answer]] = SimpleQueue()
    for number, runtime in enumerate(runtimes):
        try:
            OwnThread("list", partial(_answer, number, runtime, answered.put)).start()
        except FLCoreError:  # no thread can be started
            _answer(number, runtime, answered.put)
    while len(answers) < len(runtimes):
        answers |= [answered.get()]
    return [answers[number] for number in range(len(runtimes))]


def _answer(number: int, runtime: Runtime, then: Callable[[tuple[int, Answer]], object]) -> None:
    try:
        answer = _listed(runtime)
    except Exception as error:  # noqa: BLE001 - who waits for it must get one
        answer = FLCoreError(f"{runtime.name}: {error!r}")
    then((number, answer))


def _listed(runtime: Runtime) -> Answer:
    try:
        return [Listed(summary, runtime) for summary in runtime.list_containers()]
    except FLCoreError as error:
        return error


def _key(engine: EngineAddress) -> str:
    """Return the same for two addresses of one socket: /var/run is most often a link to /run."""
    path = engine.docker_host.removeprefix(_UNIX)
    return engine.docker_host if path == engine.docker_host else os.path.realpath(path)
