"""A kit's own file of studies: what it says comes to jobs, or it is an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import ConfigError, JobRejectedError
from flcore.testing import FakeFLContext
from launchers.container_spec import ContainerSpec
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.flare.study_file import STUDY_FILE, read_studies, take_in_studies
from launchers.policy.launch_origins import SiteKeys, origins
from launchers.runtime.docker_request import create_request
from launchers.runtime.fake import FakeRuntime

ARGS = {"exe_module": ("-m", "train")}
WHOLE = """
format_version: 2
studies:
  cardio:
    container: {image: "cardio:1"}
    datasets:
      hearts: {source: /srv/cardio/hearts, mode: ro}
      more: {type: mount, source: /srv/cardio/more, mode: ro}
    env: {COHORT: 3, DEBUG: true}
    secret_env:
      DB_PASSWORD: {source: CARDIO_PASSWORD, key: password}
    secret_mounts:
      db-ca: {source: /etc/cardio.pem, mount_path: /run/db/ca.pem, mode: ro}
  default:
    datasets:
      digits: {source: /srv/digits, mode: ro}
"""


def kit(folder: Path, text: str) -> Path:
    (folder / "local").mkdir(parents=True)
    (folder / STUDY_FILE).write_text(text)
    return folder


def launcher(root: Path, **keys: Any) -> ClientDockerJobLauncher:
    by = ClientDockerJobLauncher(**{"image": "job:1", "runtime": FakeRuntime(), **keys})
    take_in_studies(by, root)
    return by


def planned(by: ClientDockerJobLauncher, **meta: Any) -> ContainerSpec:
    return by.plan({"job_id": "j1", **meta}, FakeFLContext(job_args=ARGS)).spec


# --- what jobs see ---


def test_a_job_of_a_study_sees_what_the_file_says_where_nvidia_flare_would_show_it(tmp_path: Path) -> None:
    spec = planned(launcher(kit(tmp_path, WHOLE)), study="cardio")
    assert {mount.target: (mount.source, mount.read_only) for mount in spec.mounts} == {
        "/data/cardio/hearts": ("/srv/cardio/hearts", True),
        "/data/cardio/more": ("/srv/cardio/more", True),
    }
    assert spec.environment == {
        "COHORT": "3",
        "DEBUG": "true",
        "FLCORE_DATASET_HEARTS": "/data/cardio/hearts",
        "FLCORE_DATASET_MORE": "/data/cardio/more",
    }
    assert spec.image == "cardio:1"
    variable, file = spec.secrets
    assert (variable.env, variable.to_env) == ("CARDIO_PASSWORD", "DB_PASSWORD")
    assert (file.file, file.target) == ("/etc/cardio.pem", "/run/db/ca.pem")


@pytest.mark.parametrize("study", [{}, {"study": "default"}])
def test_the_study_default_is_what_jobs_of_none_see(study: dict[str, str], tmp_path: Path) -> None:
    spec = planned(launcher(kit(tmp_path, WHOLE)), **study)
    assert {mount.target: mount.source for mount in spec.mounts} == {"/data/default/digits": "/srv/digits"}
    assert (spec.image, spec.secrets) == ("job:1", ())


@pytest.mark.parametrize("text", [WHOLE, "format_version: 2\nstudies: {default: {}}\n"], ids=["some", "default-only"])
def test_a_job_of_a_study_that_the_file_does_not_name_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(JobRejectedError, match="study: is no study of site"):
        planned(launcher(kit(tmp_path, text)), study="onco")


def test_a_job_names_an_image_in_place_of_its_study_s_as_ever(tmp_path: Path) -> None:
    wish = {"launcher_spec": {"default": {"docker": {"image": "team/x:1"}}}}
    assert planned(launcher(kit(tmp_path, WHOLE), images=["team/*"]), study="cardio", **wish).image == "team/x:1"


@pytest.mark.parametrize("text", ["format_version: 2\nstudies: {}\n", "format_version: 2\nstudies:\n"])
def test_a_file_without_studies_changes_nothing(text: str, tmp_path: Path) -> None:
    by = launcher(kit(tmp_path, text), datasets={"digits": "/srv/digits"})
    assert "/data/digits" in [mount.target for mount in planned(by, study="any").mounts]


def test_without_a_file_all_is_as_the_launcher_says(tmp_path: Path) -> None:
    assert launcher(tmp_path).known_studies() is None


def test_studies_of_the_launcher_stand_beside_those_of_the_file(tmp_path: Path) -> None:
    by = launcher(kit(tmp_path, WHOLE), studies={"onco": {"datasets": {"t": "/srv/t"}}})
    assert by.known_studies() == ("onco", "cardio")
    assert [mount.target for mount in planned(by, study="onco").mounts] == ["/data/t"]


def test_who_decides_is_told_by_the_file(tmp_path: Path) -> None:
    by = launcher(kit(tmp_path, WHOLE), network="net")
    plan = by.plan({"job_id": "j1", "study": "cardio"}, FakeFLContext(job_args=ARGS))
    keys = SiteKeys(by.given, by.policy.within(plan.request.study), by.env)
    told = origins(create_request(plan.spec), plan.request, keys)
    assert told["Image"] == "site: local/study_runtime.yaml: studies.cardio.container.image"
    assert told["Env.COHORT"] == "site: local/study_runtime.yaml: studies.cardio.env"
    assert told["Env.FLCORE_DATASET_HEARTS"] == "site: local/study_runtime.yaml: studies.cardio.datasets"
    assert told["HostConfig.NetworkMode"] == "site: network"


def test_it_may_be_taken_in_twice(tmp_path: Path) -> None:
    by = launcher(kit(tmp_path, WHOLE))
    take_in_studies(by, tmp_path)
    assert by.known_studies() == ("cardio",)


# --- what cannot be ---


def of_study(text: str) -> str:
    return f"format_version: 2\nstudies:\n  s:\n    {text}\n"


WRONG = {
    "no-yaml": ("a: [", "line 1: is no YAML: "),
    "a-list": ("[]", "must be an object, got []"),
    "no-version": ("studies: {}", "format_version: must be 2, got None"),
    "old-version": ("format_version: 1\nstudies: {}", "format_version: must be 2, got 1"),
    "unknown": ("format_version: 2\nstudy: {}", "unknown key 'study'; did you mean 'studies'?"),
    "twice": ("format_version: 2\nstudies:\n  s: {}\n  s: {}", "line 4: 's' stands there twice"),
    "an-object": ("format_version: 2\nstudies:\n  s: {}\n  !!python/object:os.x y: {}", "is no YAML: could not"),
    "name": ("format_version: 2\nstudies: {a b: {}}", "studies: a study's name is letters, digits"),
    "number": ("format_version: 2\nstudies: {7: {}}", "studies: a study's name is letters, digits"),
    "no-study": ("format_version: 2\nstudies: {s: 1}", "studies.s: must be an object, got 1"),
    "key": (of_study("dataset: {}"), "studies.s: unknown key 'dataset'; did you mean 'datasets'?"),
    "docker": (of_study("docker_kwargs: {shm_size: 8g}"), "studies.s.docker_kwargs: what a container gets is said by"),
    "pod": (of_study("pod_template: x.yaml"), "studies.s.pod_template: jobs of this launcher are no pods"),
    "slurm": (of_study("slurm: {}"), "studies.s.slurm: jobs of this launcher are none of Slurm's"),
    "image": (of_study("container: {image: 7}"), "studies.s.container.image must be"),
    "image-key": (of_study("container: {imag: x}"), "studies.s.container: unknown key 'imag'; did you mean 'image'?"),
    "rw": (
        of_study("datasets: {d: {source: /d, mode: rw}}"),
        "studies.s.datasets.d.mode: must be 'ro', got 'rw': ",
    ),
    "mode": (of_study("datasets: {d: {source: /d}}"), "studies.s.datasets.d.mode: must be 'ro', got None"),
    "type": (of_study("datasets: {d: {type: x, source: /d, mode: ro}}"), "studies.s.datasets.d.type: must be 'mount'"),
    "relative": (of_study("datasets: {d: {source: d, mode: ro}}"), "studies.s.datasets.d.source must be an absolute"),
    "path": (of_study("datasets: {../d: {source: /d, mode: ro}}"), "studies.s.datasets.../d: a dataset's name is"),
    "insecure": (of_study("datasets: {d: {source: /etc, mode: ro}}"), "datasets is insecure"),
    "env": (of_study("env: {A: }"), "studies.s.env.A: must be a text or a number, and not empty, got None"),
    "env-list": (of_study("env: {A: [1]}"), "studies.s.env.A: must be a text or a number"),
    "env-name": (of_study("env: {A-B: x}"), "studies.s.env: must name variables, got 'A-B'"),
    "env-ours": (of_study("env: {PYTHONPATH: x}"), "studies.s.env: PYTHONPATH is set by the launcher"),
    "token": (of_study("secret_env: {NVFLARE_JOB_SSID: {source: A}}"), "NVFLARE_JOB_SSID is set by the launcher"),
    "source": (of_study("secret_env: {A: {source: a b}}"), "studies.s.secret_env.A.source: must be the name of a"),
    "both": (of_study("{env: {A: x}, secret_env: {A: {source: B}}}"), "studies.s: env and secret_env both set A"),
    "mount": (of_study("secret_mounts: {m: {source: /m}}"), "studies.s.secret_mounts.m.mount_path must be an absolute"),
    "writable": (
        of_study("secret_mounts: {m: {source: /m, mount_path: /m, mode: rw}}"),
        "studies.s.secret_mounts.m.mode: must be 'ro', got 'rw'",
    ),
    "items": (
        of_study("secret_mounts: {m: {source: /m, mount_path: /m, items: {a: b}}}"),
        "studies.s.secret_mounts.m.items: it is for Kubernetes: leave it out",
    ),
    "folder": (
        of_study("secret_mounts: {m: {source: /usr, mount_path: /m}}"),
        "studies.s.secret_mounts.m.source: /usr is a folder: here a secret is a file; name each by an entry",
    ),
    "one-place": (
        of_study("secret_mounts: {m: {source: /m, mount_path: /x}, n: {source: /n, mount_path: /x}}"),
        "studies.s: secret_mounts: two are at /x",
    ),
}


@pytest.mark.parametrize(("text", "error"), WRONG.values(), ids=WRONG)
def test_what_it_cannot_mean_here_is_an_error_that_names_file_and_place(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        launcher(kit(tmp_path, text))
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{tmp_path / STUDY_FILE}: ") for line in lines)
    assert any(error in line for line in lines), lines


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = "format_version: 1\nstudies:\n  a: {slurm: {}, datasets: {d: {source: d, mode: ro}}}\n  b: {env: 7}\n"
    with pytest.raises(ConfigError) as raised:
        launcher(kit(tmp_path, text))
    assert len(str(raised.value).splitlines()) == 4


def test_a_study_that_both_name_is_an_error_for_nobody_could_tell_which_counts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"studies\.cardio: the launcher's 'studies' name cardio, too; say it in one"):
        launcher(kit(tmp_path, WHOLE), studies={"cardio": {}})


def test_so_is_what_both_say_of_jobs_of_no_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"studies\.default: the launcher's 'datasets' say what jobs of no study see"):
        launcher(kit(tmp_path, WHOLE), datasets={"a": "/srv/a"})


def test_after_an_error_the_launcher_is_as_it_was(tmp_path: Path) -> None:
    by = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime())
    before = by.policy
    with pytest.raises(ConfigError, match="insecure"):
        take_in_studies(by, kit(tmp_path, of_study("datasets: {d: {source: /etc, mode: ro}}")))
    assert by.policy == before


def test_where_nobody_can_read_yaml_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match="to read it takes PyYAML"):
        read_studies(kit(tmp_path, WHOLE) / STUDY_FILE)
