"""Custom code of a hostile job, and of the one beside it. Runs in job processes only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import DXO, from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

CODE = Path(__file__).parent


class WaysOut(Executor):  # type: ignore[misc]  # its base is not there for mypy
    """At one site tries all ways out, in the folder of the job; elsewhere greets whoever gets there.

    Args:
        site: where it tries; empty is nowhere, and then it lasts until it is aborted.
    """

    def __init__(self, site: str) -> None:
        super().__init__()
        self._site = site

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.START_RUN and fl_ctx.get_identity_name() != self._site:
            self._run("ways_out.neighbour", fl_ctx)

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        if fl_ctx.get_identity_name() == self._site:
            self._run("ways_out", fl_ctx).wait()
        while not self._site and not abort_signal.triggered:
            time.sleep(0.2)  # NVIDIA FLARE's signal can only be asked
        model = from_shareable(shareable)
        weights = {name: values + 1 for name, values in model.data.items()}
        return DXO(model.data_kind, data=weights, meta={"NUM_STEPS_CURRENT_ROUND": 1}).to_shareable()

    def _run(self, module: str, fl_ctx: FLContext) -> subprocess.Popen[bytes]:
        """Run a module of the hostile job, in the folder of this one."""
        workspace = fl_ctx.get_engine().get_workspace()
        folder: Any = workspace.get_run_dir(fl_ctx.get_job_id())
        environment = os.environ | {"PYTHONPATH": str(CODE), "PYTHONDONTWRITEBYTECODE": "1"}
        with Path(folder, f"{module}.err").open("wb") as errors:
            return subprocess.Popen([sys.executable, "-m", module], cwd=folder, env=environment, stderr=errors)
