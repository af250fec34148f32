"""Run by a peer's interpreter: NVIDIA FLARE's part in one bench. ``python -m tests.bench.nvflare_peer BENCH [CASE]``.

Writes its name (or null, if it has no part in the bench), then a measurement for each line that it reads. To take part
in another bench, write a generator of that bench's name and arguments that yields a measure, and cleans up behind.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import IO, Any

from tests.bench.timing import Measure, importing, per_call

DOCKER_LAUNCHER = "nvflare.app_opt.job_launcher.docker_launcher"


def fire_event(components: int) -> Iterator[Measure]:
    from nvflare.apis.fl_component import FLComponent

    fl_ctx = _context([FLComponent() for _ in range(components)])
    yield per_call(FLComponent().fire_event, "event", fl_ctx)


def new_context() -> Iterator[Measure]:
    from nvflare.apis.fl_context import FLContextManager

    yield per_call(FLContextManager(object(), "site-1", "job-1").new_context)


def set_prop(kind: str) -> Iterator[Measure]:
    yield per_call(_context([]).set_prop, "key", "value", True, kind == "sticky")


def get_prop(kind: str) -> Iterator[Measure]:
    fl_ctx = _context([])
    if kind != "missing":
        fl_ctx.set_prop("key", "value", True, kind == "sticky")
    yield per_call(fl_ctx.get_prop, "key")


def import_docker_launcher() -> Iterator[Measure]:
    yield importing(DOCKER_LAUNCHER)


BENCHES = {make.__name__: make for make in (fire_event, new_context, set_prop, get_prop, import_docker_launcher)}


class _Engine:
    """What NVIDIA FLARE's engines do to fire an event, and no more."""

    def __init__(self, components: list[Any]) -> None:
        from nvflare.private.event import fire_event

        self._components = components
        self._fire = fire_event

    def fire_event(self, event_type: str, fl_ctx: Any) -> None:
        self._fire(event_type, self._components, fl_ctx)


def _context(components: list[Any]) -> Any:
    from nvflare.apis.fl_context import FLContextManager

    return FLContextManager(_Engine(components), "site-1", "job-1").new_context()


def main(name: str, *case: str) -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the peer prints is no answer
    make = BENCHES.get(name)
    if not make:
        _answer(answers, None)
        return
    with contextmanager(make)(*map(json.loads, case)) as measure:
        _answer(answers, f"nvflare {version('nvflare')}")
        for _ in sys.stdin:
            _answer(answers, measure())


def _answer(answers: IO[str], value: Any) -> None:
    print(json.dumps(value), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
