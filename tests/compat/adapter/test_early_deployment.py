"""FlareEarlyDeployment: to whom a server sends which app ahead, and what comes of a client that does not take it.

That real clients take it, ``tests/compat/test_consent.py`` tests.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContextManager
from nvflare.apis.job_def import Job
from nvflare.private.admin_defs import Message, error_reply, ok_reply
from nvflare.private.defs import RequestHeader

from launchers.nvflare_early_deployment import FlareEarlyDeployment

JOB_ID = "job-1"


class SentJob(Job):  # type: ignore[misc]  # its base is of a package without types
    """A job whose apps are their names."""

    def get_application(self, app_name: str, fl_ctx: Any) -> bytes:
        return app_name.encode()


class Server:
    """What of a server's engine is asked."""

    def __init__(self, deploy_map: dict[str, list[str]]) -> None:
        self.job = SentJob(JOB_ID, {}, deploy_map, {"job_id": JOB_ID})
        self.server = SimpleNamespace(admin_server=self)
        self.timeout = 10.0
        self.tokens = {"site-1": "token-1", "site-2": "token-2"}
        self.replies: dict[str, Message | None] = {}
        self.sent: list[tuple[str, str, bytes]] = []
        self._contexts = FLContextManager(self, "server")
        self.early = FlareEarlyDeployment()

    def schedule(self) -> None:
        """Think of scheduling the job, as a server's scheduler does."""
        fl_ctx = self._contexts.new_context()
        fl_ctx.set_prop(FLContextKey.CURRENT_JOB_ID, JOB_ID, private=True)
        fl_ctx.set_prop(FLContextKey.JOB_PARTICIPANTS, ["server", *self.tokens], private=True, sticky=False)
        self.early.handle_event(EventType.BEFORE_CHECK_CLIENT_RESOURCES, fl_ctx)

    # What its parts ask

    def validate_targets(self, names: list[str]) -> tuple[list[Any], list[str]]:
        return [SimpleNamespace(name=name, token=self.tokens[name]) for name in names], []

    def get_component(self, _: str) -> Any:
        return self

    def get_job(self, job_id: str, _: Any) -> Job | None:
        return self.job if job_id == JOB_ID else None

    def send_requests_and_get_reply_dict(self, requests: dict[str, Message], timeout_secs: float) -> dict[str, Any]:
        assert timeout_secs == self.timeout
        for token, message in requests.items():
            assert message.get_header(RequestHeader.JOB_ID) == JOB_ID
            assert message.get_header(RequestHeader.JOB_META)["job_id"] == JOB_ID
            self.sent.append((token, message.get_header(RequestHeader.APP_NAME), message.body))
        return {token: self.replies.get(token, ok_reply()) for token in requests}


def test_each_client_is_sent_its_own_app_once() -> None:
    server = Server({"one": ["server", "site-1"], "two": ["site-2", "site-9"]})
    server.schedule()
    server.schedule()
    assert server.sent == [("token-1", "one", b"one"), ("token-2", "two", b"two")]


def test_an_app_for_all_is_sent_to_all_who_are_there() -> None:
    server = Server({"app": ["@ALL"]})
    server.schedule()
    assert [token for token, _, _ in server.sent] == ["token-1", "token-2"]


def test_an_app_of_the_server_alone_is_sent_to_nobody() -> None:
    server = Server({"app": ["server"]})
    server.schedule()
    assert server.sent == []


def test_a_client_that_has_connected_anew_is_sent_it_again() -> None:
    server = Server({"app": ["@ALL"]})
    server.schedule()
    server.tokens["site-2"] = "token-3"
    server.schedule()
    assert [token for token, _, _ in server.sent] == ["token-1", "token-2", "token-3"]


@pytest.mark.parametrize(
    ("reply", "why"), [(None, "it has not answered"), (error_reply("no BYOC here"), "no BYOC here")]
)
def test_a_client_that_does_not_take_it_is_told_of_and_sent_it_again(
    reply: Message | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server({"app": ["@ALL"]})
    server.replies = {"token-2": reply}
    with caplog.at_level(logging.WARNING):
        server.schedule()
    assert f"job {JOB_ID}: site-2 has not taken its app ahead: {why}" in caplog.text
    server.replies = {}
    server.schedule()
    server.schedule()
    assert [token for token, _, _ in server.sent] == ["token-1", "token-2", "token-2"]


def test_a_client_that_never_takes_it_is_sent_it_three_times(caplog: pytest.LogCaptureFixture) -> None:
    server = Server({"app": ["@ALL"]})
    server.replies = {"token-2": None}
    for _ in range(5):
        server.schedule()
    assert [token for token, _, _ in server.sent].count("token-2") == 3
    assert caplog.text.count("site-2 has not taken its app ahead") == 3
