"""SubmittedJob: what it is called, and the ids of its runs. What is wrong with one is in ``test_broken_configs.py``."""

import json
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import ConfigError, JobRejectedError
from flcore.job_meta import get_app
from flcore.submitted_job import SubmittedJob


def write_job(folder: Path, meta: dict[str, Any]) -> SubmittedJob:
    (folder / "app").mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"deploy_map": {"app": ["server", "site-1"]}, **meta}))
    return SubmittedJob.read(folder)


def test_a_job_folder_has_its_metadata(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", {"name": "digits"})
    assert (job.path, job.meta["name"]) == (tmp_path / "job", "digits")


@pytest.mark.parametrize(
    ("folder", "meta", "name"),
    [
        ("job", {"name": "digits"}, "digits"),
        ("my-job", {}, "my-job"),
        ("my-job", {"name": "with a blank"}, "my-job"),
        ("my-job", {"name": 5}, "my-job"),
        ("my job", {}, "job"),
    ],
)
def test_a_job_is_named_by_its_metadata_or_its_folder(
    tmp_path: Path, folder: str, meta: dict[str, Any], name: str
) -> None:
    assert write_job(tmp_path / folder, meta).name == name


def test_each_run_of_a_job_gets_an_id_of_its_own_that_begins_with_its_name(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", {"name": "digits" + "x" * 100})
    first, second = job.new_job_id(), job.new_job_id()
    assert first.startswith("digits")
    assert len(first) <= 49
    assert first != second


@pytest.mark.parametrize(
    ("deploy_map", "path", "site"),
    [
        ({"app": ["server", "site-1"], "other": ["site-2", "site-1"]}, "deploy_map.other[1]", "site-1"),
        ({"app": ["@ALL"], "other": {"sites": ["site-1"]}}, "deploy_map.other", "site-1"),
        ({"app": ["@all"], "other": ["@ALL"]}, "deploy_map.other[0]", "@ALL"),
    ],
)
def test_a_site_with_two_apps_would_get_only_one_of_them_and_is_refused(
    tmp_path: Path, deploy_map: dict[str, Any], path: str, site: str
) -> None:
    (tmp_path / "job" / "other").mkdir(parents=True)
    with pytest.raises(JobRejectedError) as raised:
        write_job(tmp_path / "job", {"deploy_map": deploy_map})
    why = f"a site runs one app, and app is this one's already, got '{site}'"
    assert str(raised.value) == f"{tmp_path}/job/meta.json: {path}: {why}"


def test_an_app_for_all_sites_is_that_of_those_that_no_other_names(tmp_path: Path) -> None:
    (tmp_path / "job" / "rest").mkdir(parents=True)
    job = write_job(tmp_path / "job", {"deploy_map": {"app": ["server", "site-1", "site-1"], "rest": ["@ALL"]}})
    assert [get_app(job.meta, site) for site in ("server", "site-1", "site-2")] == ["app", "app", "rest"]


HOCON = """
name = "sag"
deploy_map { app = [server, "site-1"] }
min_clients = 9
"""


def test_a_job_may_have_its_metadata_as_hocon_as_most_templates_of_nvidia_flare_do(tmp_path: Path) -> None:
    pytest.importorskip("pyhocon", reason="of the extra [hocon]")
    (tmp_path / "app").mkdir()
    (tmp_path / "meta.conf").write_text(HOCON)
    job = SubmittedJob.read(tmp_path)
    assert (job.name, [deployment.app for deployment in job.deployments]) == ("sag", ["app", "app"])


def test_what_is_wrong_with_a_hocon_job_names_its_file(tmp_path: Path) -> None:
    pytest.importorskip("pyhocon", reason="of the extra [hocon]")
    (tmp_path / "app").mkdir()
    (tmp_path / "meta.conf").write_text(HOCON)
    with pytest.raises(JobRejectedError) as raised:
        SubmittedJob.read(tmp_path).min_clients(1)
    assert str(raised.value).startswith(f"{tmp_path}/meta.conf: min_clients: ")


@pytest.mark.parametrize("name", ["meta.yml", "meta.yaml", "meta.json.default", "META.JSON", "meta.toml"])
def test_metadata_in_a_file_that_is_not_read_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("name: sag")
    with pytest.raises(ConfigError) as raised:
        SubmittedJob.read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: its metadata is in {name}, which is not read; write it as meta.json, or in HOCON as meta.conf"
    )


@pytest.mark.parametrize("name", ["", "meta", "metadata.yml", "meta.\x1b[2J", "meta.yml\n", f"meta.{'x' * 200}"])
def test_a_folder_with_no_such_file_says_what_it_lacks(tmp_path: Path, name: str) -> None:
    (tmp_path / (name or "app")).touch()
    with pytest.raises(ConfigError) as raised:
        SubmittedJob.read(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/meta.json: cannot be read: No such file")


def test_of_two_files_of_metadata_the_json_counts_as_in_nvidia_flare(tmp_path: Path) -> None:
    write_job(tmp_path / "job", {"name": "json"})
    (tmp_path / "job" / "meta.conf").write_text(HOCON)
    assert SubmittedJob.read(tmp_path / "job").name == "json"


@pytest.mark.parametrize("beside", [[], [".git", "__pycache__"]])
def test_the_one_app_of_a_job_without_a_deploy_map_is_for_all_sites(tmp_path: Path, beside: list[str]) -> None:
    for name in ("hello", *beside):
        (tmp_path / name).mkdir()
    (tmp_path / "meta.json").write_text("{}")
    assert SubmittedJob.read(tmp_path).meta == {"deploy_map": {"hello": ["@ALL"]}}


@pytest.mark.parametrize(("apps", "there"), [((), "no folder"), (("one", "two"), "the folders one, two")])
def test_which_app_a_job_without_a_deploy_map_runs_is_not_guessed(
    tmp_path: Path, apps: tuple[str, ...], there: str
) -> None:
    for name in apps:
        (tmp_path / name).mkdir()
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(ConfigError) as raised:
        SubmittedJob.read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: its metadata has no deploy_map, and beside it is {there}; say which is the app of which site, as "
        '{"deploy_map": {"app": ["site-1"]}}'
    )
