"""Launchers that run a job's process as a local process: for development, and where there is no engine.

A process is not isolated: it sees what the site's own user sees, and no limit of memory or processors holds it. CUDA
shows it its own GPUs only (``CUDA_VISIBLE_DEVICES``), if it plays fair.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace

from flcore.config.rules import checks_by_rules
from flcore.disk.job_folders import running_output
from flcore.fl_context import FLContext

from .job_launcher import ClientJobLauncher, JobLauncher, ServerJobLauncher
from .keeping.job_secrets import JobSecrets, ProcessSecrets
from .launch_plan import LaunchPlan
from .runtime.base import Runtime
from .runtime.engine_traits import EngineTraits
from .runtime.process import ProcessRuntime

__all__ = ["ClientProcessJobLauncher", "ProcessJobLauncher", "ServerProcessJobLauncher"]


@checks_by_rules
class ProcessJobLauncher(JobLauncher):
    """Runs jobs as processes of this host, with a small environment of their own; see
    :class:`launchers.launch_plan.LaunchPlanner` for its arguments.
    """

    mode = "process"
    uses_images = False
    python = sys.executable

    def make_runtime(self) -> Runtime:
        return ProcessRuntime()

    def make_secrets(self) -> JobSecrets:
        return ProcessSecrets()

    def beside_the_folder(self) -> Iterable[str]:
        return ("whatever the site's own user may write to: it is a local process",)

    def fit(self, plan: LaunchPlan, engine: EngineTraits) -> LaunchPlan:
        plan = super().fit(plan, engine)
        output = str(running_output(plan.folder)) if plan.folder else ""
        return replace(plan, spec=replace(plan.spec, output=output))

    def place(self, path: str, fl_ctx: FLContext) -> str:  # noqa: ARG002 - the same for every context
        """Return the path itself: a process sees what the site sees."""
        return path


class ClientProcessJobLauncher(ClientJobLauncher, ProcessJobLauncher):
    """Runs a client's job process, named ``<site>-<job id>``."""


class ServerProcessJobLauncher(ServerJobLauncher, ProcessJobLauncher):
    """Runs the server's job process, named ``server-<job id>``."""
