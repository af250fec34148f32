"""Reservations of jobs that are to come: what they keep from others, for how long, and who ends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobLaunchError, JobRejectedError, NoGpuError, SiteBusyError
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.keeping.reservations import Reservations
from launchers.records.gpu_leases import GpuLeases
from launchers.runtime.fake import FakeRuntime

IDS = ["0", "1"]
LONG, SHORT = 300.0, 0.02
TIMEOUT = 10.0


def until(condition: Callable[[], object]) -> None:
    """Return when it holds, of what can only be asked."""
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.01)


class Site:
    """A site that is asked whether it has room for jobs."""

    def __init__(self, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        self.runtime = FakeRuntime()
        given: dict[str, Any] = {"image": "job:1", "runtime": self.runtime, "gpu_ids": IDS, "stop_grace": 0} | kwargs
        self.launcher = ClientDockerJobLauncher(**given)
        self.ctx = FakeFLContext("site-1", workspace=folder, job_args={"exe_module": ("-m", "work")})
        self.reservations = Reservations()
        self.reservations.open()

    def reserve(self, job_id: str, gpus: int = 0, most: int | None = None, seconds: float = LONG) -> str:
        return self.reservations.make(self.launcher.open_keeper(self.ctx), job_id, gpus, most, seconds)

    def launch(self, job_id: str, gpus: int = 0) -> tuple[str, ...]:
        """Launch a job, and return which GPUs its container got."""
        meta = {"job_id": job_id, "resource_spec": {"site-1": {"num_of_gpus": gpus}}}
        with self.reservations.used(job_id):
            self.launcher.launch_job(meta, self.ctx)
        return self.runtime.container(f"site-1-{job_id}").spec.gpu_ids

    def end(self, job_id: str) -> None:
        self.runtime.exit(f"site-1-{job_id}")
        until(lambda: job_id not in self.launcher.open_keeper(self.ctx).job_ids())
        until(lambda: f"job {job_id} of site-1" not in self.holders().values())

    def holders(self) -> dict[str, str]:
        return GpuLeases(self.folder / ".flcore/gpus", list).holders()

    def close(self) -> None:
        self.reservations.close()
        self.launcher.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def test_gpus_that_are_reserved_are_leased_where_all_are(site: Site) -> None:
    site.reserve("a", 1)
    assert site.holders() == {"0": "job a of site-1"}


def test_the_launch_takes_what_is_reserved_and_has_it_until_the_job_has_ended(site: Site) -> None:
    site.reserve("a", 1)
    assert site.launch("a", 1) == ("0",)
    assert (site.holders(), site.reservations.job_ids()) == ({"0": "job a of site-1"}, ())
    site.end("a")
    assert site.holders() == {}


def test_no_launch_takes_what_is_reserved_for_another_job(site: Site) -> None:
    site.reserve("a", 2)
    with pytest.raises(NoGpuError, match="0 of 2 GPUs are free; 0: job a of site-1; 1: job a of site-1"):
        site.launch("b", 1)


def test_a_launch_without_a_reservation_takes_what_is_free(site: Site) -> None:
    site.reserve("a", 1)
    assert site.launch("b", 1) == ("1",)


def test_two_jobs_that_want_the_one_gpu_get_it_one_after_the_other(tmp_path: Path) -> None:
    site = Site(tmp_path, gpu_ids=["0"])
    site.reserve("a", 1)
    site.launch("a", 1)
    with pytest.raises(NoGpuError):
        site.reserve("b", 1)
    site.end("a")
    site.reserve("b", 1)
    assert site.launch("b", 1) == ("0",)
    site.close()


def test_what_a_launch_does_not_take_is_free_when_it_is_over(site: Site) -> None:
    site.reserve("a", 2)
    assert site.launch("a", 1) == ("0",)
    assert list(site.holders()) == ["0"]


def test_a_launch_that_fails_gives_its_reservation_back(site: Site) -> None:
    site.reserve("a", 2)
    site.runtime.images = set()
    with pytest.raises(JobLaunchError):
        site.launch("a", 2)
    assert (site.holders(), site.reservations.job_ids()) == ({}, ())


def test_a_reservation_ends_by_itself_and_whoever_shares_the_gpus_sees_it(site: Site) -> None:
    site.reserve("a", 2, seconds=SHORT)
    until(lambda: not site.holders())
    assert site.reservations.job_ids() == ()


def test_a_reservation_lasts_as_long_as_its_launch_takes(site: Site) -> None:
    site.reserve("a", 1, seconds=1.0)
    with site.reservations.used("a"):
        site.reserve("b", 1, seconds=1.1)
        until(lambda: site.reservations.job_ids() == ("a",))
        assert site.holders() == {"0": "job a of site-1"}
    assert site.holders() == {}


def test_a_reservation_is_renewed_as_long_as_it_is_there(site: Site) -> None:
    site.reserve("a", 1)
    assert site.reservations.renew("a", SHORT)
    until(lambda: not site.holders())
    assert not site.reservations.renew("a", LONG)


def test_a_reservation_is_given_back_by_its_own_nonce_only(site: Site) -> None:
    earlier = site.reserve("a", 1)
    nonce = site.reserve("a", 1)
    site.reservations.give_back("a", earlier)
    site.reservations.give_back("b", nonce)
    assert site.holders() == {"0": "job a of site-1"}
    site.reservations.give_back("a", nonce)
    site.reservations.give_back("a", nonce)
    assert (site.holders(), site.reservations.job_ids()) == ({}, ())


def test_a_reservation_that_a_launch_uses_is_neither_given_back_nor_made_anew(site: Site) -> None:
    nonce = site.reserve("a", 1)
    with site.reservations.used("a"):
        site.reservations.give_back("a", nonce)
        assert site.holders() == {"0": "job a of site-1"}
        with pytest.raises(SiteBusyError, match="job a: it is being launched"):
            site.reserve("a", 1)


def test_one_that_cannot_be_made_leaves_the_earlier_one_of_the_job_as_it_was(site: Site) -> None:
    site.launch("b", 1)
    nonce = site.reserve("a", 1)
    with pytest.raises(NoGpuError):
        site.reserve("a", 2)
    assert site.holders()["1"] == "job a of site-1"
    site.reservations.give_back("a", nonce)
    assert list(site.holders()) == ["0"]


def test_a_reservation_without_gpus_takes_the_place_of_one_with_some(site: Site) -> None:
    site.reserve("a", 2)
    site.reserve("a")
    assert (site.holders(), site.reservations.job_ids()) == ({}, ("a",))


def test_more_gpus_than_there_are_is_never_to_be_had(site: Site) -> None:
    with pytest.raises(JobRejectedError, match="job a: num_of_gpus: more than the 2 GPUs of the site, got 3"):
        site.reserve("a", 3)
    assert site.reservations.job_ids() == ()


def test_a_place_is_taken_from_the_reservation_to_the_end_of_the_job(site: Site) -> None:
    site.reserve("a", most=1)
    with pytest.raises(SiteBusyError, match=r"job b: 1 of the site's 1 places are taken \('max_jobs'\)"):
        site.reserve("b", most=1)
    site.launch("a")
    with pytest.raises(SiteBusyError):
        site.reserve("b", most=1)
    site.end("a")
    site.reserve("b", most=1)


def test_a_job_is_not_in_its_own_way(site: Site) -> None:
    site.reserve("a", most=1)
    site.reserve("a", most=1)
    site.launch("a")
    site.reserve("a", most=1)


def test_jobs_that_were_launched_without_a_reservation_take_places_too(site: Site) -> None:
    site.launch("a")
    with pytest.raises(SiteBusyError):
        site.reserve("b", most=1)


def test_none_can_be_made_before_the_start_or_after_the_end(site: Site) -> None:
    site.reserve("a", 2)
    site.reservations.close()
    site.reservations.close()
    assert (site.holders(), site.reservations.job_ids()) == ({}, ())
    with pytest.raises(SiteBusyError, match="job b: the site is being started, or ends"):
        site.reserve("b")
    site.reservations.open()
    site.reserve("b")


def test_a_site_without_a_workspace_reserves_places_but_no_gpus() -> None:
    launcher = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime(), gpu_ids=IDS)
    keeper = launcher.open_keeper(FakeFLContext("site-1"))
    reservations = Reservations()
    reservations.open()
    with pytest.raises(JobLaunchError, match="job a: a site without a workspace cannot lease GPUs"):
        reservations.make(keeper, "a", 1, None, LONG)
    reservations.make(keeper, "a", 0, None, LONG)
    reservations.close()
    launcher.close()


def test_where_no_thread_can_be_started_a_reservation_ends_when_the_site_is_asked_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(timer: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    site.reserve("a", 2, seconds=SHORT)
    until(lambda: site.reservations.job_ids() == ())
    assert site.holders() == {}
    assert "ends only when the site is asked again: no thread can be started now" in caplog.text


def test_many_threads_reserve_launch_and_give_back_and_no_gpu_is_had_twice(site: Site) -> None:
    in_use: set[str] = set()
    ever_used: set[str] = set()
    lock = threading.Lock()

    def work(number: int) -> None:
        for turn in range(6):
            job_id = f"job-{number}-{turn}"
            try:
                nonce = site.reserve(job_id, 1, most=4)
            except (NoGpuError, SiteBusyError):
                continue
            if turn % 3 == 2:
                site.reservations.give_back(job_id, nonce)
                continue
            gpus = set(site.launch(job_id, 1))
            with lock:
                assert not gpus & in_use
                in_use.update(gpus)
                ever_used.update(gpus)
            with lock:
                in_use.difference_update(gpus)
            site.end(job_id)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert ever_used
    assert (site.holders(), site.reservations.job_ids()) == ({}, ())
