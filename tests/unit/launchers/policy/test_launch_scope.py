"""What a launcher says that a job would see: what it will see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobRejectedError
from flcore.job_scope import JobScope, SeenDataset
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.policy.image_reference import ImageRule
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.runtime.fake import FakeRuntime

ARGS = {"exe_module": ("-m", "train")}
STUDY = "cardio-2026"


def scope(by: ClientDockerJobLauncher | ClientProcessJobLauncher, **meta: Any) -> JobScope:
    found = by.describe_launch({"job_id": "j1", **meta}, FakeFLContext(job_args=ARGS)).scope
    assert found
    return found


def docker(**keys: Any) -> ClientDockerJobLauncher:
    return ClientDockerJobLauncher(**{"runtime": FakeRuntime(), "image": "job:1", **keys})


def test_a_job_of_a_study_is_told_what_is_that_studys(tmp_path: Path) -> None:
    study = {
        "datasets": {"hearts": str(tmp_path)},
        "secrets": {"db": {"env": "DB", "to_env": "DB_KEY"}},
        "images": ["team/cardio"],
        "limits": {"memory": "1Gi"},
        "network": "cardio-net",
    }
    own: dict[str, Any] = {"datasets": {"digits": "/data/digits"}, "images": ["team/*"]}
    limits = {"memory": "2Gi", "num_of_cpus": 2}
    by = docker(image="team/cardio:1", studies={STUDY: study}, limits=limits, **own)
    found = scope(by, study=STUDY)
    assert found == JobScope(
        study=STUDY,
        datasets=(SeenDataset("hearts", "/data/hearts", str(tmp_path)),),
        secrets={"db": "variable DB of the site's process, as the file /run/secrets/db, and in the variable DB_KEY"},
        image="team/cardio:1",
        images=(("team/cardio",), ("team/*",)),
        limits={"num_of_gpus": "0", "num_of_cpus": "2", "memory": "1Gi"},
        network="cardio-net",
    )


def test_a_job_of_none_is_told_what_the_sites_own_keys_say(tmp_path: Path) -> None:
    found = scope(docker(datasets={"digits": str(tmp_path)}, studies={STUDY: {}}))
    assert (found.study, [one.name for one in found.datasets]) == ("", ["digits"])


def test_a_study_that_is_not_listed_has_no_scope_but_a_refusal() -> None:
    with pytest.raises(JobRejectedError, match="is no study of site"):
        scope(docker(studies={STUDY: {}}), study="onco")


def test_where_no_study_is_listed_it_is_only_a_word() -> None:
    found = scope(docker(), study="onco")
    assert (found.study, found.is_listed) == ("onco", False)


def test_what_all_jobs_see_of_the_host_is_told_too() -> None:
    found = scope(docker(mounts=[{"source": "/srv/cache", "target": "/cache", "read_only": False}]))
    assert found.mounts == (SeenDataset("", "/cache", "/srv/cache", read_only=False),)


def test_a_network_of_a_job_s_own_is_told_to_be_that() -> None:
    assert scope(docker(network={"per_job": True})).network == "one of each job's own"


def test_no_value_of_a_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB", "hush-hush")
    by = docker(studies={STUDY: {"secrets": {"db": {"env": "DB", "to_env": "DB_KEY"}}}})
    launch = by.describe_launch({"job_id": "j1", "study": STUDY}, FakeFLContext(job_args=ARGS))
    assert "hush-hush" not in repr(launch)


def test_a_network_of_its_own_is_the_same_for_each_job() -> None:
    own: dict[str, Any] = {"per_job": True}
    assert scope(docker(network=own)).network == "one of each job's own"
    without = {**own, "parent": "none"}
    assert scope(docker(network=without)).network == "one of each job's own, without the engine's host"


def test_a_local_process_has_no_image_and_no_network_and_sees_data_where_the_site_has_it(tmp_path: Path) -> None:
    by = ClientProcessJobLauncher(studies={STUDY: {"datasets": {"hearts": str(tmp_path)}}})
    found = scope(by, study=STUDY)
    assert (found.image, found.images, found.network) == ("", None, "")
    assert str(found.datasets[0]) == f"hearts: {tmp_path}, read-only"


@pytest.mark.parametrize(
    "rule", ["*", "job", "job:1", "team/*:3.*", "registry.example.com/fl/*", f"job@sha256:{'a' * 64}"]
)
def test_a_rule_for_images_is_told_as_the_config_says_it(rule: str) -> None:
    assert str(ImageRule.parse(rule)) == rule
