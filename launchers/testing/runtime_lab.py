"""Where a runtime is tried: the runtime, the specs that fit it, and what its processes do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast

from flcore.errors import FLCoreError

from ..container_spec import LABEL_SITE, ContainerSpec
from ..docker_state import DOCKER_STATE, ContainerState
from ..runtime.base import ContainerUsage, Runtime
from .patience import PatientRuntime, TooLateError, in_time, until

FOR_EVER = ("sleep", "600")
UNKNOWN_ID = "0" * 64
LABELS = {LABEL_SITE: "site-1", "test.label": "a value"}


class RuntimeLab:
    """A runtime, the specs that fit it, and, for one that runs nothing itself, what its processes do.

    As a context manager, it removes at the end whatever it made a spec for, and closes the runtime. All commands are
    programs that any Linux has: ``sh``, ``sleep``, ``true``.

    Args:
        runtime: what is tried.
        measures: whether ``usage()`` can measure a running container; where not, it must say so by None.
    """

    image = "job:1"
    """One that is there."""
    code_of_a_failed_start: int | None = 127
    """The exit code of a container whose command is not there; None where the engine says none."""

    def __init__(self, runtime: Runtime, *, measures: bool = True) -> None:
        self.tried = runtime
        """The runtime itself; ``runtime`` is in front of it, and has no call wait for ever."""
        self._patient = PatientRuntime(runtime)
        self.runtime = cast("Runtime", self._patient)
        """The same, but that a call which takes for ever fails."""
        self.measures = measures
        """Whether its usage can be measured."""
        self._names: set[str] = set()

    def name(self, name: str) -> str:
        """Return the name to use for a container; a lab on a shared engine makes it unique."""
        return name

    def spec(self, name: str, *argv: str, **more: Any) -> ContainerSpec:
        """Return the spec of a container that runs a command."""
        full_name = self.name(name)
        self._names.add(full_name)
        return ContainerSpec(full_name, self.image, argv, labels=dict(LABELS), **more)

    def spec_that_cannot_start(self, name: str) -> ContainerSpec:
        """Return the spec of a container whose command, ``no-such-command``, is not there."""
        return self.spec(name, "no-such-command", init=False)

    # What a process does that is none. A lab of a runtime that runs nothing says how.

    def write(self, container_id: str, output: bytes) -> None:
        """Have a container's process write, where it does not do so by its own command."""

    def finish(self, container_id: str, exit_code: int, output: bytes = b"") -> None:
        """Have a container's process write and end, where it does not do so by its own command."""

    def use(self, container_id: str, cpu_seconds: float, memory: int) -> None:
        """Have a container's process use something, where it does not do so by its own command."""

    # What is done in many tests

    def create(self, name: str, *argv: str) -> str:
        """Create a container, and return its id."""
        return self.runtime.create(self.spec(name, *argv or FOR_EVER))

    def run(self, name: str, *argv: str) -> str:
        """Create and start a container, and return its id."""
        container_id = self.create(name, *argv)
        self.runtime.start(container_id)
        return container_id

    def run_ready(self, name: str) -> str:
        """Run a container for ever, and return its id when it is ready for a signal: an earlier one may be lost."""
        container_id = self.run(name, "sh", "-c", f"echo ready; exec {shlex.join(FOR_EVER)}")
        self.write(container_id, b"ready\n")
        output = b""
        with self.runtime.follow(container_id) as chunks:
            for chunk in chunks:
                output += chunk.data
                if output == b"ready\n":
                    return container_id
        raise AssertionError(f"follow() has ended with {output!r}, and not given the line that a running process wrote")

    def run_to_end(self, script: str, exit_code: int = 0, output: bytes = b"") -> str:
        """Run a shell script that is known to write the output and to end with the exit code; return its id."""
        container_id = self.run("script", "sh", "-c", script)
        self.finish(container_id, exit_code, output)
        self.wait_until(container_id, DOCKER_STATE.EXITED)
        return container_id

    def wait_until(self, container_id: str, state: DOCKER_STATE) -> ContainerState:
        """Return what is seen of a container once it is in a state. Fails if it does not come to that in time."""
        __tracebackhide__ = True
        return until(
            lambda: self.runtime.inspect(container_id),
            lambda seen: seen.state is state,
            f"inspect() must say {state!s} in the end",
        )

    def usage_from(self, container_id: str, cpu_seconds: float) -> ContainerUsage:
        """Return a running container's usage once it has used so much processor time. Fails if it does not."""
        __tracebackhide__ = True
        used = until(
            lambda: self.runtime.usage(container_id),
            lambda used: used is not None and used.cpu_seconds >= cpu_seconds,
            f"usage() of a busy process must come to {cpu_seconds:g} s of processor time "
            "(if this runtime cannot measure, say 'measures = False' in the test's class)",
        )
        assert used is not None
        return used

    def wait_for_event(self, container_id: str, events: Iterator[str], after: str) -> None:
        """Return when a stream of events tells of a container. Fails, with what happened, if it does not in time."""
        __tracebackhide__ = True
        told = in_time(f"{after}, but open_events() has not told of it", lambda: container_id in events)
        assert told, f"{after}, but open_events() has ended without telling of it"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        was_late = self._patient.was_late
        try:
            for summary in self.runtime.list_containers():
                if summary.name in self._names:
                    self.runtime.remove(summary.id)
            self.runtime.close()
        except TooLateError:
            if not was_late:  # else the test has failed by that already
                raise


@contextmanager
def must_raise(kind: type[FLCoreError], naming: str, what: str) -> Iterator[None]:
    """Fail if a block does not raise an error of a kind, or one that does not name something."""
    __tracebackhide__ = True
    must, said = f"{what} must raise {kind.__name__}", None
    try:
        yield
    except kind as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"{must}, but it raised {error!r}") from error
    assert said is not None, f"{must}, but it raised nothing"
    assert naming in said, f"{must} with a message that has {naming!r} in it, but it says: {said}"
