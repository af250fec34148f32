"""A site's parent process as a user would write it, which says all that it learns, and dies where it is told.

It reads commands from its standard input, a JSON object a line, and runs each in a thread of its own::

    {"do": "launch", "job": <id>, "script": <for sh>, "image": <or null>}
    {"do": "terminate", "job": <id>, "threads": <how many ask at once>}
    {"do": "abort", "job": <id>, "threads": <how many ask at once>}
    {"do": "jump", "seconds": <by which the wall clock jumps>}
    {"do": "churn", "jobs": <how many, one after the other>, "threads": <so many at once>}
    {"do": "finish"}    wait for the ends of all jobs, say their results, close the site, end

and appends what it learns to its story, a JSON object a line, which nobody can take back. ``verdict.py`` reads it.

Run as ``python -m tests.faults.parent SITE_CONFIG STORY [--life N] [--die-at MOMENT[:TIMES]]``: it dies at a moment of
``dying.MOMENTS``, when that comes for so manieth time.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobReturnCode, JobStateChange, Site
from flcore.errors import FLCoreError

from .dying import ScriptLauncher
from .verdict import THE_SUITE

POLL_INTERVAL = 0.05
_TOLD = {EventType.JOB_COMPLETED, EventType.JOB_ABORTED}
_ENGINE = {EventType.ENGINE_UNREACHABLE, EventType.ENGINE_REACHABLE}


class Story:
    """Appends to a file. Each line is one write, so that none is torn however its writer ends."""

    def __init__(self, path: Path, life: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._life = life

    def say(self, what: str, **more: Any) -> None:
        line = json.dumps({"what": what, "life": self._life, "at": time.monotonic(), **more})
        os.write(self._file, line.encode() + b"\n")


class WallClock:
    """Python's wall clock, which can be made to jump; nobody else's does."""

    def __init__(self) -> None:
        self._true_time = time.time
        self._ahead = 0.0
        time.time = lambda: self._true_time() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


class Recorder(FLComponent):
    """Puts what the site tells its components into the story."""

    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_STATE_CHANGED:
            change = JobStateChange.of(fl_ctx)
            self._story.say("change", job=change.job_id, change=change.as_dict())
        elif event_type in _TOLD:
            result = fl_ctx.get_prop(FLContextKey.JOB_RESULT)
            self._story.say("told", job=fl_ctx.get_job_id(), event=event_type, result=result.as_dict())
        elif event_type == EventType.JOB_RECOVERED:
            self._story.say("recovered", job=fl_ctx.get_job_id())
        elif event_type in _ENGINE:
            self._story.say("engine", event=event_type, reason=fl_ctx.get_prop(FLContextKey.EVENT_DATA))


class Parent:
    """Runs the commands."""

    def __init__(self, site: Site, story: Story) -> None:
        self._site = site
        self._story = story
        self._launches: list[threading.Thread] = []
        self._ending = threading.Event()
        self._slowest_poll = 0.0
        self._clock = WallClock()

    def run(self, commands: Iterator[str]) -> int:
        """Run all commands; 1 if they end without "finish", as they do when the suite dies."""
        poller = threading.Thread(target=self._poll, name="poller", daemon=True)
        poller.start()
        for line in commands:
            command: dict[str, Any] = json.loads(line)
            do = command.pop("do")
            if do == "finish":
                self._finish()
                self._ending.set()
                poller.join()
                return 0
            thread = threading.Thread(target=getattr(self, f"_{do}"), kwargs=command, name=f"{do}", daemon=True)
            self._launches.append(thread)
            thread.start()
        return 1

    def _launch(self, job: str, script: str, image: str | None = None) -> None:
        self._story.say("launching", job=job)
        meta: dict[str, Any] = {"job_id": job, "name": script}
        if image:
            meta["launcher_spec"] = {self._site.name: {"docker": {"image": image}}}
        try:
            self._site.launch_job(meta)
        except FLCoreError as error:
            self._story.say("refused", job=job, error=type(error).__name__, message=str(error))
            return
        self._story.say("launched", job=job)

    def _terminate(self, job: str, threads: int = 1) -> None:
        """End a job by its handle."""
        handle = self._site.jobs()[job]
        self._ask_at_once(job, threads, handle.terminate)

    def _abort(self, job: str, threads: int = 1) -> None:
        """End a job by its id, in whatever phase it is."""
        self._ask_at_once(job, threads, partial(self._site.abort_job, job))

    def _ask_at_once(self, job: str, threads: int, end: Callable[..., JobReturnCode]) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for asked in [pool.submit(self._ask, job, end) for _ in range(threads)]:
                asked.result()

    def _ask(self, job: str, end: Callable[..., JobReturnCode]) -> None:
        self._story.say("terminating", job=job)
        try:
            code = end(by=THE_SUITE)
        except FLCoreError as error:
            self._story.say("not terminated", job=job, error=type(error).__name__, message=str(error))
            return
        self._story.say("terminated", job=job, code=code.name)

    def _jump(self, seconds: float) -> None:
        self._clock.jump(seconds)
        self._story.say("jumped", seconds=seconds)

    def _churn(self, jobs: int, threads: int) -> None:
        """Launch a job after the other and wait for each; measure what that costs for ever."""
        self._churn_through(range(10), threads)  # whatever is made once is made now
        before = self._figures()
        self._churn_through(range(10, 10 + jobs), threads)
        self._story.say("churned", jobs=jobs, before=before, after=self._figures())

    def _churn_through(self, numbers: range, threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(self._launch_and_wait, numbers):
                pass

    def _launch_and_wait(self, number: int) -> None:
        code = number % 7
        handle = self._site.launch_job({"job_id": f"churn-{number}", "name": f"exit {code}"})
        handle.wait()
        result = handle.result
        if not result or result.exit_code != code:
            self._story.say("wrong", job=f"churn-{number}", wanted=code, result=result and result.as_dict())

    def _figures(self) -> dict[str, int]:
        """Return what this process has, when it has come to rest."""
        figures: dict[str, int] = {}
        for _ in range(100):
            gc.collect()
            latest = {"threads": threading.active_count(), "descriptors": len(list(Path("/proc/self/fd").iterdir()))}
            if latest == figures:
                break
            figures = latest
            time.sleep(0.5)
        return figures

    def _finish(self) -> None:
        for thread in self._launches:
            thread.join()
        for job, handle in self._site.jobs().items():
            try:
                codes = {handle.wait().name, *(handle.poll().name for _ in range(3))}
            except FLCoreError as error:
                self._story.say("not waited", job=job, error=type(error).__name__, message=str(error))
                continue
            result = handle.result
            self._story.say("result", job=job, codes=sorted(codes), result=result and result.as_dict())
        self._site.close()
        self._story.say("finished", slowest_poll=self._slowest_poll)

    def _poll(self) -> None:
        """Poll all handles all the time: whatever happens to the engine, that must never block."""
        while not self._ending.wait(POLL_INTERVAL):
            for handle in self._site.jobs().values():
                began = time.monotonic()
                handle.poll()
                self._slowest_poll = max(self._slowest_poll, time.monotonic() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("story", type=Path)
    parser.add_argument("--life", type=int, default=0)
    parser.add_argument("--die-at")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(threadName)s: %(message)s")
    faulthandler.register(signal.SIGUSR1)  # where it hangs, if it does
    site = Site.from_config(args.config)
    story = Story(args.story, args.life)
    launcher = site.get_component("launcher")
    if isinstance(launcher, ScriptLauncher):
        launcher.die_at = args.die_at
    site.add_component("recorder", Recorder(story))
    site.start()
    story.say("started", jobs=sorted(site.jobs()))
    return Parent(site, story).run(iter(sys.stdin.readline, ""))


if __name__ == "__main__":
    sys.exit(main())
