"""What NVIDIA FLARE learns of a job that has failed: a return code that it knows, and a word to its server."""

from __future__ import annotations

import logging
import threading
from typing import Any

from nvflare.fuel.common.exit_codes import ProcessExitCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.private.defs import CellChannel, CellChannelTopic, JobFailureMsgKey, new_cell_message
from nvflare.private.fed.client import client_executor

from flcore.job_launcher_spec import JobResult, JobReturnCode

logger = logging.getLogger(__name__)

TELLS_FAILURES = hasattr(client_executor, "REPORTABLE_JOB_FAILURES")
"""Whether a client of this NVIDIA FLARE tells the server by itself that a job has failed."""
_REASON_LENGTH = 500
_TELL_AGAIN = (1.0, 3.0, 10.0, 30.0)
"""Seconds after which a server is told again."""


def return_code_of(result: JobResult | None) -> int:
    """Return a job's return code, as NVIDIA FLARE understands it.

    A job that was killed, lost or never started is its infrastructure error, where it knows that one.
    """
    code = result.return_code if result else JobReturnCode.UNKNOWN
    if result and code is JobReturnCode.EXECUTION_ERROR:
        killed = result.signal or result.oom_killed or result.started_at is None
        code = JobReturnCode.INFRASTRUCTURE_ERROR if killed else JobReturnCode.EXCEPTION
    if code is JobReturnCode.INFRASTRUCTURE_ERROR and not hasattr(ProcessExitCode, "INFRASTRUCTURE_ERROR"):
        code = JobReturnCode.EXCEPTION
    return int(code)  # it is sent to the server, which takes no types but those that it knows


def tell_server(engine: Any, job_id: str, result: JobResult) -> None:
    """Tell the server that a client's job has failed, and why.

    Up to 2.7 a server acts on nothing but a report of code that is not trusted: it would wait for the job for more than
    a minute. To it, this is such a report; its words are the truth.
    """
    failure = {
        JobFailureMsgKey.JOB_ID: job_id,
        JobFailureMsgKey.CODE: return_code_of(result) if TELLS_FAILURES else ProcessExitCode.UNSAFE_COMPONENT,
        JobFailureMsgKey.REASON: result.error[:_REASON_LENGTH],
    }
    engine.client.cell.fire_and_forget(
        targets=[FQCN.ROOT_SERVER],
        channel=CellChannel.SERVER_MAIN,
        topic=CellChannelTopic.REPORT_JOB_FAILURE,
        message=new_cell_message(headers={}, payload=failure),
        optional=True,
    )


def tell_server_again(engine: Any, job_id: str, result: JobResult) -> None:
    """Tell the server that a client's job has failed, now and several times.

    It forgets what it is told of a job that it is starting, until all its clients have started it.
    """
    tell_server(engine, job_id, result)
    for delay in _TELL_AGAIN:
        timer = threading.Timer(delay, tell_server, (engine, job_id, result))
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as error:
            logger.warning("job %s: the server is not told again: %s", job_id, error)
