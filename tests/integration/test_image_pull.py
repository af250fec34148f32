"""Pulls by a real Docker Engine, from a registry that does whatever a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound

from flcore import JobReturnCode
from flcore.errors import ImageError, JobAbortedError, PullTimeoutError
from flcore.job_launcher_spec import ImagePullProgress
from launchers.keeping.image_puller import ImagePuller
from launchers.runtime.docker import DockerRuntime
from launchers.settings import PullSettings

from .conftest import Lab, until
from .registry import Registry, encoded

TIMEOUT = 10.0
LARGE = 4 << 20
"""Bytes of a layer of which an engine tells progress that does so once a second, or once a MiB."""
IF_MISSING = PullSettings("if-missing", timeout=30, stall_timeout=30)
ALWAYS = PullSettings("always", timeout=30, stall_timeout=30)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def image(registry: Registry, docker_client: Any) -> Iterator[str]:
    """The name of an image of three layers, of 200 kB each, that the registry has and the engine has not."""
    name = registry.add_image()
    yield name
    with suppress(NotFound):
        docker_client.api.remove_image(name, force=True)


@pytest.fixture
def runtime(docker_client: Any) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime()
    yield runtime
    runtime.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(10) as pool:
        yield pool


class Caller:
    """One who waits for an image, in a thread of its own."""

    def __init__(self, pool: ThreadPoolExecutor, puller: ImagePuller, image: str) -> None:
        self._puller = puller
        self._cancelled = threading.Event()
        self.future: Future[bool] = pool.submit(puller.ensure, image, self._cancelled.is_set)

    def cancel(self) -> None:
        self._cancelled.set()
        self._puller.wake()


def until_no_thread_pulls() -> None:
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "flcore-pull"], TIMEOUT)


# --- policies ---


def test_a_missing_image_is_pulled_and_can_be_used(
    runtime: DockerRuntime, registry: Registry, image: str, docker_client: Any
) -> None:
    assert not runtime.find_image(image)
    assert ImagePuller(runtime, IF_MISSING).ensure(image)
    assert runtime.find_image(image)
    assert len(docker_client.images.get(image).attrs["RootFS"]["Layers"]) == 3


def test_an_image_that_is_there_is_pulled_only_if_all_are(
    runtime: DockerRuntime, registry: Registry, image: str
) -> None:
    ImagePuller(runtime, IF_MISSING).ensure(image)
    asked = registry.requests.copy()
    ImagePuller(runtime, PullSettings("never")).ensure(image)
    ImagePuller(runtime, IF_MISSING).ensure(image)
    assert registry.requests == asked
    ImagePuller(runtime, ALWAYS).ensure(image)
    assert registry.requests["manifest"] > asked["manifest"]
    assert registry.requests["layer"] == asked["layer"]


# --- logins ---


def test_the_login_of_a_registry_comes_from_docker_s_configuration(
    registry: Registry, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.login = "site-1:s3cret"
    logins = {"auths": {image.partition("/")[0]: {"auth": encoded(registry.login)}}}
    (tmp_path / "config.json").write_text(json.dumps(logins))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with closing(DockerRuntime()) as runtime:
        assert ImagePuller(runtime, IF_MISSING).ensure(image)


def test_without_its_login_a_registry_gives_nothing(
    registry: Registry, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.login = "site-1:s3cret"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with closing(DockerRuntime()) as runtime, pytest.raises(ImageError, match="cannot be pulled"):
        ImagePuller(runtime, IF_MISSING).ensure(image)


# --- sharing ---


def test_ten_who_want_one_image_ask_the_registry_as_one_does(
    runtime: DockerRuntime, registry: Registry, image: str, pool: ThreadPoolExecutor, docker_client: Any
) -> None:
    puller = ImagePuller(runtime, ALWAYS)
    puller.ensure(image)
    asked_by_one = registry.requests.copy()
    registry.requests.clear()
    registry.bytes_per_second = 400_000
    other = registry.add_image()
    try:
        assert list(pool.map(puller.ensure, [other] * 10)) == [True] * 10
    finally:
        docker_client.api.remove_image(other, force=True)
    assert registry.requests == asked_by_one
    assert asked_by_one["layer"] == 3


# --- progress ---


def test_progress_is_told_while_the_image_comes(runtime: DockerRuntime, registry: Registry, docker_client: Any) -> None:
    told: list[ImagePullProgress] = []
    ended = threading.Event()

    def listen(progress: ImagePullProgress) -> None:
        told.append(progress)
        if progress.ended:
            ended.set()

    large = registry.add_image(layer_size=LARGE)
    registry.bytes_per_second = LARGE / 4
    try:
        assert ImagePuller(runtime, IF_MISSING, listen).ensure(large)
    finally:
        docker_client.api.remove_image(large, force=True)
    assert ended.wait(TIMEOUT)
    downloaded = [progress.downloaded for progress in told]
    assert downloaded == sorted(downloaded)
    assert len({size for size in downloaded if 0 < size < 3 * LARGE}) >= 2
    last = told[-1]
    assert (last.image, last.layers_done, last.error) == (large, last.layers, "")
    assert last.layers in (3, 4)  # some engines count the image's config
    assert last.downloaded == last.size >= 3 * LARGE


# --- deadlines ---


def test_a_pull_that_takes_too_long_is_ended(runtime: DockerRuntime, registry: Registry, image: str) -> None:
    registry.bytes_per_second = 30_000
    begun = time.monotonic()
    with pytest.raises(PullTimeoutError, match=rf"image {image} was not pulled within 1 s \('pull_timeout'\)"):
        ImagePuller(runtime, PullSettings("if-missing", timeout=1, stall_timeout=30)).ensure(image)
    assert 1 <= time.monotonic() - begun < 2
    assert registry.wait_until_idle()
    assert not runtime.find_image(image)


def test_a_pull_that_stalls_is_ended(runtime: DockerRuntime, registry: Registry, image: str) -> None:
    registry.stall_after = 100_000
    begun = time.monotonic()
    with pytest.raises(PullTimeoutError, match=r"made no progress for 1 s \('pull_stall_timeout'\)"):
        ImagePuller(runtime, PullSettings("if-missing", timeout=30, stall_timeout=1)).ensure(image)
    assert 1 <= time.monotonic() - begun < 3
    registry.release()  # an engine leaves a registry that stalls only when something comes
    assert registry.wait_until_idle()
    assert not runtime.find_image(image)


def test_a_pull_that_is_slow_but_steady_is_not_ended(
    runtime: DockerRuntime, registry: Registry, docker_client: Any
) -> None:
    large = registry.add_image(layer_size=LARGE)
    registry.bytes_per_second = LARGE / 4
    try:
        assert ImagePuller(runtime, PullSettings("if-missing", timeout=30, stall_timeout=2.5)).ensure(large)
    finally:
        docker_client.api.remove_image(large, force=True)


@pytest.mark.parametrize("deadline", [{"timeout": 1}, {"stall_timeout": 1}], ids=str)
def test_a_registry_that_says_nothing_at_all_is_not_waited_for(
    runtime: DockerRuntime, registry: Registry, image: str, deadline: dict[str, Any]
) -> None:
    registry.silent = True
    with pytest.raises(PullTimeoutError):
        ImagePuller(runtime, PullSettings("if-missing", **deadline)).ensure(image)
    assert registry.requests.total() > 0


def test_a_layer_that_is_cut_again_and_again_makes_no_progress(
    runtime: DockerRuntime, registry: Registry, image: str
) -> None:
    registry.cut_after = 100_000
    with pytest.raises(ImageError, match=r"pull_stall_timeout|EOF"):  # not every engine tries it again
        ImagePuller(runtime, PullSettings("if-missing", timeout=30, stall_timeout=2)).ensure(image)
    assert not runtime.find_image(image)


# --- cancelling ---


def test_a_cancelled_pull_stops_the_download(
    runtime: DockerRuntime, registry: Registry, image: str, pool: ThreadPoolExecutor
) -> None:
    registry.bytes_per_second = 40_000  # so that it would take 5 s
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING), image)
    assert registry.wait_until_sending()
    caller.cancel()
    assert caller.future.result(1) is False
    assert registry.wait_until_idle(2), "the engine goes on"
    assert registry.layer_bytes < 200_000
    assert not runtime.find_image(image)
    until_no_thread_pulls()


def test_a_pull_that_was_cancelled_can_be_had_again(
    runtime: DockerRuntime, registry: Registry, image: str, pool: ThreadPoolExecutor
) -> None:
    registry.stall_after = 50_000
    puller = ImagePuller(runtime, IF_MISSING)
    caller = Caller(pool, puller, image)
    assert registry.wait_until_sending()
    caller.cancel()
    assert caller.future.result(1) is False
    registry.stall_after = None
    assert puller.ensure(image)
    assert runtime.find_image(image)


def test_who_is_cancelled_takes_the_image_from_nobody_else(
    runtime: DockerRuntime, registry: Registry, image: str, pool: ThreadPoolExecutor
) -> None:
    registry.stall_after = 50_000
    puller = ImagePuller(runtime, IF_MISSING)
    first, second = Caller(pool, puller, image), Caller(pool, puller, image)
    assert registry.wait_until_sending()
    first.cancel()
    assert first.future.result(1) is False
    registry.release()
    assert second.future.result(TIMEOUT) is True
    assert runtime.find_image(image)


def test_a_pull_is_cancelled_while_the_registry_says_nothing(
    runtime: DockerRuntime, registry: Registry, image: str, pool: ThreadPoolExecutor
) -> None:
    registry.silent = True
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING), image)
    assert registry.wait_until_asked()
    caller.cancel()
    assert caller.future.result(1) is False
    until_no_thread_pulls()


def test_a_launch_that_is_called_back_during_its_pull_leaves_nothing(
    lab: Lab, registry: Registry, image: str, pool: ThreadPoolExecutor, runtime: DockerRuntime
) -> None:
    registry.bytes_per_second = 40_000
    site = lab.site("true", image=image, pull_policy="if-missing")
    launch = pool.submit(lab.launch_at, site)
    assert registry.wait_until_sending()
    assert site.abort_job(lab.job_id, by="the operator") is JobReturnCode.ABORTED
    with pytest.raises(JobAbortedError, match="the operator"):
        launch.result(1)
    assert registry.wait_until_idle(2)
    assert not runtime.find_image(image)
    assert lab.left_over() == []


# --- ahead ---


def test_a_site_that_pulls_ahead_has_its_image_before_any_job(
    lab: Lab, registry: Registry, image: str, runtime: DockerRuntime
) -> None:
    lab.site("true", image=image, pull_policy="if-missing", prepull=True)
    until(lambda: runtime.find_image(image), TIMEOUT)


def test_a_job_that_comes_while_its_image_is_pulled_ahead_shares_the_pull(
    lab: Lab, registry: Registry, image: str, pool: ThreadPoolExecutor
) -> None:
    registry.stall_after = 50_000
    site = lab.site("/file-0", image=image, pull_policy="if-missing", prepull=True)
    assert registry.wait_until_sending()
    launch = pool.submit(lab.launch_at, site)
    until(lambda: site.load.launching, TIMEOUT)
    registry.release()
    assert launch.result(TIMEOUT).wait() is not JobReturnCode.SUCCESS  # its file is no program
    assert registry.requests["layer"] == 3


def test_the_end_of_a_site_calls_back_what_is_pulled_ahead(
    lab: Lab, registry: Registry, image: str, runtime: DockerRuntime
) -> None:
    registry.bytes_per_second = 40_000
    lab.site("true", image=image, pull_policy="if-missing", prepull=True)
    assert registry.wait_until_sending()
    lab.close()
    assert registry.wait_until_idle(2)
    assert not runtime.find_image(image)
    until_no_thread_pulls()


# --- errors ---


def test_an_image_that_the_registry_has_not_is_an_error(runtime: DockerRuntime, registry: Registry, image: str) -> None:
    missing = image.removesuffix(":1") + ":2"
    with pytest.raises(ImageError, match=rf"^image {missing} cannot be pulled: the engine says: .+; try: \w+ pull"):
        ImagePuller(runtime, IF_MISSING).ensure(missing)


@pytest.mark.parametrize(
    ("kind", "status"), [("manifest", 401), ("manifest", 500), ("config", 404), ("layer", 404)], ids=str
)
def test_what_the_registry_refuses_is_an_error(
    runtime: DockerRuntime, registry: Registry, image: str, kind: str, status: int
) -> None:
    registry.failures[kind] = status
    with pytest.raises(ImageError, match=f"image {image} cannot be pulled: the engine says: ") as caught:
        ImagePuller(runtime, IF_MISSING).ensure(image)
    assert type(caught.value) is ImageError
    assert not runtime.find_image(image)


def test_no_registry_at_all_is_an_error(runtime: DockerRuntime, docker_client: Any) -> None:
    with Registry() as gone:
        image = gone.add_image()
    with pytest.raises(ImageError, match="connection refused"):
        ImagePuller(runtime, IF_MISSING).ensure(image)


def test_what_is_no_name_of_an_image_is_an_error(runtime: DockerRuntime) -> None:
    for settings in (IF_MISSING, ALWAYS):
        with pytest.raises(ImageError, match="image UPPER"):
            ImagePuller(runtime, settings).ensure("UPPER")


# --- the stream itself ---


def test_the_layers_of_a_pull_are_told_apart_from_the_image(
    runtime: DockerRuntime, registry: Registry, image: str
) -> None:
    with closing(runtime.pull(image)) as stream:
        said = list(stream)
    begun = {line.layer for line in said if line.status == "Pulling fs layer"}
    ended = {line.layer for line in said if line.status in ("Pull complete", "Download complete")}
    assert begun == ended == {line.layer for line in said if line.layer}
    assert len(begun) in (3, 4)  # some engines count the image's config
