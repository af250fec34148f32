"""Who takes part, who has answered, who has fallen silent: the server's side of a round, without HTTP.

The server's main thread calls `wait_for_clients`, `run_round`, `finish`; a thread per request calls the rest.
They share one condition, and none of them sleeps: a waiting thread is woken by what it waits for.
"""

import threading
import time
from collections.abc import Callable, Iterable
from math import inf

from job_setup import JobError
from softmax import Update, Weights
from task import FINISHED, WAIT, Kind, Task

OVERSLEPT = 0.5
"""Seconds. A process that wakes later than this was itself stopped (a paused container), not merely busy."""


class TooFewClientsError(JobError):
    """Fewer clients are alive than the job needs."""


class Federation:
    """The clients of one job. A client lives from its first word to `client_timeout` seconds of silence.

    A dropped client that says something is alive again: rejoining is no different from joining.
    """

    def __init__(
        self,
        clients: Iterable[str],
        min_clients: int,
        client_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clients = frozenset(clients)
        self._min_clients = min_clients
        self._client_timeout = client_timeout
        self._clock = clock
        self._changed = threading.Condition()
        # the rest is read and written only by who holds the condition's lock
        self._task = WAIT
        self._answers: dict[str, Update] = {}
        self._last_heard: dict[str, float] = {}  # of the living

    # --- called for a client, by the thread of its request ---

    def next_task(self, client: str) -> Task:
        """Return what the client is to do; wait up to half a `client_timeout` while that is nothing."""
        with self._changed:
            self._hear(client)
            self._changed.wait_for(lambda: self._task_of(client) is not WAIT, self._client_timeout / 2)
            return self._task_of(client)

    def heartbeat(self, client: str) -> None:
        """Note that the client is alive."""
        with self._changed:
            self._hear(client)

    def submit(self, client: str, number: int, update: Update) -> bool:
        """Take a client's first update for the current round; ignore any other, and return False."""
        with self._changed:
            self._hear(client)
            if self._task_of(client).kind is not Kind.TRAIN or number != self._task.round:
                return False
            self._answers[client] = update
            self._changed.notify_all()
            return True

    def leave(self, client: str) -> None:
        """Expect nothing more of a client that knows the job is finished."""
        with self._changed:
            self._last_heard.pop(client, None)
            self._changed.notify_all()

    def _task_of(self, client: str) -> Task:
        return WAIT if client in self._answers else self._task

    def _hear(self, client: str) -> None:
        if client not in self._last_heard:
            print(f"{client} joined")
            self._changed.notify_all()
        self._last_heard[client] = self._clock()

    # --- called by the server's main thread ---

    def wait_for_clients(self, join_timeout: float) -> None:
        """Wait for all clients; after `join_timeout` seconds, `min_clients` are enough.

        Raises TooFewClientsError if there are fewer.
        """
        with self._changed:
            self._wait_until(lambda: self._last_heard.keys() == self.clients, join_timeout)
            self._require_enough_clients()

    def run_round(self, number: int, weights: Weights) -> dict[str, Update]:
        """Hand out the weights; return the updates by client, sorted, when every living client has answered.

        Raises TooFewClientsError as soon as fewer than `min_clients` are alive.
        """
        with self._changed:
            self._hand_out(Task(Kind.TRAIN, number, weights))
            self._wait_until(lambda: self._too_few() or self._last_heard.keys() <= self._answers.keys())
            self._require_enough_clients()
            self._task = WAIT
            return dict(sorted(self._answers.items()))

    def finish(self) -> None:
        """Tell the clients that the job is finished; wait up to a `client_timeout` until the living know."""
        with self._changed:
            self._hand_out(FINISHED)
            self._wait_until(lambda: not self._last_heard, self._client_timeout)

    def _hand_out(self, task: Task) -> None:
        self._task = task
        self._answers = {}
        self._changed.notify_all()

    def _wait_until(self, done: Callable[[], bool], patience: float = inf) -> None:
        """Wait until `done()`, but at most `patience` seconds; drop clients that fall silent meanwhile."""
        deadline = self._clock() + patience
        while not done() and (now := self._clock()) < deadline:
            silences = (heard + self._client_timeout for heard in self._last_heard.values())
            wake = max(now, min([deadline, *silences]))
            self._changed.wait_for(done, wake - now)
            self._drop_the_silent(overslept=self._clock() - wake > OVERSLEPT)

    def _drop_the_silent(self, overslept: bool) -> None:
        now = self._clock()
        if overslept:  # the clients may have spoken, to a server that could not hear: start counting anew
            self._last_heard = dict.fromkeys(self._last_heard, now)
        for client, heard in list(self._last_heard.items()):
            if now - heard >= self._client_timeout:
                del self._last_heard[client]
                print(f"{client} dropped: not heard from for {now - heard:.1f} s")

    def _too_few(self) -> bool:
        return len(self._last_heard) < self._min_clients

    def _require_enough_clients(self) -> None:
        if self._too_few():
            alive = ", ".join(sorted(self._last_heard)) or "none"
            raise TooFewClientsError(f"too few clients: {self._min_clients} needed, alive: {alive}")
