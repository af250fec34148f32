"""Has a job's app be at its clients before an NVIDIA FLARE server asks them whether they have room for it.

A server's kit names it in a component config that only parents read, ``local/early__p_resources.json``::

    {"components": [{"id": "early_deployment",
                     "path": "launchers.nvflare_early_deployment.FlareEarlyDeployment"}]}

So a client can look at what it would run while the job is in the server's queue, and have it wait there for its
approval, by :class:`launchers.nvflare_resource_manager.FlareResourceManager`. Importing this module needs NVIDIA FLARE.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import AdminCommandNames, FLContextKey, SystemComponents
from nvflare.apis.job_def import ALL_SITES
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import RequestHeader, TrainingTopic
from nvflare.private.fed.utils.fed_utils import extract_participants, set_message_security_data

__all__ = ["FlareEarlyDeployment"]

_KEPT_JOBS = 1000
"""Of how many jobs it is known to whom their app was sent, the newest; it is sent again otherwise."""
_TRIES = 3
"""How often an app is sent to a client that does not take it: each time the server may wait for the answer."""


class FlareEarlyDeployment(FLComponent):  # type: ignore[misc]  # its base is of a package without types
    """Sends a job's app to its clients as soon as the server thinks of scheduling it, by NVIDIA FLARE's own message.

    To each client once, for as long as that stays connected: a job that is put off again and again is not sent again.
    When all have room the server deploys the job as ever: it is that app which runs. A client that takes no app, or
    does not answer, is a line in the log, and asked for room all the same; after three such tries it is sent no more.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tries: OrderedDict[str, dict[str, int]] = OrderedDict()
        """By job id, how often its app may still be sent, by the token of a client. Touched by the scheduler alone."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Send the app of the job that the server is about to ask its clients about."""
        if event_type == EventType.BEFORE_CHECK_CLIENT_RESOURCES:
            self._send(fl_ctx.get_prop(FLContextKey.CURRENT_JOB_ID), fl_ctx)

    def _send(self, job_id: str, fl_ctx: Any) -> None:
        engine = fl_ctx.get_engine()
        participants = fl_ctx.get_prop(FLContextKey.JOB_PARTICIPANTS) or []
        clients, _ = engine.validate_targets(list(participants)[1:])  # the first is the server
        tries = self._tries_of(job_id)
        left = {client.name: client.token for client in clients if tries.setdefault(client.token, _TRIES) > 0}
        job = engine.get_component(SystemComponents.JOB_MANAGER).get_job(job_id, fl_ctx) if left else None
        if job is None:
            return
        messages = {}
        for app_name, names in _deployment(job, left):
            app = job.get_application(app_name, fl_ctx)
            message = _deploy_message(job, app_name, app, fl_ctx)
            messages.update({left[name]: message for name in names})
        admin = engine.server.admin_server
        replies = admin.send_requests_and_get_reply_dict(messages, timeout_secs=admin.timeout) if messages else {}
        for name, token in left.items():
            tries[token] -= 1
            if why := _failure(replies.get(token)) if token in messages else "":
                self.logger.warning("job %s: %s has not taken its app ahead: %s", job_id, name, why)
            else:
                tries[token] = 0

    def _tries_of(self, job_id: str) -> dict[str, int]:
        tries = self._tries.setdefault(job_id, {})
        self._tries.move_to_end(job_id)
        if len(self._tries) > _KEPT_JOBS:
            self._tries.popitem(last=False)
        return tries


def _deployment(job: Any, clients: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the apps of a job, each with those of the clients that are to have it."""
    for app_name, listed in job.get_deployment().items():
        named = extract_participants(listed)
        for_all = any(name.upper() == ALL_SITES for name in named)
        names = [name for name in clients if for_all or name in named]
        if names:
            yield app_name, names


def _deploy_message(job: Any, app_name: str, app: bytes, fl_ctx: Any) -> Message:
    """Return the message by which a server deploys an app, as its clients know it from 2.6 to 2.9."""
    message = Message(topic=TrainingTopic.DEPLOY, body=app)
    headers = {
        RequestHeader.REQUIRE_AUTHZ: "true",
        RequestHeader.ADMIN_COMMAND: AdminCommandNames.SUBMIT_JOB,
        RequestHeader.JOB_ID: job.job_id,
        RequestHeader.APP_NAME: app_name,
    }
    for name, value in headers.items():
        message.set_header(name, value)
    set_message_security_data(message, job, fl_ctx)  # and the job's metadata
    return message


def _failure(reply: Any) -> str:
    """Return why a client has not taken an app; empty if it has."""
    if reply is None:
        return "it has not answered"
    return "" if reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) == ReturnCode.OK else str(reply.body)
