"""Somebody's wish that a job should end: who uttered it, and whether it has reached the job, here and on the disk.

It is the field ``end_request`` of the job's record. Who wants the end writes it: a launcher, for what its site asks, or
``flcore stop``. Who signals the job, or removes its container, writes when it began to (``tried_at``) and what came of
that (``delivered``). Who tells of the end reads it, right before it makes the result.

A wish counts, and the job is told as ABORTED, if it was delivered before the job's own end; where nobody got an answer,
if somebody began to deliver it in the ten minutes before that. One that nobody has tried to deliver has ended nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from flcore.disk.os_errors import in_words
from flcore.errors import FLCoreError, RuntimeUnavailableError

from ..docker_state import EndRequest
from ..records.job_record import JobRecord
from ..records.known_job import known_request

logger = logging.getLogger(__name__)

_FIELD = "end_request"


class EndWish:
    """One job's. Safe to use from several threads.

    Several processes may deliver it: the site's own, and ``flcore stop``. Each writes down, in the job's record, that
    it is about to, and what came of it. So whoever tells of the job's end knows whether that was asked for, be it that
    the other, or it itself, was killed in between. The first wish counts.
    """

    __slots__ = ("_lock", "_record", "_request")

    def __init__(self, record: Callable[[], JobRecord | None], request: EndRequest | None = None) -> None:
        self._record = record
        self._request = request
        self._lock = threading.Lock()

    @property
    def request(self) -> EndRequest | None:
        return self._request

    def utter(self, request: EndRequest) -> bool:
        """Take in a wish, if it is the first; return whether it is. :meth:`write_down` makes it last."""
        with self._lock:
            is_first = self._request is None
            self._request = self._request or request
        return is_first

    def heed(self) -> EndRequest | None:
        """Take in what other processes have written down, and return what counts now. Reads a file."""
        noted = self._noted()
        with self._lock:
            self._request = self._request.joined(noted) if self._request else noted
            return self._request

    def fields(self) -> Mapping[str, Any]:
        """Return what a record is to say of it; nothing if there is no wish."""
        return {_FIELD: asdict(self._request)} if self._request else {}

    def write_down(self, *, durable: bool = False) -> None:
        """Have it outlive this process. Raises OSError."""
        if record := self._record():
            record.note(durable=durable, **self.fields())

    def deliver(self, send: Callable[[], bool]) -> bool:
        """Deliver it by a call that returns whether the job was still there. Returns, and raises, what that does."""
        tried_at = self._begin()
        try:
            reached = send()
        except RuntimeUnavailableError as error:
            if not error.reached:
                self._end(tried_at, None)
            raise
        except FLCoreError:  # the engine has refused it
            self._end(tried_at, None)
            raise
        self._end(tried_at, reached)
        return reached

    def deliver_by_removal(self, remove: Callable[[], object]) -> bool:
        """Deliver it to a job that has no process: by a call that removes its container. See :meth:`deliver`."""

        def send() -> bool:
            remove()
            return True

        return self.deliver(send)

    def note_delivery(self) -> None:
        """Take note of that it has reached the job, or that there is nothing which it could reach."""
        self._end(None, True)

    def _begin(self) -> float | None:
        """Write down that it is about to be delivered; return when, or None if somebody's attempt is open already."""
        request = self.heed()
        if request is None or request.delivered is not None or request.tried_at is not None:
            return None
        now = time.time()
        self._change(replace(request, tried_at=now))
        return now

    def _end(self, tried_at: float | None, reached: bool | None) -> None:
        """Write down what came of an attempt. That it came too late says nothing while another's is open."""
        request = self.heed()
        if request is None or request.delivered:
            return
        if reached:
            self._change(replace(request, delivered=True))
        elif tried_at is not None and request.tried_at == tried_at:
            self._change(replace(request, delivered=reached, tried_at=None))

    def _change(self, request: EndRequest) -> None:
        with self._lock:
            self._request = request
        try:
            self.write_down()
        except OSError as error:  # the job is ended all the same
            logger.warning("how far a wish to end a job has come cannot be written down: %s", in_words(error))

    def _noted(self) -> EndRequest | None:
        record = self._record()
        try:
            return known_request(record.noted(_FIELD)) if record else None
        except ValueError as error:
            logger.warning("%s: who has asked for the job's end cannot be read: %s", record and record.path, error)
            return None
