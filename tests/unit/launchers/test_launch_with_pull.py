"""A launch whose image is not there yet: pulled once for all who wait, told, called back, and never left half done."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLContext, FLContextKey, JobReturnCode, Site
from flcore.errors import ImageError, JobAbortedError, PullTimeoutError
from flcore.testing import EventRecorder
from launchers.docker_launcher import DockerJobHandle, DockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.faulty import until

IMAGE = "job:1"
TIMEOUT = 10.0


class TrainLauncher(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


class Lab:
    """A site whose engine has no image, and a registry that has one."""

    def __init__(self, workspace: Path) -> None:
        self.runtime = FakeRuntime(images=set(), registry={IMAGE})
        self.recorder = EventRecorder()
        self.workspace = workspace
        self._pool = ThreadPoolExecutor(10)
        self._sites: list[Site] = []

    def site(self, **arguments: Any) -> Site:
        given: dict[str, Any] = {"image": IMAGE, "pull_policy": "if-missing", "runtime": self.runtime}
        components = {"launcher": TrainLauncher(**given | arguments), "recorder": self.recorder}
        self._sites.append(Site("site-1", components, self.workspace))
        return self._sites[-1]

    def launch(self, site: Site, job_id: str = "job-1") -> Future[Any]:
        return self._pool.submit(site.launch_job, {"job_id": job_id})

    def records(self) -> list[Path]:
        return list((self.workspace / ".flcore" / "jobs").iterdir())

    def close(self) -> None:
        for site in self._sites:
            site.close()
        self._pool.shutdown()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def test_a_missing_image_is_an_error_where_nothing_is_pulled(lab: Lab) -> None:
    with pytest.raises(ImageError, match="job:1"):
        lab.launch(lab.site(pull_policy="never")).result(TIMEOUT)


def test_a_missing_image_is_pulled_where_the_site_says_so(lab: Lab) -> None:
    handle = lab.launch(lab.site()).result(TIMEOUT)
    lab.runtime.exit("site-1-job-1", 0)
    assert handle.wait() is JobReturnCode.SUCCESS


def test_jobs_that_wait_for_one_image_share_its_pull(lab: Lab) -> None:
    lab.runtime.pulls_wait = True
    site = lab.site()
    launches = [lab.launch(site, f"job-{number}") for number in range(10)]
    lab.runtime.wait_for_pull().finish()
    assert all(isinstance(launch.result(TIMEOUT), DockerJobHandle) for launch in launches)
    assert len(lab.runtime.containers()) == 10


def test_a_pull_is_told_to_all(lab: Lab) -> None:
    lab.launch(lab.site()).result(TIMEOUT)
    assert lab.recorder.wait_for(EventType.IMAGE_PULL_PROGRESS).site == "site-1"


def test_a_launch_can_be_called_back_while_its_image_is_pulled(lab: Lab) -> None:
    lab.runtime.pulls_wait = True
    site = lab.site()
    launch = lab.launch(site)
    lab.runtime.wait_for_pull()
    assert site.abort_job("job-1", by="the operator") is JobReturnCode.ABORTED
    with pytest.raises(JobAbortedError, match="the operator"):
        launch.result(TIMEOUT)
    assert (lab.records(), lab.runtime.containers()) == ([], [])


@pytest.mark.parametrize("key", ["pull_timeout", "pull_stall_timeout"])
def test_a_pull_that_takes_too_long_is_an_error_with_its_reason(lab: Lab, key: str) -> None:
    lab.runtime.pulls_wait = True
    with pytest.raises(PullTimeoutError, match=key):
        lab.launch(lab.site(**{key: 0.05})).result(TIMEOUT)
    result = lab.recorder.wait_for(EventType.JOB_ABORTED).result
    assert result is not None
    assert key in result.error
    assert (lab.records(), lab.runtime.containers()) == ([], [])


def test_a_site_that_closes_ends_a_pull(lab: Lab) -> None:
    lab.runtime.pulls_wait = True
    site = lab.site()
    launch = lab.launch(site)
    lab.runtime.wait_for_pull()
    site.close(end_jobs=True)
    with pytest.raises(JobAbortedError):
        launch.result(TIMEOUT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pull_policy": "Always"}, "pull_policy must be one of never, if-missing, always, got 'Always'"),
        ({"pull_timeout": 0}, "pull_timeout must be a number of seconds, more than 0, got 0"),
        ({"pull_stall_timeout": "1"}, "pull_stall_timeout must be a number of seconds, more than 0, got '1'"),
        ({"run_timeout": -1}, "run_timeout must be a number of seconds, more than 0, got -1"),
        ({"idle_timeout": True}, "idle_timeout must be a number of seconds, more than 0, got True"),
        ({"log_max_size": "10 MB"}, "log_max_size must be a number of bytes"),
        ({"log_max_files": 0}, "log_max_files must be a whole number, 1 at least, got 0"),
        ({"orphans": "kill"}, "orphans must be one of adopt, stop, ignore, got 'kill'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainLauncher(**arguments)


# --- which image it is ---

ID, OTHER_ID = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_a_container_is_made_from_what_was_looked_at_and_keeps_the_name_as_a_label(lab: Lab) -> None:
    lab.runtime.image_ids[IMAGE] = ID
    lab.launch(lab.site()).result(TIMEOUT)
    spec = lab.runtime.container("site-1-job-1").spec
    assert (spec.image, spec.labels["flcore.image"]) == (ID, IMAGE)


def test_an_image_that_has_the_digest_of_the_sites_list_is_launched(lab: Lab) -> None:
    lab.runtime.image_ids[IMAGE] = ID
    lab.launch(lab.site(images=[f"job@{ID}"])).result(TIMEOUT)


def test_an_image_that_is_another_than_the_sites_list_says_is_refused(lab: Lab) -> None:
    lab.runtime.image_ids[IMAGE] = OTHER_ID
    with pytest.raises(ImageError, match=rf"image job:1 is {OTHER_ID}, not {ID} as the site's list says"):
        lab.launch(lab.site(images=[f"job@{ID}"])).result(TIMEOUT)
    assert lab.runtime.containers() == []
    assert lab.records() == []


def test_nothing_is_pulled_from_a_registry_that_is_not_the_sites(lab: Lab) -> None:
    with pytest.raises(ImageError, match=r"its registry docker.io is none of the site's \('registries'\)"):
        lab.launch(lab.site(registries=["registry.example.com"])).result(TIMEOUT)
    assert lab.runtime.pulls == []


def test_an_image_that_is_there_needs_no_registry(lab: Lab) -> None:
    lab.runtime.images = {IMAGE}
    lab.launch(lab.site(registries=[])).result(TIMEOUT)


def tell_ahead(lab: Lab, site: Site) -> None:
    """Have a site's components hear what a launch would be that does not begin yet."""
    launcher: Any = site.get_component("launcher")
    fl_ctx = site.new_context()
    fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, site.workspace, private=True, sticky=False)
    launcher.tell_ahead({"job_id": "job-1"}, fl_ctx)


def test_what_a_launch_would_be_is_told_when_its_image_is_there_and_nothing_is_launched(lab: Lab) -> None:
    lab.runtime.pulls_wait = True
    site = lab.site()
    site.start()
    with pytest.raises(ImageError, match="image job:1 is not there yet") as raised:
        tell_ahead(lab, site)
    hold = raised.value.hold
    assert hold
    assert hold.reason == "waits for its image job:1"
    pull = lab.runtime.wait_for_pull()
    until(lambda: not hold.may_go_on(), "it is being pulled")
    pull.finish()
    until(hold.may_go_on, "it was pulled")
    told = len(lab.recorder.event_types)
    tell_ahead(lab, site)
    of_pulls = EventType.IMAGE_PULL_PROGRESS
    assert [one for one in lab.recorder.event_types[told:] if one != of_pulls] == [EventType.JOB_LAUNCH_PLANNED]
    assert lab.runtime.containers() == []
    assert not (lab.workspace / ".flcore/jobs").exists()


def test_where_nothing_is_pulled_no_launch_is_put_off_for_its_image(lab: Lab) -> None:
    site = lab.site(pull_policy="never")
    site.start()
    with pytest.raises(ImageError) as raised:
        tell_ahead(lab, site)
    assert raised.value.hold is None
