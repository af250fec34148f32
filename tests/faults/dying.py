"""A launcher whose process dies at a given moment."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable
from typing import Any, cast

from flcore import FLContext
from launchers.docker_launcher import DockerJobLauncher
from launchers.docker_state import TERMINAL_STATES
from launchers.runtime.base import Runtime

MOMENTS = {
    "before-create": ("create", "before"),
    "after-create": ("create", "after"),
    "before-start": ("start", "before"),
    "after-start": ("start", "after"),
    "end-seen": ("inspect", "at the end"),
    "before-drain": ("logs", "before"),
    "before-remove": ("remove", "before"),
    "after-remove": ("remove", "after"),
    "before-signal": ("send_signal", "before"),
    "after-signal": ("send_signal", "after"),
    "before-network": ("job_networks.make", "before"),
    "after-network": ("job_networks.make", "after"),
    "before-network-goes": ("job_networks.remove", "before"),
    "after-network-goes": ("job_networks.remove", "after"),
}
"""Where the parent can be told to die: at a call to its runtime. ``end-seen``: an inspection says that a job ended."""


class Moment:
    """A moment at which this process kills itself."""

    def __init__(self, spec: str) -> None:
        name, _, times = spec.partition(":")
        self.method, self.side = MOMENTS[name]
        self._left = int(times or 1)
        self._lock = threading.Lock()

    def comes(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DyingRuntime:
    """A runtime that is another one, but for one moment.

    Args:
        runtime: the other, or a part of it.
        moment: what comes.
        method: where it comes: a method's name, or that of a part and one of its methods.
    """

    def __init__(self, runtime: Any, moment: Moment, method: str) -> None:
        self._runtime = runtime
        self._moment = moment
        self._part, _, self._method = method.rpartition(".")

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._runtime, name)
        if self._part:
            return DyingRuntime(value, self._moment, self._method) if name == self._part else value
        return self._dying(value) if name == self._method else value

    def _dying(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._moment.side == "before":
                self._moment.comes()
            answer = method(*args, **kwargs)
            if self._moment.side == "after" or self._is_an_end(answer):
                self._moment.comes()
            return answer

        return call

    def _is_an_end(self, answer: Any) -> bool:
        return self._moment.side == "at the end" and answer.state in TERMINAL_STATES


class ScriptLauncher(DockerJobLauncher):
    """Runs the script that a job's metadata has as its name. For this suite only: nobody's job may do that."""

    die_at: str | None = None

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", shlex.join(["sh", "-c", job_meta["name"]])

    def make_runtime(self) -> Runtime:
        runtime = super().make_runtime()
        if not self.die_at:
            return runtime
        moment = Moment(self.die_at)
        return cast(Runtime, DyingRuntime(runtime, moment, moment.method))
