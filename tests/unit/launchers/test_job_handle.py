"""A job's handle: what it answers while the job runs, at its end and afterwards."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from flcore import FLContext, JobHandleSpec, JobReturnCode, Site
from flcore.errors import RuntimeRefusedError, RuntimeUnavailableError, TerminateTimeout
from launchers.container_spec import ContainerSpec
from launchers.docker_launcher import DockerJobLauncher
from launchers.docker_state import DOCKER_STATE
from launchers.job_handle import ContainerJobHandle, Tracking
from launchers.records.job_record import JobIdentity, JobRecord, read_record
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking import ending
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob

TIMEOUT = 10.0
GRACE = 0.05
CODES = JobReturnCode


class Bench:
    """A runtime, its tracker, and handles of containers in it."""

    def __init__(self, runtime: FakeRuntime | None = None) -> None:
        self.runtime = runtime or FakeRuntime()
        self.tracker = StateTracker(self.runtime, settings=JobSettings(relist_interval=0.02))

    def created(
        self, name: str = "one", timeout: float | None = None, log_path: Path | None = None
    ) -> ContainerJobHandle:
        container_id = self.runtime.create(ContainerSpec(name, "job:1", ("run",)))
        job = TrackedJob(
            JobIdentity("job-1", "site-1", name, container_id), JobHooks(settings=JobSettings(stop_grace=GRACE))
        )
        self.tracker.watch(job)
        return ContainerJobHandle(Tracking(job, self.tracker, self.runtime), timeout, log_path)

    def running(
        self, name: str = "one", timeout: float | None = None, log_path: Path | None = None
    ) -> ContainerJobHandle:
        handle = self.created(name, timeout, log_path)
        self.runtime.start(handle.identity.container_id)
        assert handle.enter_states("running", TIMEOUT)
        return handle

    def ended(self, exit_code: int = 3) -> ContainerJobHandle:
        handle = self.running()
        self.runtime.exit("one", exit_code)
        handle.wait()
        return handle


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "SIGNAL_RETRY", 0.02)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.runtime.reachable = True
    bench.tracker.close()


# --- poll, wait, result ---


def test_poll_says_unknown_while_the_job_runs(bench: Bench) -> None:
    handle = bench.running()
    assert handle.poll() is CODES.UNKNOWN
    assert handle.result is None
    assert handle.state is DOCKER_STATE.RUNNING


def test_poll_says_the_same_every_time_after_the_end(bench: Bench) -> None:
    handle = bench.ended()
    bench.runtime.remove(handle.identity.container_id)
    assert [handle.poll() for _ in range(10)] == [CODES.EXECUTION_ERROR] * 10


def test_poll_asks_no_engine(bench: Bench) -> None:
    running, ended = bench.running("other"), bench.ended()
    bench.runtime.set_reachable(False)
    assert (running.poll(), ended.poll()) == (CODES.UNKNOWN, CODES.EXECUTION_ERROR)


@pytest.mark.parametrize(
    ("exit_code", "code"), [(0, CODES.SUCCESS), (3, CODES.EXECUTION_ERROR), (103, CODES.CONFIG_ERROR)]
)
def test_wait_returns_the_jobs_own_return_code(bench: Bench, exit_code: int, code: JobReturnCode) -> None:
    handle = bench.ended(exit_code)
    assert handle.wait() is code
    assert handle.result is not None
    assert (handle.result.exit_code, handle.state) == (exit_code, DOCKER_STATE.EXITED)


def test_usage_is_what_the_running_job_has_used(bench: Bench) -> None:
    handle = bench.running()
    bench.runtime.use("one", 1.5, 1 << 20)
    usage = handle.usage()
    assert usage is not None
    assert (usage.job_id, usage.site, usage.cpu_seconds, usage.memory) == ("job-1", "site-1", 1.5, 1 << 20)


def test_a_job_uses_nothing_before_its_start_and_after_its_end(bench: Bench) -> None:
    assert bench.created("other").usage() is None
    ended = bench.ended()
    bench.runtime.set_reachable(False)
    assert ended.usage() is None  # nobody is asked


def test_no_engine_is_asked_for_usage_after_the_closing(bench: Bench) -> None:
    handle = bench.running()
    bench.tracker.close()
    with pytest.raises(RuntimeUnavailableError, match="its site was closed"):
        handle.usage()


def test_a_wait_for_some_seconds_says_that_the_job_runs_on(bench: Bench) -> None:
    handle = bench.running()
    assert handle.wait(timeout=0.0) is CODES.UNKNOWN
    bench.runtime.exit("one", 0)
    assert handle.wait(timeout=TIMEOUT) is CODES.SUCCESS


def test_five_threads_may_wait(bench: Bench) -> None:
    handle = bench.running()
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(handle.wait) for _ in range(5)]
        bench.runtime.exit("one", 3)
        assert {future.result(TIMEOUT) for future in waiting} == {CODES.EXECUTION_ERROR}


def test_an_engine_that_does_not_answer_ends_no_wait(bench: Bench) -> None:
    handle = bench.running()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.wait)
        bench.runtime.set_reachable(False)
        bench.runtime.exit("one", 3)
        assert not waiting.done()
        bench.runtime.set_reachable(True)
        assert waiting.result(TIMEOUT) is CODES.EXECUTION_ERROR


def test_wait_raises_when_the_site_is_closed(bench: Bench) -> None:
    handle = bench.running()
    bench.tracker.close()
    with pytest.raises(RuntimeUnavailableError, match="closed"):
        handle.wait()


def test_a_handle_knows_the_host_of_its_job(bench: Bench) -> None:
    assert bench.created().host == "one"


def test_a_done_callback_gets_the_handle(bench: Bench) -> None:
    handle = bench.running()
    done: SimpleQueue[JobHandleSpec] = SimpleQueue()
    handle.add_done_callback(done.put)
    bench.runtime.exit("one", 3)
    assert done.get(timeout=TIMEOUT) is handle
    assert handle.poll() is CODES.EXECUTION_ERROR


# --- enter_states ---


@pytest.mark.parametrize("states", ["created", "running", ["running", "dead"], [DOCKER_STATE.EXITED], ("exited",)])
def test_a_state_of_the_past_counts_as_entered(bench: Bench, states: str | list[str]) -> None:
    assert bench.ended().enter_states(states, 0) is True


def test_a_job_that_ended_without_entering_a_state_never_will(bench: Bench) -> None:
    assert bench.ended().enter_states(["paused", "dead"]) is False  # without a timeout


def test_entering_a_state_is_waited_for(bench: Bench) -> None:
    handle = bench.running()
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(handle.enter_states, ["paused"])
        bench.runtime.pause("one")
        assert entering.result(TIMEOUT) is True


def test_the_end_of_a_job_ends_the_waiting_for_its_states(bench: Bench) -> None:
    handle = bench.running()
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(handle.enter_states, ["paused"])
        bench.runtime.exit("one", 0)
        assert entering.result(TIMEOUT) is False


def test_waiting_for_a_state_has_an_end(bench: Bench) -> None:
    assert bench.running().enter_states("paused", 0.01) is False


def test_a_handles_own_timeout_is_the_default(bench: Bench) -> None:
    assert bench.running(timeout=0.01).enter_states("paused") is False


@pytest.mark.parametrize("wrong", ["stopped", ["running", "done"], ["RUNNING"]])
def test_what_is_no_state_is_a_value_error(bench: Bench, wrong: str | list[str]) -> None:
    with pytest.raises(ValueError, match="DOCKER_STATE"):
        bench.created().enter_states(wrong)


def test_the_states_of_a_closed_site_are_not_known(bench: Bench) -> None:
    handle = bench.running()
    bench.tracker.close()
    assert handle.enter_states("running") is True
    with pytest.raises(RuntimeUnavailableError):
        handle.enter_states("paused")


# --- terminate ---


def test_terminate_ends_the_job_and_says_who_asked(bench: Bench) -> None:
    handle = bench.running()
    assert handle.terminate(by="the test") is CODES.ABORTED
    assert handle.result is not None
    assert (handle.result.ended_by, handle.result.exit_code) == ("the test", 143)
    assert bench.runtime.container("one").state.state is DOCKER_STATE.EXITED


def test_terminate_is_idempotent(bench: Bench) -> None:
    handle = bench.running()
    assert [handle.terminate(by=by) for by in ("a", "b", "c")] == [CODES.ABORTED] * 3
    assert handle.result is not None
    assert handle.result.ended_by == "a"


def test_terminate_from_many_threads_gives_one_result(bench: Bench) -> None:
    handle = bench.running()
    with ThreadPoolExecutor(8) as pool:
        assert {future.result() for future in [pool.submit(handle.terminate) for _ in range(8)]} == {CODES.ABORTED}


@pytest.mark.parametrize(("exit_code", "code"), [(0, CODES.SUCCESS), (3, CODES.EXECUTION_ERROR)])
def test_terminate_after_the_end_keeps_the_result(bench: Bench, exit_code: int, code: JobReturnCode) -> None:
    handle = bench.ended(exit_code)
    result = handle.result
    assert handle.terminate() is code
    assert handle.result is result


def test_terminate_of_a_job_whose_end_nobody_has_seen_yet_keeps_its_own_result() -> None:
    bench = Bench()
    bench.tracker = StateTracker(bench.runtime, settings=JobSettings(relist_interval=3600))
    handle = bench.running()
    bench.runtime.drop_events = True
    bench.runtime.exit("one", 3)
    assert handle.poll() is CODES.UNKNOWN
    assert handle.terminate() is CODES.EXECUTION_ERROR
    bench.tracker.close()


def test_terminate_of_a_job_that_has_just_started_asks_its_process() -> None:
    bench = Bench()
    bench.tracker = StateTracker(bench.runtime, settings=JobSettings(relist_interval=3600))
    handle = bench.created()
    assert handle.enter_states("created", TIMEOUT)
    bench.runtime.drop_events = True
    bench.runtime.start(handle.identity.container_id)
    assert handle.state is DOCKER_STATE.CREATED
    assert handle.terminate() is CODES.ABORTED
    assert handle.result is not None
    assert handle.result.exit_code == 143
    bench.tracker.close()


def test_terminate_of_a_paused_job_ends_it(bench: Bench) -> None:
    handle = bench.running()
    bench.runtime.pause("one")
    assert handle.terminate() is CODES.ABORTED


def test_terminate_of_a_container_that_never_started_removes_it(bench: Bench) -> None:
    handle = bench.created()
    assert handle.terminate() is CODES.ABORTED
    assert bench.runtime.containers() == []


def test_terminate_without_an_engine_raises_and_the_request_stays(bench: Bench) -> None:
    handle = bench.running()
    bench.runtime.set_reachable(False)
    handle.confirm_timeout = 0.1
    with pytest.raises(TerminateTimeout, match=r"job job-1 .* does not answer"):
        handle.terminate(by="the test")
    assert handle.poll() is CODES.UNKNOWN
    bench.runtime.set_reachable(True)
    assert handle.wait() is CODES.ABORTED
    assert handle.result is not None
    assert handle.result.ended_by == "the test"


def test_terminate_can_be_repeated_when_the_engine_is_back(bench: Bench) -> None:
    handle = bench.running()
    bench.runtime.set_reachable(False)
    handle.confirm_timeout = 0.0
    with pytest.raises(TerminateTimeout):
        handle.terminate(by="the first")
    handle.confirm_timeout = TIMEOUT
    bench.runtime.set_reachable(True)
    assert handle.terminate(by="the second") is CODES.ABORTED
    assert handle.result is not None
    assert handle.result.ended_by == "the first"


def test_terminate_that_has_no_effect_raises(bench: Bench) -> None:
    handle = bench.running()
    handle.confirm_timeout = 0.01
    bench.runtime.ignores_signals = True
    with pytest.raises(TerminateTimeout, match="has not confirmed"):
        handle.terminate()
    assert handle.poll() is CODES.UNKNOWN


class RefusingRuntime(FakeRuntime):
    """Refuses the first signals."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 2

    def send_signal(self, container_id: str, signal: str) -> bool:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeRefusedError("the engine says: 500")
        return super().send_signal(container_id, signal)


def test_a_signal_that_is_refused_is_sent_again() -> None:
    bench = Bench(RefusingRuntime())
    assert bench.running().terminate() is CODES.ABORTED
    bench.tracker.close()


class ListeningRuntime(FakeRuntime):
    """Notes the signals."""

    def __init__(self) -> None:
        super().__init__()
        self.signals: list[str] = []

    def send_signal(self, container_id: str, signal: str) -> bool:
        self.signals.append(signal)
        return super().send_signal(container_id, signal)


@pytest.mark.parametrize(("ignores_term", "signals"), [(False, ["SIGTERM"]), (True, ["SIGTERM", "SIGKILL"])])
def test_a_process_is_asked_first_and_killed_after_the_grace(ignores_term: bool, signals: list[str]) -> None:
    runtime = ListeningRuntime()
    runtime.ignores_term = ignores_term
    bench = Bench(runtime)
    assert bench.running().terminate() is CODES.ABORTED
    assert runtime.signals == signals
    bench.tracker.close()


def test_many_requests_to_end_are_one_signal() -> None:
    runtime = ListeningRuntime()
    bench = Bench(runtime)
    handle = bench.running()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: handle.terminate(), range(8)))
    assert runtime.signals == ["SIGTERM"]
    bench.tracker.close()


# --- output ---


def test_output_can_be_read_before_and_after_the_end(bench: Bench) -> None:
    handle = bench.running()
    assert handle.logs() == ""
    bench.runtime.write("one", b"1\n2\n")
    assert (handle.logs(), handle.logs(tail=1), handle.logs(tail=0)) == ("1\n2\n", "2\n", "")
    bench.runtime.exit("one", 0)
    handle.wait()
    assert handle.logs(tail=1) == "2\n"


def test_output_that_is_no_text_is_shown_all_the_same(bench: Bench) -> None:
    handle = bench.running()
    bench.runtime.write("one", b"a\xffb\n")
    assert handle.logs() == "a\ufffdb\n"


def test_output_cannot_be_read_without_an_engine(bench: Bench) -> None:
    handle = bench.running()
    bench.runtime.set_reachable(False)
    with pytest.raises(RuntimeUnavailableError):
        handle.logs()


def test_a_file_that_a_running_job_has_left_is_not_taken_for_its_output(bench: Bench, tmp_path: Path) -> None:
    log_path = tmp_path / "site-1.log"
    log_path.write_text("not the output")
    handle = bench.running(log_path=log_path)
    bench.runtime.write("one", b"the output")
    assert handle.logs() == "the output"


def test_a_link_that_a_job_has_left_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    secret, log_path = tmp_path / "secret", tmp_path / "site-1.log"
    secret.write_text("a secret of the site")
    handle = bench.running(log_path=log_path)
    bench.runtime.write("one", b"the output")
    log_path.symlink_to(secret)
    bench.runtime.exit("one", 0)
    handle.wait()
    assert handle.logs() == "the output"


def test_output_that_is_just_being_kept_is_read_whole(bench: Bench, tmp_path: Path) -> None:
    log_path, may_go_on = tmp_path / "site-1.log", threading.Event()

    def clean_up(job: TrackedJob) -> None:
        log_path.write_bytes(b"half of")
        bench.runtime.remove(job.identity.container_id)
        assert may_go_on.wait(TIMEOUT)
        log_path.write_bytes(b"half of the output")

    container_id = bench.runtime.create(ContainerSpec("two", "job:1", ("run",)))
    job = TrackedJob(JobIdentity("job-2", "site-1", "two", container_id), JobHooks(clean_up=clean_up))
    handle = ContainerJobHandle(Tracking(job, bench.tracker, bench.runtime), log_path=log_path)
    bench.runtime.start(container_id)
    bench.tracker.watch(job)
    bench.runtime.exit("two", 0)
    handle.wait()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(handle.logs)
        may_go_on.set()
        assert reading.result(TIMEOUT) == "half of the output"


# --- a disk that refuses ---


class Train(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


ENDS: dict[str, Callable[[Site, JobHandleSpec], JobReturnCode]] = {
    "terminate": lambda _, handle: handle.terminate(by="me"),
    "abort_job": lambda site, _: site.abort_job("job-1", by="me"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_job_is_ended_though_the_disk_is_full_and_that_is_said_once(
    make_site: Callable[..., Site],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    end: Callable[[Site, JobHandleSpec], JobReturnCode],
) -> None:
    site = make_site(launcher=Train(image="job:1", runtime=FakeRuntime(), stop_grace=0))
    handle = site.launch_job({"job_id": "job-1"})
    with monkeypatch.context() as disk:
        disk.setattr(JobRecord, "note", full_disk)
        assert end(site, handle) is JobReturnCode.ABORTED
    assert handle.result
    assert "me" in handle.result.error
    assert len([record for record in caplog.records if "its record cannot be written" in record.message]) == 1


def test_a_wish_that_could_not_be_written_down_is_written_with_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record"
    path.touch()
    job = TrackedJob(JobIdentity("job-1", "site-1", "c"), JobHooks(record=JobRecord(path)))
    with monkeypatch.context() as disk:
        disk.setattr(JobRecord, "note", full_disk)
        job.request_end("me", 1.0)
    job.note(**job.final_fields())
    assert read_record(path)["end_request"] == {"by": "me", "time": 1.0, "delivered": None, "tried_at": None}
