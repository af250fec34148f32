"""Ends jobs whose folder holds more than it may. For the tracker's worker only, but for the looking itself.

Nobody tells of what a job writes, so its folder is looked at now and then: the sooner, the less there is left until its
limit. All folders of a launcher are looked at by turns, a few milliseconds each, and between two turns nobody looks for
much longer: so it costs a small part of one processor, however many jobs there are and whatever they write. What does
not fit into a turn goes on in the next.

Where a file system itself holds a folder to its limit, it is asked what that holds, which is one call; and only now and
then somebody looks, for a job can take its own files out of what the file system counts.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial

from flcore.config.sizes import size_in_words
from flcore.disk import project_quota
from flcore.disk.folder_size import sizes_so_far
from flcore.disk.os_errors import in_words
from flcore.disk.project_quota import Held
from flcore.disk.safe_files import PASSING

from .job_disk import JobDisk
from .lanes import Subject
from .tracked_job import TrackedJob
from .worker_loop import WorkerLoop

logger = logging.getLogger(__name__)

SHARE = 0.04
"""How much of one processor, and of the time of a disk, the looking may take."""
TURN = 0.01
"""Seconds of a turn, about."""
FASTEST = 1 << 30
"""Bytes a second: faster, no job is thought to write."""
SOONEST, LATEST = 1.0, 30.0
"""Seconds from one look at a folder to the next, at least and at most."""
COUNTED = 60.0
"""Seconds from one time that a folder is looked at to the next, whose file system is asked in between."""
_MOST_OF_IT = 0.7
"""What of a folder's limit is seen in one that is full: an empty folder takes room, too, and XFS wants some in hand."""


class DiskWatch:
    """Looks at the folders of jobs. ``end`` pursues the end that it has requested."""

    def __init__(self, loop: WorkerLoop, end: Callable[[TrackedJob], None]) -> None:
        self._loop = loop
        self._end = end
        self._waiting: deque[_Look] = deque()
        """Whose turn it is, one after the other."""
        self._is_looking = False
        self._subject = Subject()
        """All of it hangs together: they are folders of one workspace."""

    def begin(self, job: TrackedJob) -> None:
        """Begin to look at a running job's folder, if there is a limit to it."""
        if job.hooks.disk:
            self._enqueue(_Look(job, job.hooks.disk))

    def _enqueue(self, look: _Look) -> None:
        self._waiting.append(look)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not self._is_looking:
            look = self._waiting.popleft()
            if look.is_needless:
                look.close()
                continue
            self._is_looking = True
            self._loop.ask(look.take_turn, partial(self._taken, look), partial(self._failed, look), self._subject)

    def _taken(self, look: _Look, seconds: float) -> None:
        self._rest(seconds)
        if look.is_over:
            self._end_for(look.job, look.why)
        elif look.is_in_doubt:
            self._waiting.appendleft(look)
        elif look.goes_on:
            self._waiting.append(look)
        else:
            self._loop.after(look.seconds_to_next(), partial(self._enqueue, look))

    def _failed(self, look: _Look, error: Exception) -> None:
        self._rest(TURN)
        look.close()
        if isinstance(error, OSError) and error.errno not in PASSING:
            self._end_for(look.job, f"nobody can find out how much its folder holds: {in_words(error)}")
            return
        bug = None if isinstance(error, OSError) else error
        logger.warning("%s: its folder is not looked at this time: %s", look.job.identity, error, exc_info=bug)
        self._loop.after(LATEST, partial(self._enqueue, look))

    def _rest(self, seconds: float) -> None:
        """Have nobody look for so long that looking has its share only."""
        self._loop.after(seconds * (1 / SHARE - 1), self._rested)

    def _rested(self) -> None:
        self._is_looking = False
        self._go_on()

    def _end_for(self, job: TrackedJob, why: str) -> None:
        if not job.result:
            job.request_end(f"the site: {why} ('disk')", time.time())
            self._end(job)


class _Look:
    """The looking at one folder."""

    def __init__(self, job: TrackedJob, disk: JobDisk) -> None:
        self.job = job
        self.disk = disk
        self._sizes: Generator[int] | None = None
        """The look that is under way."""
        self._held = 0
        self._times_over = 0
        self._counted_at = time.monotonic()
        self._times_full = 0
        """How often the file system has said so, the last times: what was removed may count a little longer."""
        self.why = f"its folder holds more than the {size_in_words(disk.limit)} that it may"
        """In words, what there is to say if it is over."""

    @property
    def is_needless(self) -> bool:
        """Whether the job has ended, or is to end already."""
        return self.job.result is not None or self.job.end_request is not None

    @property
    def goes_on(self) -> bool:
        """Whether there was more to see than fits into a turn."""
        return self._sizes is not None

    @property
    def is_in_doubt(self) -> bool:
        """Whether its folder seemed to hold too much, and nobody has looked again."""
        return self._times_over == 1 and self._sizes is None

    @property
    def is_over(self) -> bool:
        """Whether the folder holds too much: seen twice, for what is renamed meanwhile may count double."""
        return self._times_over > 1

    def take_turn(self) -> float:
        """In the pool: look for a moment, and return for how many seconds. Raises OSError."""
        began = time.monotonic()
        if not self.goes_on and not self.is_in_doubt and self._is_told(began):
            return time.monotonic() - began
        self._sizes = self._sizes or sizes_so_far(self.disk.folder)
        for held in self._sizes:
            self._held = held
            if held > self.disk.limit:
                self._note_seen(self._times_over + 1)
                break
            if time.monotonic() - began >= TURN:
                break
        else:
            if self._times_full > 1 and not ((told := self._told()) and told.is_full):
                self._times_full = 0  # it has made room meanwhile
            self._note_seen(self._times_full)
            self._counted_at = time.monotonic()
        return time.monotonic() - began

    def _is_told(self, now: float) -> bool:
        """Whether the file system has told what the folder holds, and that is enough for now.

        Before a job is ended, somebody looks: files that another job has given to its folder's project count, too.
        """
        if now - self._counted_at >= COUNTED or not (told := self._told()):
            self._times_full = 0
            return False
        self._times_full = self._times_full + 1 if told.is_full else 0
        if self._times_full > 1:
            return False
        self._held = told.used
        self._note(0)
        return True

    def _told(self) -> Held | None:
        """Return what the file system says of the folder; None where it has no limit, or cannot be asked any more."""
        try:
            return project_quota.held(self.disk.folder)
        except OSError:
            return None

    def _note_seen(self, times_over: int) -> None:
        if self._times_full > 1:
            self.why = _full(self.disk.limit, self._held)
        self._note(times_over)

    def _note(self, times_over: int) -> None:
        self.disk.used, self._times_over = self._held, times_over
        self.close()

    def close(self) -> None:
        """Begin the next look anew, and keep nothing open till then."""
        if self._sizes:
            self._sizes.close()
        self._sizes = None

    def seconds_to_next(self) -> float:
        """Return in how many seconds a job could have filled what is left."""
        return min(LATEST, max(SOONEST, (self.disk.limit - (self.disk.used or 0)) / FASTEST))


def _full(limit: int, seen: int) -> str:
    """Say what its file system counts for a folder that is full, and how much of that is seen in it."""
    most = size_in_words(limit)
    if seen > limit * _MOST_OF_IT:
        return f"its folder is full: it holds the {most} that it may"
    rest = "the rest has no name any more, or another job has made it count here"
    return f"its file system counts the {most} that its folder may hold, of which {seen / limit:.0%} are seen: {rest}"
