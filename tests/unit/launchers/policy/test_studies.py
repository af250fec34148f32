"""Studies: a job sees what is its own study's, and gets no more than study and site allow."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobRejectedError
from flcore.testing import FakeFLContext
from launchers.container_spec import LABEL_STUDY, ContainerSpec, Mount
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.runtime.fake import FakeRuntime

ARGS = {"exe_module": ("-m", "train")}
ONE, OTHER = "cardio-2026", "onco-2026"
DIGEST, OTHER_DIGEST = (f"sha256:{letter * 64}" for letter in "ab")


def launcher(**keys: Any) -> ClientDockerJobLauncher:
    studies = {
        ONE: {"datasets": {"hearts": "/data/hearts"}, "secrets": {"db": {"env": "HEARTS_DB"}}, "env": {"COHORT": "h"}},
        OTHER: {"datasets": {"tumours": "/data/tumours"}, "secrets": {"pacs": {"env": "PACS", "to_env": "PACS_KEY"}}},
    }
    own: dict[str, Any] = {
        "image": "job:1",
        "datasets": {"digits": "/data/digits"},
        "secrets": {"token": {"env": "TOKEN"}},
    }
    return ClientDockerJobLauncher(runtime=FakeRuntime(), **own | {"studies": studies, "env": {"SITE": "1"}} | keys)


def planned(by: ClientDockerJobLauncher, study: Any = None, **meta: Any) -> ContainerSpec:
    job_meta = {"job_id": "j1", **({} if study is None else {"study": study}), **meta}
    return by.plan(job_meta, FakeFLContext(job_args=ARGS)).spec


def data_of(spec: ContainerSpec) -> dict[str, str]:
    return {mount.target: mount.source for mount in spec.mounts if mount.target.startswith("/data/")}


# --- what a job sees ---


def test_a_job_of_a_study_sees_what_is_that_studys_and_nothing_else() -> None:
    spec = planned(launcher(), ONE)
    assert data_of(spec) == {"/data/hearts": "/data/hearts"}
    assert [secret.name for secret in spec.secrets] == ["db"]
    assert spec.environment == {"SITE": "1", "COHORT": "h", "FLCORE_DATASET_HEARTS": "/data/hearts"}


@pytest.mark.parametrize("study", [None, "", "default"])
def test_a_job_of_none_sees_what_the_sites_own_keys_say(study: str | None) -> None:
    spec = planned(launcher(), study)
    assert data_of(spec) == {"/data/digits": "/data/digits"}
    assert [secret.name for secret in spec.secrets] == ["token"]
    assert "COHORT" not in spec.environment


def test_a_studys_variable_is_in_place_of_the_sites() -> None:
    assert planned(launcher(studies={ONE: {"env": {"SITE": "2"}}}), ONE).environment == {"SITE": "2"}


def test_a_job_joins_its_studys_network_and_may_name_that_alone() -> None:
    by = launcher(network="site-net", studies={ONE: {"network": "cardio-net"}, OTHER: {}})
    assert [planned(by, study).network for study in (ONE, OTHER, None)] == ["cardio-net", "site-net", "site-net"]
    wanting = {"launcher_spec": {"default": {"docker": {"network": "site-net"}}}}
    assert planned(by, **wanting).network == "site-net"
    with pytest.raises(JobRejectedError, match="no job may ask for it"):
        planned(by, ONE, **wanting)


def test_without_the_key_a_study_is_only_a_word() -> None:
    assert data_of(planned(launcher(studies=None), "whatever")) == {"/data/digits": "/data/digits"}


# --- what is refused ---


def test_a_study_that_the_site_does_not_list_is_refused_by_its_name() -> None:
    with pytest.raises(
        JobRejectedError, match=r"job j1: study: is no study of site site-1 \('studies'\), got 'stroke'"
    ):
        planned(launcher(), "stroke")
    with pytest.raises(JobRejectedError, match="is no study of site site-1"):
        planned(launcher(studies={}), ONE)


@pytest.mark.parametrize("study", [1, True, [ONE], {"name": ONE}, "../cardio", "a" * 200, "cardio-2026\n"])
def test_what_is_no_name_of_a_study_is_refused(study: Any) -> None:
    with pytest.raises(JobRejectedError, match="study: must be a study's name"):
        planned(launcher(), study)


@pytest.mark.parametrize("study", [None, "", "default"])
def test_a_site_may_run_jobs_of_studies_only(study: str | None) -> None:
    assert planned(launcher(study_required=True), ONE)
    with pytest.raises(JobRejectedError, match=r"runs jobs of its studies only \('study_required'\)"):
        planned(launcher(study_required=True), study)


# --- no wider than the site ---


def naming(image: str) -> dict[str, Any]:
    return {"launcher_spec": {"default": {"docker": {"image": image}}}}


def test_an_image_must_be_on_both_lists() -> None:
    by = launcher(image=None, images=["team/*"], studies={ONE: {"images": ["team/hearts", "elsewhere/any"]}})
    assert planned(by, ONE, **naming("team/hearts:1")).image == "team/hearts:1"
    assert planned(by, **naming("team/tumours:1")).image == "team/tumours:1"
    with pytest.raises(JobRejectedError, match=rf"\('studies.{ONE}.images'\), got 'team/tumours:1'"):
        planned(by, ONE, **naming("team/tumours:1"))
    with pytest.raises(JobRejectedError, match=r"\('images'\), got 'elsewhere/any:1'"):
        planned(by, ONE, **naming("elsewhere/any:1"))


def test_the_sites_own_image_must_be_on_a_studys_list_if_that_has_one() -> None:
    assert planned(launcher(studies={ONE: {"images": ["job"]}}), ONE).image == "job:1"
    way_out = f"or have the site say 'studies.{ONE}.image', got 'job:1'"
    with pytest.raises(JobRejectedError, match=rf"launcher_spec: names no image, .* not on the list .* {way_out}"):
        planned(launcher(studies={ONE: {"images": ["team/*"]}}), ONE)


def test_both_lists_digests_bind() -> None:
    def digests(own: str, of_study: str) -> tuple[str, ...]:
        by = launcher(image=None, images=[f"job{own}"], studies={ONE: {"images": [f"job{of_study}"]}})
        return planned(by, ONE, **naming("job:1")).image_digests

    assert digests("", f"@{DIGEST}") == digests(f"@{DIGEST}", "") == digests(f"@{DIGEST}", f"@{DIGEST}") == (DIGEST,)
    with pytest.raises(JobRejectedError, match="other digests"):
        digests(f"@{DIGEST}", f"@{OTHER_DIGEST}")


def test_limits_of_both_hold_and_a_default_is_no_more_than_they_are() -> None:
    by = launcher(
        limits={"memory": "8Gi", "num_of_cpus": 4},
        defaults={"memory": "4Gi"},
        studies={ONE: {"limits": {"memory": "2Gi"}}},
    )
    assert [(spec.memory, spec.cpus) for spec in (planned(by, ONE), planned(by))] == [(2 << 30, 4), (4 << 30, 4)]
    with pytest.raises(JobRejectedError, match=rf"site's limit of 2Gi \('studies.{ONE}.limits'\), got '3Gi'"):
        planned(by, ONE, resource_spec={"site-1": {"memory": "3Gi"}})
    with pytest.raises(JobRejectedError, match=r"site's limit of 4.0 \('limits'\), got 5"):
        planned(by, ONE, resource_spec={"site-1": {"num_of_cpus": 5}})


def test_a_study_s_own_image_is_for_its_jobs_that_name_none_and_always_allowed() -> None:
    by = launcher(studies={ONE: {"image": "cardio:1", "images": ["team/*"]}, OTHER: {}})
    assert [planned(by, study).image for study in (ONE, OTHER, None)] == ["cardio:1", "job:1", "job:1"]


@pytest.mark.parametrize(("study", "volunteers"), [(ONE, True), (OTHER, False), (None, False), ("unknown", False)])
def test_a_launcher_volunteers_for_jobs_of_a_study_that_has_an_image(study: str | None, volunteers: bool) -> None:
    by = launcher(image=None, studies={ONE: {"image": "cardio:1"}, OTHER: {}})
    assert by.can_launch({"job_id": "j1", "study": study}, FakeFLContext(job_args=ARGS)) is volunteers


def test_what_studies_share_with_the_site_is_looked_for_once() -> None:
    by = launcher(network="net", studies={ONE: {"image": "job:1", "network": "net"}})
    assert (by.policy.study_networks(), by.policy.study_images()) == ((), ())


def test_a_check_looks_for_the_networks_and_images_of_studies() -> None:
    by = launcher(datasets={}, secrets={}, studies={ONE: {"image": "cardio:1", "network": "cardio-net"}})
    told = {(found.what, found.detail.partition(" ")[0]) for found in by.check()}
    assert {
        ("image", "job:1"),
        ("image", "cardio:1"),
        ("network", "nvflare-network"),
        ("network", "cardio-net"),
    } <= told


# --- the site's config ---


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ([], "studies must be an object, got"),
        ({"a b": {}}, "studies: a study's name is letters"),
        ({"default": {}}, r"studies.default: to NVIDIA FLARE, a job of the study 'default' is one of none"),
        ({"s": []}, "studies.s must be an object, got"),
        ({"s": {"dataset": {}}}, "studies.s: unknown key 'dataset'; did you mean 'datasets'"),
        ({"s": {"datasets": {"a": "b"}}}, "studies.s.datasets.a must be an absolute path"),
        ({"s": {"secrets": {"a": {}}}}, "studies.s.secrets.a must be"),
        ({"s": {"env": {"A": "1"}, "secrets": {"a": {"env": "X", "to_env": "A"}}}}, "'env' sets A, too"),
        ({"s": {"secrets": {"a": {"env": "X", "to_env": "SITE"}}}}, "'env' sets SITE, too"),
        ({"s": {"images": ["a b"]}}, "studies.s.images must be names of images"),
        ({"s": {"limits": {"ram": 1}}}, "studies.s.limits: unknown key 'ram'"),
        (
            {"s": {"limits": {"memory": "9Gi"}}},
            "studies.s.limits.memory must be no more than limits.memory, 8Gi, got 9Gi",
        ),
        ({"s": {"limits": {"num_of_gpus": 1}}}, "studies.s.limits.num_of_gpus must be no more than the 0 of 'gpu_ids'"),
        ({"s": {"network": "host"}}, "network is insecure"),
        ({"s": {"datasets": {"a": "/etc"}}}, "datasets is insecure"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(said: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        launcher(studies=said, limits={"memory": "8Gi"})


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"studies\.a\.network") as raised:
        launcher(studies={"a": {"network": 1, "images": 2}, "b": {"env": 3}})
    assert len(str(raised.value).splitlines()) == 3


def test_local_processes_have_no_network_and_no_image_of_a_study() -> None:
    assert ClientProcessJobLauncher(studies={ONE: {"datasets": {"a": "/data/a"}}})
    with pytest.raises(ValueError, match=r"studies\.s\.network: jobs of this launcher are local processes"):
        ClientProcessJobLauncher(studies={"s": {"network": "a"}})


# --- what is told ---


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what does not connect, the SDK leaves to the collector
def test_what_a_job_would_see_is_told_with_the_keys_that_say_so(tmp_path: Path) -> None:
    study = {"datasets": {"a": str(tmp_path)}, "limits": {"memory": "1Gi"}}
    by = ClientDockerJobLauncher(image="job:1", docker_host="unix:///nowhere", studies={ONE: study})
    with closing(by):
        told = by.describe_launch({"job_id": "j1", "study": ONE}, FakeFLContext(job_args=ARGS)).origins
    assert told["HostConfig.Mounts"] == f"site: studies.{ONE}.datasets"
    assert told["Env.FLCORE_DATASET_A"] == f"site: studies.{ONE}.datasets"
    assert told["HostConfig.Memory"] == f"site: studies.{ONE}.limits.memory"
    gc.collect()


def test_a_check_looks_at_the_data_of_every_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWN", "1")
    studies = {
        ONE: {"datasets": {"a": str(tmp_path)}},
        OTHER: {"datasets": {"b": "/nowhere"}, "secrets": {"c": {"env": "KNOWN"}}},
    }
    by = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime(), studies=studies)
    told = {check.what: check.ok for check in by.check()}
    assert told[f"dataset a of the study {ONE}"]
    assert not told[f"dataset b of the study {OTHER}"]
    assert told[f"secret c of the study {OTHER}"]


def test_a_mount_of_data_is_read_only() -> None:
    assert Mount("/data/hearts", "/data/hearts", read_only=True) in planned(launcher(), ONE).mounts


def test_the_folder_of_a_studys_job_may_hold_no_more_than_the_study_allows() -> None:
    by = launcher(limits={"disk": "10Gi"}, studies={ONE: {"limits": {"disk": "1Gi"}}, OTHER: {}})
    assert planned(by, ONE).disk == 1 << 30
    assert planned(by, OTHER).disk == 10 << 30
    with pytest.raises(JobRejectedError, match=rf"'studies.{ONE}.limits'"):
        planned(by, ONE, resource_spec={"site-1": {"disk": "2Gi"}})
    with pytest.raises(ValueError, match=rf"studies.{ONE}.limits.disk must be no more than limits.disk, 10Gi, got 1Ti"):
        launcher(limits={"disk": "10Gi"}, studies={ONE: {"limits": {"disk": "1Ti"}}})


# --- what its container says ---


@pytest.mark.parametrize(("studies", "study"), [({ONE: {}}, ONE), (None, "any-word")])
def test_a_container_is_found_by_the_study_of_its_job(studies: Any, study: str) -> None:
    assert planned(launcher(studies=studies), study).labels[LABEL_STUDY] == study


@pytest.mark.parametrize("study", [None, "default"])
def test_the_container_of_a_job_of_none_says_no_study(study: str | None) -> None:
    assert LABEL_STUDY not in planned(launcher(), study).labels


def test_a_launcher_tells_which_studies_it_knows_and_that_it_has_no_list() -> None:
    assert (launcher().known_studies(), launcher(studies=None).known_studies()) == ((ONE, OTHER), None)
