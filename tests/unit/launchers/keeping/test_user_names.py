"""A job's user has a name in its container, whatever its image knows; and what that costs is paid once for an image."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContext
from flcore.errors import JobLaunchError, JobStartError, RuntimeRefusedError, RuntimeUnavailableError
from flcore.testing import FakeFLContext
from launchers.container_spec import ContainerSpec, Mount
from launchers.docker_launcher import DockerJobLauncher
from launchers.keeping import user_names
from launchers.keeping.user_names import UserNames
from launchers.runtime.fake import FakeRuntime

USER = f"{os.geteuid()}:4711"
IMAGE_ID = f"sha256:{'0a' * 32}"
OTHERS = b"root:x:4294967294:0:root:/root:/bin/sh\n"
ENTRY = f"{{}}:x:{os.geteuid()}:4711::/tmp:/bin/sh\n".format("job" if os.geteuid() else "root").encode()
EVERYBODY = OTHERS + ENTRY


class Launcher(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"site-1-{job_meta['job_id']}", "train"


class Engine(FakeRuntime):
    """Notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.image_ids["job:1"] = IMAGE_ID
        self.asked: list[str] = []
        self.refusal: JobLaunchError | None = None

    def create(self, spec: ContainerSpec) -> str:
        self.asked.append("create")
        return super().create(spec)

    def passwd_of(self, container_id: str) -> bytes | None:
        self.asked.append("look")
        if self.refusal:
            raise self.refusal
        return super().passwd_of(container_id)


class Lab:
    def __init__(self, workspace: Path, **keys: Any) -> None:
        self.runtime = Engine()
        self.ctx = FakeFLContext("site-1", workspace=workspace)
        self.state = workspace / ".flcore"
        self._keys = keys
        self._launchers: list[Launcher] = []

    def launcher(self) -> Launcher:
        """Return a launcher as a process of the site has it."""
        keys: dict[str, Any] = {"image": "job:1", "user": USER, "allow_insecure": ["user"], "stop_grace": 0}
        self._launchers.append(Launcher(runtime=self.runtime, **keys | self._keys))
        self._launchers[-1].job_settings = replace(self._launchers[-1].job_settings, launch_patience=0.05)
        return self._launchers[-1]

    def launch(self, job_id: str = "job-1", launcher: Launcher | None = None) -> Any:
        return (launcher or self.launcher()).launch_job({"job_id": job_id}, self.ctx)

    def shown(self, job_id: str = "job-1") -> Path | None:
        """Return what a job is shown as its ``/etc/passwd``; None if it is its image's own."""
        mounts = self.runtime.container(f"site-1-{job_id}").spec.mounts
        return next((Path(mount.source) for mount in mounts if mount.target == "/etc/passwd"), None)

    def files(self) -> list[str]:
        return sorted(path.suffix for path in (self.state / "jobs").iterdir())

    def close(self) -> None:
        for launcher in self._launchers:
            launcher.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.runtime.passwd[IMAGE_ID] = OTHERS
    yield lab
    lab.close()


def test_a_user_whom_the_image_does_not_know_is_shown_among_those_whom_it_knows(lab: Lab) -> None:
    lab.launch()
    shown = lab.shown()
    assert shown
    assert shown.read_bytes() == EVERYBODY
    mounts = lab.runtime.container("site-1-job-1").spec.mounts
    assert [mount.read_only for mount in mounts if mount.target == "/etc/passwd"] == [True]


def test_whoever_the_jobs_user_is_can_read_it(lab: Lab) -> None:
    before = os.umask(0o077)
    try:
        lab.launch()
    finally:
        os.umask(before)
    shown = lab.shown()
    assert shown
    assert stat.S_IMODE(shown.stat().st_mode) == 0o444


def test_only_the_first_container_of_an_image_is_looked_into_and_made_anew(lab: Lab) -> None:
    launcher = lab.launcher()
    for job_id in ("job-1", "job-2", "job-3"):
        lab.launch(job_id, launcher)
        assert lab.shown(job_id)
    assert lab.runtime.asked == ["create", "look", "create", "create", "create"]
    assert len(lab.runtime.containers()) == 3


def test_the_sites_next_process_knows_the_image(lab: Lab) -> None:
    lab.launch()
    lab.runtime.asked.clear()
    lab.launch("job-2")
    assert lab.runtime.asked == ["create"]
    assert lab.shown("job-2")


def test_a_user_whom_the_image_knows_costs_one_look(lab: Lab) -> None:
    lab.runtime.passwd[IMAGE_ID] = EVERYBODY
    launcher = lab.launcher()
    lab.launch("job-1", launcher)
    lab.launch("job-2", launcher)
    assert lab.runtime.asked == ["create", "look", "create"]
    assert lab.shown() is lab.shown("job-2") is None


def test_an_image_without_any_users_gets_the_jobs(lab: Lab) -> None:
    lab.runtime.passwd[IMAGE_ID] = b""
    launcher = lab.launcher()
    lab.launch("job-1", launcher)
    lab.launch("job-2", launcher)
    for shown in (lab.shown(), lab.shown("job-2")):
        assert shown
        assert shown.read_bytes() == ENTRY
    assert lab.runtime.asked == ["create", "look", "create", "create"]


def test_where_nobody_need_complete_it_an_image_is_asked_once(lab: Lab) -> None:
    lab.runtime.passwd.clear()
    launcher = lab.launcher()
    lab.launch("job-1", launcher)
    lab.launch("job-2", launcher)
    assert lab.runtime.asked == ["create", "look", "create"]
    assert lab.shown() is None


@pytest.mark.parametrize("refusal", [RuntimeUnavailableError("busy"), RuntimeRefusedError("forbidden")])
def test_what_an_engine_does_not_tell_costs_no_launch(lab: Lab, refusal: JobLaunchError) -> None:
    lab.runtime.refusal = refusal
    lab.launch()
    assert lab.shown() is None
    assert lab.runtime.asked == ["create", "look"]


def test_what_a_site_shows_at_that_place_stays(tmp_path: Path) -> None:
    for number, target in enumerate(("/etc/passwd", "/etc")):
        lab = Lab(tmp_path / str(number), mounts=[{"source": "/srv/etc", "target": target}])
        lab.runtime.passwd[IMAGE_ID] = OTHERS
        lab.launch()
        spec = lab.runtime.container("site-1-job-1").spec
        assert [mount for mount in spec.mounts if mount.target.startswith("/etc")] == [Mount("/srv/etc", target)]
        assert lab.runtime.asked == ["create"]
        lab.close()


def test_it_goes_with_the_jobs_record(lab: Lab) -> None:
    handle = lab.launch()
    assert lab.files() == [".jsonl", ".passwd"]
    lab.runtime.exit("site-1-job-1")
    handle.wait()
    lab.close()
    assert lab.files() == []


def test_it_goes_with_the_record_that_the_next_process_has_taken_over(lab: Lab) -> None:
    lab.launch()
    lab.close()
    lab.runtime.exit("site-1-job-1")
    launcher = lab.launcher()
    launcher.open_keeper(lab.ctx).recover()
    assert lab.ctx.recorder.wait_for_end("job-1").succeeded
    launcher.close()
    assert lab.files() == []


def test_of_a_launch_that_fails_it_is_not_left_either(lab: Lab) -> None:
    launcher = lab.launcher()
    lab.runtime.start_error = "no such program"
    with pytest.raises(JobStartError):
        lab.launch("job-1", launcher)
    launcher.close()
    assert (lab.files(), lab.runtime.containers()) == ([], [])


def test_of_two_engines_images_those_of_one_id_are_the_same_and_names_are_not_remembered(lab: Lab) -> None:
    lab.runtime.image_ids.clear()  # the fake's ids are the names then, which a next pull may give to another image
    lab.runtime.passwd["job:1"] = OTHERS
    lab.launch()
    assert lab.shown()
    assert not (lab.state / "images").exists()


def test_only_so_many_images_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_names, "MOST_IMAGES", 3)
    runtime, folder = FakeRuntime(), tmp_path / "images"
    for number in range(5):
        image = f"sha256:{number:064x}"
        runtime.passwd[image] = OTHERS
        spec = ContainerSpec(f"job-{number}", image, ("train",), user="1:1")
        assert UserNames(folder).lacks(spec, runtime.create(spec), runtime)
        os.utime(folder / f"{number:064x}", (number, number))
    assert sorted(int(path.name, 16) for path in folder.iterdir()) == [2, 3, 4]


def test_a_disk_that_takes_no_more_has_the_image_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("no folder")
    runtime, names = FakeRuntime(), UserNames(tmp_path / "images")
    runtime.passwd[IMAGE_ID] = OTHERS
    spec = ContainerSpec("job-1", IMAGE_ID, ("train",), user="1:1")
    container_id = runtime.create(spec)
    assert names.lacks(spec, container_id, runtime)
    assert UserNames(tmp_path / "images").lacks(spec, container_id, runtime)
    with suppress(JobLaunchError):
        runtime.remove(container_id)
