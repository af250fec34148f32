"""Custom code of a job: adds one to the model, in its own time. Runs in job processes only."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import DXO, from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

GREETING = "greeting"
PARTS = 20
"""In how many parts it sleeps, and looks whether it is to stop in between."""


class Trainer(Executor):  # type: ignore[misc]  # its base is not there for mypy
    """Trains.

    Args:
        seconds: that a round takes.
        eat: how many MiB of memory it takes and keeps in each round, on ``site``.
        exit_code: with what its process ends in the first round, on ``site``; None is not at all.
        site: whose process eats and ends.
        deaf: whether it goes on when it is to stop.
        by_data: whether it adds the numbers in all data and secrets that it sees, in place of one.
        greet: whether it sends the other client a secure message in each round, and goes on without an answer.
    """

    def __init__(
        self,
        seconds: float = 0,
        eat: int = 0,
        exit_code: int | None = None,
        site: str = "site-1",
        deaf: bool = False,
        by_data: bool = False,
        greet: bool = False,
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._eat = eat
        self._exit_code = exit_code
        self._site = site
        self._deaf = deaf
        self._greet = greet
        self._by_data = by_data
        self._eaten: list[bytearray] = []

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Be ready to be greeted before anybody greets."""
        if event_type == EventType.START_RUN:
            fl_ctx.get_engine().register_aux_message_handler(GREETING, _answer)

    def execute(self, task_name: str, shareable: Any, fl_ctx: Any, abort_signal: Any) -> Any:
        """Take a task of the server, and return the result."""
        if fl_ctx.get_identity_name() == self._site:
            self._misbehave()
        self.log_info(fl_ctx, "begins a round")
        if self._greet:
            self._greet_other(fl_ctx)
        for _ in range(PARTS):
            time.sleep(self._seconds / PARTS)
            if abort_signal.triggered and not self._deaf:
                return make_reply(ReturnCode.TASK_ABORTED)
        model = from_shareable(shareable)
        step = numbers_seen() if self._by_data else 1
        weights = {name: values + step for name, values in model.data.items()}
        self.log_info(fl_ctx, f"trained {sorted(weights)}")
        return DXO(model.data_kind, data=weights, meta={"NUM_STEPS_CURRENT_ROUND": 1}).to_shareable()

    def _misbehave(self) -> None:
        for _ in range(self._eat):
            self._eaten.append(bytearray(os.urandom(1 << 20)))
        if self._exit_code is not None:
            os._exit(self._exit_code)

    def _greet_other(self, fl_ctx: Any) -> None:
        other = "site-2" if fl_ctx.get_identity_name() == "site-1" else "site-1"
        send = fl_ctx.get_engine().send_aux_request
        answers = send([other], GREETING, Shareable(), timeout=20.0, fl_ctx=fl_ctx, secure=True)
        self.log_info(fl_ctx, f"greeted {other}: {answers[other].get('from')}")


def numbers_seen() -> int:
    """Return the sum of the numbers in the files of all data, and ten times those in all secrets."""
    data = [int(path.read_text()) for path in Path("/data").rglob("number")]
    secrets = [int(path.read_text()) for path in Path("/run/secrets").glob("*")]
    return sum(data) + 10 * sum(secrets)


def _answer(topic: str, request: Any, fl_ctx: Any) -> Any:
    answer = Shareable()
    answer["from"] = fl_ctx.get_identity_name()
    return answer
