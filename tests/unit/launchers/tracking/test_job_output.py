"""A job's output as it comes, without gap or duplicate, and its end in a failure's error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from flcore.errors import RuntimeUnavailableError
from launchers.container_spec import ContainerSpec
from launchers.job_handle import ContainerJobHandle, Tracking
from launchers.output_lines import LONGEST_LINE
from launchers.records.job_record import JobIdentity
from launchers.runtime.base import OutputChunk
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking.job_output import LAST_BYTES, LAST_CHARACTERS, last_output
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob

TIMEOUT = 10.0


class Bench:
    """One running job, whose output somebody follows."""

    def __init__(self, runtime: FakeRuntime | None = None) -> None:
        self.runtime = runtime or FakeRuntime()
        self.tracker = StateTracker(self.runtime, settings=JobSettings(relist_interval=0.02))
        container_id = self.runtime.create(ContainerSpec("one", "job:1", ("run",)))
        job = TrackedJob(JobIdentity("job-1", "site-1", "one", container_id), JobHooks(clean_up=self.clean_up))
        self.tracker.watch(job)
        self.job = job
        self.handle = ContainerJobHandle(Tracking(job, self.tracker, self.runtime))
        self._pool = ThreadPoolExecutor(1)

    def clean_up(self, job: TrackedJob) -> None:
        job.wait_for_followers(TIMEOUT)
        self.runtime.remove(job.identity.container_id)

    def start(self) -> None:
        self.runtime.start(self.job.identity.container_id)

    def follow(self, tail: int | None = None) -> Future[list[str]]:
        return self._pool.submit(lambda: list(self.handle.logs(tail, follow=True)))

    def close(self) -> None:
        self.runtime.set_reachable(True)
        self.tracker.close()
        self._pool.shutdown()


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(runtime: FakeRuntime | None = None) -> Bench:
        benches.append(Bench(runtime))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


MakeBench = Callable[..., Bench]


def test_output_comes_line_by_line_until_the_end(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.start()
    lines = bench.handle.logs(follow=True)
    bench.runtime.write("one", b"first\nsec")
    assert next(lines) == "first"
    bench.runtime.write("one", b"ond\nlast")
    assert next(lines) == "second"
    bench.runtime.exit("one", 0)
    assert list(lines) == ["last"]


def test_following_begins_with_the_last_lines_so_far(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.start()
    bench.runtime.write("one", b"1\n2\n3\n")
    lines = bench.handle.logs(tail=2, follow=True)
    assert [next(lines), next(lines)] == ["2", "3"]
    bench.runtime.write("one", b"4\n")
    assert next(lines) == "4"
    lines.close()  # type: ignore[attr-defined]  # a generator
    bench.runtime.exit("one", 0)


def test_a_job_can_be_followed_before_it_starts(make_bench: MakeBench) -> None:
    bench = make_bench()
    following = bench.follow()
    bench.start()
    bench.runtime.write("one", b"hello\n")
    bench.runtime.exit("one", 0)
    assert following.result(TIMEOUT) == ["hello"]


def test_a_line_that_never_ends_comes_in_pieces_while_the_job_runs(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.start()
    bench.runtime.write("one", b"x" * (2 * LONGEST_LINE + 1))
    lines = bench.handle.logs(follow=True)
    assert [len(next(lines)), len(next(lines))] == [LONGEST_LINE, LONGEST_LINE]
    bench.runtime.exit("one", 0)
    assert list(lines) == ["x"]


def test_an_outage_makes_no_gap_and_no_duplicate(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.start()
    bench.runtime.write("one", b"1\n2\n")
    lines = bench.handle.logs(follow=True)
    assert [next(lines), next(lines)] == ["1", "2"]
    bench.runtime.set_reachable(False)
    bench.runtime.write("one", b"3\n4\n")
    bench.runtime.exit("one", 0)
    threading.Timer(0.05, bench.runtime.set_reachable, [True]).start()
    assert list(lines) == ["3", "4"]


class SameTimeRuntime(FakeRuntime):
    """An engine whose clock stands still, and whose streams end after each piece."""

    @contextmanager
    def follow(self, container_id: str, position: str = "", tail: int | None = None) -> Iterator[Iterator[OutputChunk]]:
        with super().follow(container_id, "", tail) as chunks:
            told = (OutputChunk("now", chunk.data) for chunk in chunks)
            yield (chunk for _, chunk in zip(range(self.streams()), told, strict=False))

    def streams(self) -> int:
        self.opened = getattr(self, "opened", 0) + 1
        return self.opened


def test_pieces_of_one_moment_are_told_once_each(make_bench: MakeBench) -> None:
    bench = make_bench(SameTimeRuntime())
    bench.start()
    bench.runtime.write("one", b"1\n2\n3\n4\n5\n")
    lines = bench.handle.logs(follow=True)
    assert [next(lines) for _ in range(4)] == ["1", "2", "3", "4"]
    bench.runtime.exit("one", 0)
    assert list(lines) == ["5"]


def test_the_container_stays_for_who_follows_its_output(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.start()
    bench.runtime.write("one", b"1\n2\n")
    lines = bench.handle.logs(follow=True)
    assert next(lines) == "1"
    bench.runtime.exit("one", 0)
    bench.handle.wait()
    assert list(lines) == ["2"]
    assert bench.job.wait_for_clean_up(TIMEOUT)


def test_a_closed_site_ends_the_following(make_bench: MakeBench) -> None:
    bench = make_bench()
    following = bench.follow()
    bench.tracker.close()
    with pytest.raises(RuntimeUnavailableError, match="its site was closed"):
        following.result(TIMEOUT)


# --- the end of the output, as a part of an error ---


def last_of(output: bytes) -> str:
    runtime = FakeRuntime()
    container_id = runtime.create(ContainerSpec("one", "job:1", ("run",)))
    runtime.write("one", output)
    return last_output(runtime, container_id)


def test_the_last_lines_are_one_line() -> None:
    assert last_of(b"Traceback\n\n  File x\nValueError: no\n") == "Traceback | File x | ValueError: no"
    assert last_of(b"") == ""


def test_nothing_in_it_does_anything_to_a_terminal_or_a_log() -> None:
    assert last_of(b"\x1b[31mred\r\nforged: line\x00\n\xff") == "red | forged: line | \ufffd"


def test_what_a_terminal_would_have_obeyed_is_gone_as_a_whole() -> None:
    assert last_of(b"\x1b[2J\x1b]0;owned\x07done\x1b[K\n\tat \xe2\x80\xaeline 3\n") == "done | at  line 3"


def test_a_secret_that_styles_have_cut_in_pieces_is_masked_too() -> None:
    runtime = FakeRuntime()
    container_id = runtime.create(ContainerSpec("one", "job:1", ("run",)))
    runtime.write("one", b"it is TOP\x1b[31mSECRET\n")
    assert last_output(runtime, container_id, ["TOPSECRET"]) == "it is ***"


def test_it_is_cut_and_keeps_its_end() -> None:
    cut = last_of(b"x" * 100_000 + b"the end")
    assert len(cut) == LAST_CHARACTERS
    assert cut.endswith("the end")


def test_it_is_cut_between_lines() -> None:
    lines = [f"{number}: {'x' * 250}" for number in range(5)]
    assert last_of("\n".join(lines).encode()) == " | ".join(lines[-2:])


@pytest.mark.parametrize("place", [-4, 0])
def test_no_part_of_a_secret_is_told_where_the_output_is_cut(place: int) -> None:
    runtime = FakeRuntime()
    container_id = runtime.create(ContainerSpec("one", "job:1", ("run",)))
    coloured = b"\x1b[31m" * (LAST_BYTES // 5)
    runtime.write("one", b"x" * 99 + b"TOPSECRET" + coloured[: LAST_BYTES - 4 + place] + b"end")
    assert "SECRET" not in last_output(runtime, container_id, ["TOPSECRET"])
    assert "CRET" not in last_output(runtime, container_id, ["TOPSECRET"])


def test_an_engine_that_does_not_answer_costs_only_the_explanation() -> None:
    runtime = FakeRuntime()
    runtime.set_reachable(False)
    assert last_output(runtime, "0123") == ""


@pytest.mark.parametrize(("exit_code", "error"), [(0, ""), (3, "exit code 3; its last output: ValueError: no")])
def test_a_failure_is_explained_by_the_end_of_its_output(make_bench: MakeBench, exit_code: int, error: str) -> None:
    bench = make_bench()
    bench.start()
    bench.runtime.write("one", b"ValueError: no\n")
    bench.runtime.exit("one", exit_code)
    bench.handle.wait()
    assert bench.handle.result is not None
    assert bench.handle.result.error == error
