"""What a launch that fails leaves behind, whatever it fails of: nothing; and an earlier run of the job as it was."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, Site
from flcore.errors import FLCoreError, JobLaunchError, JobRejectedError
from flcore.job_launcher_spec import JobReturnCode
from flcore.testing import EventRecorder
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.keeping.job_folder import owner
from launchers.runtime.fake import FakeRuntime
from tests.conftest import Launcher
from tests.faulty import faulty_disk, until

ARGS = {"exe_module": ("-m", "job")}
META: dict[str, Any] = {"job_id": "job-1", "name": "good"}
TIMEOUT = 10.0


class Refusing(FLComponent):
    """Refuses each job whose name is bad."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH and fl_ctx.get_prop("__job_meta__")["name"] == "bad":
            raise JobRejectedError("job job-1: its name is bad")


class Lab:
    """A site whose jobs run in memory, and what happened to it."""

    def __init__(self, folder: Path, **launcher: Any) -> None:
        self.folder = folder
        self.runtime = FakeRuntime()
        self.launcher = ClientDockerJobLauncher(image="job:1", runtime=self.runtime, stop_grace=0.1, **launcher)
        quick = replace(self.launcher.job_settings, relist_interval=0.02, launch_patience=0.0)
        self.launcher.job_settings = quick  # before the first launch, by which they are taken over
        self.site = Site("site-1", {"launcher": self.launcher}, folder / "ws")

    @property
    def run_dir(self) -> Path:
        return self.folder / "ws" / "job-1"

    def app(self, text: str) -> Path:
        code = self.folder / text / "custom" / "job.py"
        code.parent.mkdir(parents=True, exist_ok=True)
        code.write_text(text)
        return self.folder / text

    def run(self) -> None:
        """Have the job run, and end well."""
        handle: Any = self.site.launch_job(META, ARGS, self.app("good"))
        self.runtime.write("site-1-job-1", b"trained\n")
        self.runtime.exit("site-1-job-1")
        handle.wait()
        assert handle.wait_for_clean_up(TIMEOUT)

    def launch_again(self, **meta: Any) -> None:
        self.site.launch_job({**META, "name": "bad", **meta}, ARGS, self.app("bad"))

    def left(self) -> dict[str, str]:
        """Return all files of all jobs."""
        files = (
            path
            for path in (self.folder / "ws").rglob("*")
            if path.is_file() and path.relative_to(self.folder / "ws").parts[0][0] != "."
        )
        return {str(path.relative_to(self.folder / "ws")): path.read_text() for path in files}

    def settle(self) -> None:
        """Return when all is cleaned up."""
        self.site.close()


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(**launcher: Any) -> Lab:
        labs.append(Lab(tmp_path, **launcher))
        return labs[-1]

    yield make
    for lab in labs:
        lab.runtime.set_reachable(True)
        lab.site.close()


def is_refused_by_the_policy(lab: Lab) -> None:
    lab.launch_again(launcher_spec={"site-1": {"docker": {"privileged": True}}})


def is_refused_by_a_component(lab: Lab) -> None:
    lab.site.remove_component("launcher")
    lab.site.add_component("refusing", Refusing())
    lab.site.add_component("launcher", lab.launcher)
    lab.launch_again()


def misses_its_image(lab: Lab) -> None:
    lab.runtime.images = set()
    lab.launch_again()


def misses_a_dataset(lab: Lab) -> None:
    study = replace(lab.launcher.policy.study, datasets={"digits": str(lab.folder / "nowhere")})
    lab.launcher.policy = replace(lab.launcher.policy, study=study)
    lab.launch_again()


def finds_the_engine_away(lab: Lab) -> None:
    lab.runtime.set_reachable(False)
    try:
        lab.launch_again()
    finally:
        lab.runtime.set_reachable(True)


def cannot_be_started(lab: Lab) -> None:
    lab.runtime.start_error = "no such program"
    lab.launch_again()


FAILURES = [
    is_refused_by_the_policy,
    is_refused_by_a_component,
    misses_its_image,
    misses_a_dataset,
    finds_the_engine_away,
    cannot_be_started,
]
Fail = Callable[[Lab], None]


@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__)
def test_a_launch_that_fails_leaves_an_earlier_run_of_the_job_as_it_was(
    make_lab: Callable[..., Lab], fail: Fail
) -> None:
    lab = make_lab()
    lab.run()
    before = lab.left()
    assert before["job-1/site-1.log"] == "trained\n"
    with pytest.raises(FLCoreError):
        fail(lab)
    lab.settle()
    assert lab.left() == before


@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__)
def test_of_a_first_launch_that_fails_nothing_stays(make_lab: Callable[..., Lab], fail: Fail) -> None:
    lab = make_lab()
    with pytest.raises(FLCoreError):
        fail(lab)
    lab.settle()
    assert not lab.run_dir.exists()
    assert lab.left() == {}


def test_a_launch_that_is_aborted_while_its_image_is_pulled_leaves_an_earlier_run_as_it_was(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab()
    lab.run()
    before = lab.left()
    lab.site.close()
    lab = make_lab(pull_policy="always")
    lab.runtime.registry, lab.runtime.pulls_wait = {"job:1"}, True
    seen: list[dict[str, str]] = []

    def abort() -> None:
        lab.runtime.wait_for_pull()
        seen.append(lab.left())
        lab.site.abort_job("job-1")

    aborting = threading.Thread(target=abort)
    aborting.start()
    with pytest.raises(FLCoreError, match="its launch was ended on the request of"):
        lab.launch_again()
    aborting.join(TIMEOUT)
    assert seen == [before], "nothing is replaced before the start"
    assert lab.left() == before


def test_a_launch_without_an_app_that_fails_leaves_no_folder(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.runtime.start_error = "no such program"
    with pytest.raises(FLCoreError):
        lab.site.launch_job(META, ARGS)
    lab.settle()
    assert not lab.run_dir.exists()


def test_a_launch_that_succeeds_has_the_new_app_and_the_job_owns_it(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.run()
    lab.launch_again()
    code = lab.run_dir / "app_site-1" / "custom" / "job.py"
    assert code.read_text() == "bad"
    assert code.stat().st_uid == owner(lab.launcher.user)[0]


def test_a_third_partys_launcher_finds_the_app_in_place_and_a_failure_of_it_takes_it_back(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "code.py").touch()
    placed = tmp_path / "ws" / "job-1" / "app_site-1" / "code.py"
    seen: list[bool] = []

    def launch() -> None:
        seen.append(placed.exists())
        raise RuntimeError("no idea how")

    with Site("site-1", {"launcher": Launcher(launch)}, tmp_path / "ws") as site, pytest.raises(FLCoreError):
        site.launch_job(META, app=tmp_path / "app")
    assert seen == [True]
    assert not placed.parent.parent.exists()


class NoRemoval:
    """A disk on which nothing can be given a mode, nor removed."""

    def hit(self, name: str) -> None:
        if name in {"fchmod", "unlink", "rmdir"}:
            raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def secretive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Lab, Path]]:
    """Return what makes sites of one workspace, whose jobs have a secret, and the folder of those."""
    monkeypatch.setattr("launchers.keeping.job_secrets.file_system_of", lambda _: "tmpfs")
    monkeypatch.setattr("launchers.tracking.job_cleaner.retry_delay", lambda _: 0.01)
    (memory := tmp_path / "memory").mkdir()
    (tmp_path / "key").write_text("k")
    secrets = {"key": {"file": str(tmp_path / "key")}}
    return lambda: (Lab(tmp_path, secrets=secrets, secrets_dir=str(memory)), memory)


def test_secrets_that_a_failed_launch_cannot_take_back_go_when_the_disk_works_again(
    secretive: Callable[[], tuple[Lab, Path]], event_recorder: EventRecorder
) -> None:
    lab, memory = secretive()
    lab.site.add_component("recorder", event_recorder)
    with lab.site:
        with faulty_disk(NoRemoval(), memory), pytest.raises(JobLaunchError, match="the secrets cannot be put"):
            lab.site.launch_job(META, ARGS)
        until(lambda: not list(memory.iterdir()))
        until(lambda: not list((lab.folder / "ws/.flcore/jobs").iterdir()))
    assert EventType.JOB_STATE_CHANGED not in event_recorder.event_types  # nothing more is told of what never was


def test_secrets_that_a_failed_launch_could_not_take_back_are_the_next_processs_to_remove(
    secretive: Callable[[], tuple[Lab, Path]],
) -> None:
    lab, memory = secretive()
    with lab.site, faulty_disk(NoRemoval(), memory):
        with pytest.raises(JobLaunchError, match="the secrets cannot be put"):
            lab.site.launch_job(META, ARGS)
        lab.site.close()
    assert list(memory.iterdir())
    lab, _ = secretive()
    lab.launcher.job_settings = replace(lab.launcher.job_settings, creation_grace=0.0)
    with lab.site:
        until(lambda: not list(memory.iterdir()))


class Interrupted(ClientDockerJobLauncher):
    """Whose process gets an interrupt when the job runs, and before anybody has its handle."""

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> Any:
        super().launch_job(job_meta, fl_ctx)
        raise KeyboardInterrupt


def test_an_interrupt_between_a_jobs_start_and_its_handle_ends_the_job(tmp_path: Path) -> None:
    runtime, told = FakeRuntime(), EventRecorder()
    launcher = Interrupted(image="job:1", runtime=runtime, stop_grace=0.1)
    with Site("site-1", {"launcher": launcher, "told": told}, tmp_path) as site:
        with pytest.raises(KeyboardInterrupt):
            site.launch_job(META, ARGS)
        assert told.wait_for_end("job-1").return_code is JobReturnCode.ABORTED
    assert runtime.containers() == []
    assert told.event_types.count(EventType.JOB_ABORTED) == 1
    assert EventType.AFTER_JOB_LAUNCH not in told.event_types
