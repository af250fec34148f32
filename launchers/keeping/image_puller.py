"""Has the images of jobs there before their containers are made: each pulled once at a time, however many jobs wait.

Who waits for a pull watches its deadlines, by a monotonic clock; one thread per pull reads what the engine says. Where
nothing is pulled there is no thread and no connection.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from fnmatch import fnmatchcase
from functools import partial

from flcore.errors import ImageError, JobAbortedError, JobLaunchError, PullTimeoutError, RuntimeUnavailableError
from flcore.job_launcher_spec import ImagePullProgress
from flcore.threads import OwnThread, as_exception, logged

from ..policy.image_reference import registry_of
from ..runtime.base import PullProgress, PullStatus, PullStream, Runtime
from ..settings import IF_MISSING, NEVER, PullSettings

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL = 0.5
"""Seconds between two reports of one pull, at least."""
_DOWNLOADED = frozenset({PullStatus.DOWNLOAD_COMPLETE, PullStatus.PULL_COMPLETE})
_DONE = frozenset({PullStatus.PULL_COMPLETE, PullStatus.ALREADY_EXISTS})


class ImagePuller:
    """Pulls the images of one launcher's jobs. All methods may be called from any thread.

    ``on_progress`` is called by the thread that reads a pull, at most every ``PROGRESS_INTERVAL`` seconds and at the
    pull's end, when nobody waits for it any more. It must not block: the pull would seem to make no progress.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: PullSettings = PullSettings(),
        on_progress: Callable[[ImagePullProgress], None] | None = None,
        site: str = "",
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._on_progress = on_progress
        self._about = {"site": site}
        self._pulls: dict[str, _Pull] = {}
        self._pulled_at: dict[str, float] = {}
        """When the last pull of an image has succeeded, by the monotonic clock."""
        self._closed = False
        self._changed = threading.Condition()

    def ensure(self, image: str, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Do as the policy says, and return True when that is done; False as soon as it is ``cancelled``.

        ``cancelled`` is asked at the beginning, and after each :meth:`wake`; it must not block. All who wait for an
        image at the same time share one pull, with its deadlines and its error; it is ended when the last of them
        is cancelled. Raises ImageError, PullTimeoutError or RuntimeUnavailableError, and may be called again then; and
        JobAbortedError once the site closes.
        """
        if self._settings.policy == NEVER:
            return True
        with self._changed:
            if cancelled():
                return False
            pull = self._join(image)
            try:
                self._wait(pull, cancelled)
                if pull.error and not cancelled():
                    raise pull.error
                return pull.succeeded
            finally:
                self._leave(pull)

    def begin(self, images: Iterable[str]) -> None:
        """Have :meth:`ensure` called for images, one after the other, on a thread of its own, until this is closed.

        One that cannot be had is a line in the log; so it is that there can be no thread.
        """
        try:
            OwnThread("prepull", partial(logged, partial(self._ensure_all, tuple(images)))).start()
        except RuntimeUnavailableError as error:
            logger.warning("no image is pulled ahead: %s", error, extra=self._about)

    def is_pulling(self, image: str) -> bool:
        """Whether an image is being pulled just now."""
        with self._changed:
            return image in self._pulls

    def has_pulled(self, image: str, within: float) -> bool:
        """Whether an image was pulled, or found to be there already, in the last seconds."""
        pulled_at = self._pulled_at.get(image)
        return pulled_at is not None and time.monotonic() - pulled_at < within

    def wake(self) -> None:
        """Have all who wait ask at once whether they are cancelled."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End all pulls, for good; who waits gets a JobAbortedError, for its site closes. Idempotent."""
        with self._changed:
            self._closed = True
            for pull in list(self._pulls.values()):
                self._end(pull, _closed_error(pull.image))

    def _ensure_all(self, images: Iterable[str]) -> None:
        for image in images:
            try:
                self.ensure(image)
            except JobAbortedError:  # the site closes
                return
            except JobLaunchError as error:
                logger.warning("not pulled ahead: %s", error, extra=self._about)
                if isinstance(error, RuntimeUnavailableError):  # it would be the same for each
                    return

    # Who waits. All of these are called with the lock held.

    def _join(self, image: str) -> _Pull:
        if self._closed:
            raise _closed_error(image)
        pull = self._pulls.get(image)
        if pull is None:
            pull = _Pull(image, self._runtime.pull(image))
            # A thread of its own reads the engine's words, so that no launch that is called off has to outlive a stream
            # that says nothing: who waits leaves at once, and whoever leaves last ends the pull.
            try:
                OwnThread("pull", partial(self._run, pull)).start()
            except RuntimeUnavailableError:
                pull.stream.close()
                raise
            self._pulls[image] = pull
        pull.waiting += 1
        return pull

    def _wait(self, pull: _Pull, cancelled: Callable[[], bool]) -> None:
        while not pull.ended and not cancelled():
            late = pull.late(self._settings)
            if late:
                self._end(pull, late)
            else:
                self._changed.wait(pull.patience(self._settings))

    def _leave(self, pull: _Pull) -> None:
        pull.waiting -= 1
        if not pull.waiting:
            self._end(pull, None)

    def _end(self, pull: _Pull, error: Exception | None, succeeded: bool = False) -> None:
        """End a pull that has not ended yet, and tell who waits."""
        if pull.ended:
            return
        pull.ended, pull.error, pull.succeeded = True, error, succeeded
        if succeeded:
            self._pulled_at[pull.image] = time.monotonic()
        del self._pulls[pull.image]  # who comes from now on begins another: this one's error is not theirs
        pull.stream.close()  # which never blocks, whatever the engine does, so that the lock may be held
        self._changed.notify_all()

    # The thread of one pull

    def _run(self, pull: _Pull) -> None:
        error: Exception | None = None
        try:
            self._pull(pull)
        except BaseException as problem:  # noqa: BLE001 - it is handed on, whatever it is: who waits must not for ever
            error = as_exception(problem)
        with self._changed:
            self._end(pull, error, succeeded=error is None)  # nothing, where a deadline or the last waiter was first
        if pull.begun:
            if pull.error is None:  # else who waits tells of it
                logger.info("%s", pull.outcome(), extra=self._about)
            self._report(pull, ended=True)

    def _pull(self, pull: _Pull) -> None:
        # Looked for here, not by who waits: it asks the engine, and a deadline is kept even if that hangs.
        if self._settings.policy == IF_MISSING and self._runtime.find_image(pull.image):
            return
        self._check_registry(pull.image)
        logger.info("image %s is being pulled", pull.image, extra=self._about)
        pull.begun = True
        with closing(pull.stream):
            for said in pull.stream:
                pull.take_in(said)
                if time.monotonic() >= pull.next_report:
                    self._report(pull)

    def _check_registry(self, image: str) -> None:
        registry, allowed = registry_of(image), self._settings.registries
        if allowed is not None and not any(fnmatchcase(registry, pattern.lower()) for pattern in allowed):
            refused = f"its registry {registry} is none of the site's ('registries')"
            raise ImageError(f"image {image} is not pulled: {refused}")

    def _report(self, pull: _Pull, ended: bool = False) -> None:
        pull.next_report = time.monotonic() + PROGRESS_INTERVAL
        if self._on_progress:
            logged(partial(self._on_progress, pull.summary(ended)))


class _Layer:
    """What was said of one layer."""

    __slots__ = ("current", "downloaded", "size", "statuses")

    def __init__(self) -> None:
        self.statuses: set[str] = set()
        self.current = 0
        self.downloaded = 0
        self.size = 0

    def take_in(self, said: PullProgress) -> bool:
        """Take note; return whether it is progress. An engine that begins again says the same once more."""
        # A status counts once: an engine that tries a layer again for ever says "Retrying" each time, and gets nowhere.
        progress = said.status not in self.statuses or said.current > self.current
        self.statuses.add(said.status)
        self.current = said.current
        if said.status == PullStatus.DOWNLOADING:
            self.downloaded, self.size = said.current, max(self.size, said.total)
        elif said.status in _DOWNLOADED:
            self.downloaded = self.size
        return progress

    @property
    def done(self) -> bool:
        return not _DONE.isdisjoint(self.statuses)


class _Pull:
    """One pull. The lock of the puller guards who waits and how it has ended; the rest is its thread's."""

    def __init__(self, image: str, stream: PullStream) -> None:
        self.image = image
        self.stream = stream
        self.waiting = 0
        self.ended = False
        self.succeeded = False
        self.error: Exception | None = None
        self.begun = False
        self.next_report = 0.0
        self._layers: dict[str, _Layer] = {}
        self._began_at = self._moved_at = time.monotonic()

    def take_in(self, said: PullProgress) -> None:
        if self._layers.setdefault(said.layer, _Layer()).take_in(said):
            self._moved_at = time.monotonic()

    def late(self, settings: PullSettings) -> PullTimeoutError | None:
        """Return the error of a deadline that has passed."""
        now = time.monotonic()
        if settings.timeout is not None and now - self._began_at >= settings.timeout:
            return PullTimeoutError(f"image {self.image} was not pulled within {settings.timeout:g} s ('pull_timeout')")
        if settings.stall_timeout is not None and now - self._moved_at >= settings.stall_timeout:
            still = f"made no progress for {settings.stall_timeout:g} s ('pull_stall_timeout')"
            return PullTimeoutError(f"image {self.image}: its pull {still}; does the engine reach the registry?")
        return None

    def patience(self, settings: PullSettings) -> float | None:
        """Return the seconds until a deadline may have passed; None if there is none."""
        began = [(self._began_at, settings.timeout), (self._moved_at, settings.stall_timeout)]
        deadlines = [since + timeout for since, timeout in began if timeout is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def summary(self, ended: bool) -> ImagePullProgress:
        layers = [layer for layer_id, layer in self._layers.items() if layer_id]
        is_there = ended and self.succeeded  # not every engine says so of each layer
        return ImagePullProgress(
            image=self.image,
            seconds=time.monotonic() - self._began_at,
            layers=len(layers),
            layers_done=len(layers) if is_there else sum(layer.done for layer in layers),
            downloaded=sum(layer.size if is_there else layer.downloaded for layer in layers),
            size=sum(layer.size for layer in layers),
            ended=ended,
            error=self.outcome() if ended and not self.succeeded else "",
        )

    def outcome(self) -> str:
        """Say in one line how it has ended."""
        if self.succeeded:
            return f"image {self.image} was pulled in {time.monotonic() - self._began_at:.1f} s"
        return str(self.error or f"image {self.image}: its pull was ended, for nobody waits for it any more")


def _closed_error(image: str) -> JobAbortedError:
    by = "the site, which closes"
    return JobAbortedError(f"image {image} is not pulled: its launch was ended on the request of {by}", by)
