"""A container in memory: the request that made it, its state, and what it has written and used."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from ..container_spec import ContainerSpec
from ..docker_state import DOCKER_STATE, ContainerState
from .base import ContainerSummary, ContainerUsage, OutputChunk

_HAS_A_PROCESS = (DOCKER_STATE.RUNNING, DOCKER_STATE.PAUSED, DOCKER_STATE.RESTARTING)
_NO_USAGE = ContainerUsage(0.0, 0)


@dataclass
class FakeContainer:
    """One container. Without a process it can be neither paused nor ended: what asks for that returns False then."""

    id: str
    """As a real engine's: 64 hexadecimal digits."""
    spec: ContainerSpec
    """What it was made by."""
    state: ContainerState
    """What an inspection says."""
    output: bytes = b""
    """What it has written so far."""
    used: ContainerUsage = _NO_USAGE
    """What it has used so far."""

    @property
    def has_process(self) -> bool:
        """Whether it was started and has not ended."""
        return self.state.state in _HAS_A_PROCESS

    @property
    def summary(self) -> ContainerSummary:
        """Its line of a list."""
        state, spec = self.state, self.spec
        return ContainerSummary(self.id, spec.name, state.state, spec.labels, state.created_at)

    def start(self) -> None:
        """Have a process from now on."""
        self.state = replace(self.state, state=DOCKER_STATE.RUNNING, started_at=time.time())

    def fail_to_start(self, error: Exception) -> None:
        """Stay as it is, with an error: no event tells of it, as measured."""
        self.state = replace(self.state, exit_code=127, error=str(error))

    def enter(self, state: DOCKER_STATE) -> bool:
        """Enter another state with the process that it has."""
        if not self.has_process:
            return False
        self.state = replace(self.state, state=state)
        return True

    def end(self, exit_code: int, oom_killed: bool = False) -> bool:
        """End the process."""
        if not self.has_process:
            return False
        exited = replace(self.state, state=DOCKER_STATE.EXITED, finished_at=time.time())
        self.state = replace(exited, exit_code=exit_code, oom_killed=oom_killed)
        return True

    def last_lines(self, tail: int | None) -> list[bytes]:
        """Return the last lines of the output, or all of them."""
        lines = self.output.splitlines(keepends=True)
        return lines if tail is None else lines[-tail:] if tail else []

    def chunks_from(self, begin: int) -> list[OutputChunk]:
        """Return the lines of the output from a place on, and where each begins."""
        chunks = []
        for line in self.output[begin:].splitlines(keepends=True):
            chunks.append(OutputChunk(f"{begin:020d}", line))
            begin += len(line)
        return chunks
