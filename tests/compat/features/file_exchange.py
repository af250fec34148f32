"""Each client streams a file of some megabytes to the server, which writes down what it got. Custom code of a job."""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any

from nvflare.apis.controller_spec import Task
from nvflare.apis.executor import Executor
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import ReturnCode, Shareable, make_reply
from nvflare.app_common.streamers.file_streamer import FileStreamer

CHANNEL, TOPIC, TASK = "compat", "file", "send"
A_MILLION = 1_000_000
"""Times a site's name is what it sends: more than one chunk."""
WAIT = 30.0


class Receiver(Controller):  # type: ignore[misc]  # its base is not there for mypy
    """Asks all clients for a file each; ``received/<site>`` in the job's folder has the digest of what came."""

    def __init__(self, clients: int = 2) -> None:
        super().__init__()
        self._clients = clients
        self._folder = Path()

    def start_controller(self, fl_ctx: Any) -> None:
        workspace = fl_ctx.get_engine().get_workspace()
        self._folder = Path(workspace.get_run_dir(fl_ctx.get_job_id()), "received")
        self._folder.mkdir()
        FileStreamer.register_stream_processing(fl_ctx, CHANNEL, TOPIC, str(self._folder), self._received)

    def control_flow(self, abort_signal: Any, fl_ctx: Any) -> None:
        task = Task(name=TASK, data=Shareable())
        self.broadcast_and_wait(task=task, fl_ctx=fl_ctx, min_responses=self._clients, abort_signal=abort_signal)
        end = time.monotonic() + WAIT
        while len(list(self._folder.glob("site-*"))) < self._clients and time.monotonic() < end:
            time.sleep(0.1)

    def stop_controller(self, fl_ctx: Any) -> None:
        """Do nothing: what was received stays."""

    def _received(self, stream_ctx: Any, fl_ctx: Any, **_: Any) -> None:
        path = Path(FileStreamer.get_file_location(stream_ctx))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (self._folder / stream_ctx["site"]).write_text(digest)
        path.unlink()


class Sender(Executor):  # type: ignore[misc]  # its base is not there for mypy
    """Sends its file."""

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: Any, abort_signal: Any) -> Shareable:
        site = fl_ctx.get_identity_name()
        with tempfile.NamedTemporaryFile() as file:
            file.write(site.encode() * A_MILLION)
            file.flush()
            code, done = FileStreamer.stream_file(CHANNEL, TOPIC, {"site": site}, ["server"], file.name, fl_ctx)
        self.log_info(fl_ctx, f"streamed: {code}, {done}")
        return make_reply(ReturnCode.OK if code == ReturnCode.OK else ReturnCode.EXECUTION_EXCEPTION)
