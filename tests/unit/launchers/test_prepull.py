"""Images that are pulled when a site starts: nobody waits for that, a job shares it, a failure refuses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flcore import EventType, Site
from flcore.errors import ImageError
from flcore.testing import EventRecorder
from launchers.docker_launcher import ClientDockerJobLauncher, DockerJobHandle
from launchers.runtime.fake import FakeRuntime
from tests.operator_lab import until

IMAGE, OTHER = "job:1", "registry.example.com/team/other:2"
DIGEST = "job@sha256:" + "a" * 64
TIMEOUT = 10.0


@pytest.fixture
def runtime() -> FakeRuntime:
    """An engine without images, whose pulls go on as the test says."""
    runtime = FakeRuntime(images=set(), registry={IMAGE, OTHER, DIGEST})
    runtime.pulls_wait = True
    return runtime


@pytest.fixture
def start(make_site: Callable[..., Site], runtime: FakeRuntime) -> Callable[..., Site]:
    """Return a function that starts a site whose launcher pulls ahead."""

    def started(**args: Any) -> Site:
        site = make_site(launcher=launcher(runtime=runtime, **args))
        site.start()
        return site

    return started


def launcher(**args: Any) -> ClientDockerJobLauncher:
    given: dict[str, Any] = {"image": IMAGE, "pull_policy": "if-missing", "prepull": True}
    return ClientDockerJobLauncher(**given | args)


def pulled(runtime: FakeRuntime) -> list[str]:
    return [pull.image for pull in runtime.pulls]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


# --- what is pulled ---


def test_an_image_is_there_before_any_job_is(start: Callable[..., Site], runtime: FakeRuntime) -> None:
    start()
    runtime.wait_for_pull().finish()
    until(lambda: runtime.images == {IMAGE})


def test_those_of_the_list_that_name_one_image_follow_one_after_the_other(
    start: Callable[..., Site], runtime: FakeRuntime
) -> None:
    start(images=["python", "job:*", "registry.example.com/[a-c]/x:1", OTHER, IMAGE, DIGEST])
    for number in (1, 2, 3):
        pull = runtime.wait_for_pull(number)
        assert len(runtime.pulls) == number
        pull.finish()
    assert pulled(runtime) == [IMAGE, OTHER, DIGEST]


def test_an_image_that_is_there_is_not_pulled(start: Callable[..., Site], runtime: FakeRuntime) -> None:
    runtime.images = {IMAGE}
    start(images=[OTHER])
    runtime.wait_for_pull().finish()
    assert pulled(runtime) == [OTHER]


def test_an_image_that_is_there_is_pulled_where_each_always_is(
    start: Callable[..., Site], runtime: FakeRuntime
) -> None:
    runtime.images = {IMAGE}
    start(pull_policy="always")
    runtime.wait_for_pull().finish()
    assert pulled(runtime) == [IMAGE]


def test_nothing_is_pulled_ahead_where_the_site_does_not_say_so(
    start: Callable[..., Site], runtime: FakeRuntime
) -> None:
    site = start(prepull=False)
    site.close()
    assert runtime.pulls == []


# --- who waits, and who hears ---


def test_a_job_that_comes_meanwhile_shares_the_pull(
    start: Callable[..., Site], runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    site = start()
    pull = runtime.wait_for_pull()
    launch = pool.submit(site.launch_job, {"job_id": "j1"}, {"exe_module": ("-m", "client")})
    until(lambda: site.load.launching)
    pull.finish()
    assert isinstance(launch.result(TIMEOUT), DockerJobHandle)
    assert pulled(runtime) == [IMAGE]


def test_a_job_in_another_image_waits_for_none(start: Callable[..., Site], runtime: FakeRuntime) -> None:
    runtime.images = {OTHER}
    site = start(images=[OTHER])
    runtime.wait_for_pull()
    spec = {"launcher_spec": {"site-1": {"docker": {"image": OTHER}}}}
    assert site.launch_job({"job_id": "j1", **spec}, {"exe_module": ("-m", "client")})


def test_all_hear_how_it_goes_on(
    start: Callable[..., Site], runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    start()
    runtime.wait_for_pull().finish()
    assert event_recorder.wait_for(EventType.IMAGE_PULL_PROGRESS).site == "site-1"


# --- what goes wrong ---


def test_an_image_that_cannot_be_had_is_one_line_in_the_log_and_the_next_one_is_pulled(
    start: Callable[..., Site], runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    site = start(images=[OTHER])
    runtime.wait_for_pull(1).fail(ImageError("the disk is full"))
    runtime.wait_for_pull(2).finish()
    until(lambda: runtime.images == {OTHER})
    about = [record.getMessage() for record in caplog.records if "full" in record.getMessage()]
    assert about == warnings(caplog) == ["not pulled ahead: the disk is full"]
    runtime.images = {IMAGE}
    assert site.launch_job({"job_id": "j1"}, {"exe_module": ("-m", "client")})


def test_an_engine_that_is_away_is_a_line_in_the_log_and_the_site_starts(
    start: Callable[..., Site], runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.set_reachable(False)
    start(images=[OTHER])
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "flcore-prepull"])
    assert warnings(caplog) == [f"not pulled ahead: {runtime.name} does not answer"]


def test_the_site_s_end_calls_it_back_without_a_word(
    start: Callable[..., Site], runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    site = start(images=[OTHER])
    pull = runtime.wait_for_pull()
    site.close()
    assert pull.closed
    until(lambda: not [thread for thread in threading.enumerate() if thread.name in ("flcore-prepull", "flcore-pull")])
    assert pulled(runtime) == [IMAGE]
    assert warnings(caplog) == []


def test_a_site_that_starts_again_pulls_again(start: Callable[..., Site], runtime: FakeRuntime) -> None:
    site = start()
    runtime.wait_for_pull(1)
    site.close()
    site.start()
    runtime.wait_for_pull(2).finish()
    until(lambda: runtime.images == {IMAGE})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"prepull": "yes"}, "prepull must be true or false, got 'yes'"),
        (
            {"pull_policy": "never"},
            "prepull: 'pull_policy' is 'never', so nothing would be pulled; set it to 'if-missing'",
        ),
        ({"image": None}, "prepull: neither 'image' nor 'images' names an image by a tag or a digest, without globs"),
        (
            {"image": None, "images": ["python", "job:*"]},
            "prepull: neither 'image' nor 'images' names an image by a tag or a digest, without globs",
        ),
    ],
)
def test_what_would_pull_nothing_is_refused(args: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        launcher(**args)


# --- the check ---


def checked(runtime: FakeRuntime, **args: Any) -> dict[str, bool]:
    """Return what a check says of images, and whether it is a warning."""
    found = [one for one in launcher(runtime=runtime, **args).check() if one.what == "image"]
    assert all(one.ok for one in found)
    return {one.detail: one.warning for one in found}


def test_a_check_says_which_images_are_pulled_at_the_start(runtime: FakeRuntime) -> None:
    runtime.images = {OTHER}
    assert checked(runtime, images=["job:*", OTHER]) == {
        f"{IMAGE} is not there; it is pulled at the site's start ('prepull')": True,
        OTHER: False,
    }


def test_a_check_misses_no_image_that_the_first_job_has_pulled(runtime: FakeRuntime) -> None:
    said = {f"{IMAGE} is not there; it is pulled for the first job that wants it ('pull_policy')": True}
    assert checked(runtime, prepull=False) == said
    runtime.images = {IMAGE}
    assert checked(runtime, prepull=False) == {IMAGE: False}
