"""A client's end of the wire: the four requests that `http_server` answers, as methods."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from job_setup import ConfigError, JobError
from softmax import Update
from task import Task, checked_task

RETRY_PAUSE = 0.25
"""Seconds between two attempts to reach the server."""

MAX_ANSWER = 256 * 1024
"""Bytes; a task has about 15,000."""


class ServerLink:
    """Asks the server on behalf of one client, and keeps asking while the server is away, but not for ever.

    The first request may take `connect_timeout` seconds (the server starts at the same time, and its name may
    not resolve yet); later, the server may be silent for `server_timeout` seconds. After that, and when the
    server refuses a request, every method but `leave` raises JobError.
    """

    def __init__(self, target: str, token: str, client: str, connect_timeout: float, server_timeout: float) -> None:
        try:
            HTTPConnection(target)  # connects to nothing yet
        except HTTPException as error:
            raise ConfigError(f"the server's address must be HOST:PORT, not {target!r}") from error
        self._target = target
        self._token = token
        self._client = client
        self._server_timeout = server_timeout
        self._deadline = time.monotonic() + connect_timeout
        self._found: tuple[str, int] | None = None
        """Where the server was reached last: a name that cannot be looked up for a while need not be."""

    def next_task(self) -> Task:
        """Return what to do next; it may take the server some seconds to answer."""
        answer = self._ask("task")
        try:
            return checked_task(answer)
        except ValueError as error:
            raise JobError(f"the server sent a task that is none: {error}") from error

    def heartbeat(self) -> None:
        """Let the server know that this client is alive."""
        self._ask("heartbeat")

    def submit(self, number: int, update: Update) -> bool:
        """Send the update for a round; return whether the server still wanted it."""
        return bool(self._ask("update", round=number, **update._asdict()).get("accepted"))

    def leave(self) -> None:
        """Tell the server that this client knows the job is finished; a server that is gone knows, too."""
        with suppress(OSError, HTTPException, ValueError, JobError):
            self._post("leave", {})

    def _ask(self, what: str, **fields: object) -> dict[str, Any]:
        while True:
            try:
                answer = self._post(what, fields)
            except (OSError, HTTPException, ValueError) as error:
                self._pause_or_give_up(error)
            else:
                self._deadline = time.monotonic() + self._server_timeout
                return answer

    def _post(self, what: str, fields: Mapping[str, object]) -> dict[str, Any]:
        # http.client, not urllib: it knows no proxies, and a job's traffic must not go through one
        connection = HTTPConnection(*(self._found or (self._target,)), timeout=self._server_timeout)
        try:
            connection.connect()
            self._found = connection.sock.getpeername()[:2]
            body = json.dumps({"client": self._client, **fields})
            connection.request("POST", f"/{what}", body, {"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            text = response.read(MAX_ANSWER).decode()
        finally:
            connection.close()
        if response.status != 200:
            raise JobError(f"the server refused /{what}: {response.status} {text[:200]}")
        return dict(json.loads(text))

    def _pause_or_give_up(self, error: Exception) -> None:
        self._found = None
        if time.monotonic() > self._deadline:
            raise JobError(f"no answer from the server at {self._target}: {error}") from error
        time.sleep(RETRY_PAUSE)
