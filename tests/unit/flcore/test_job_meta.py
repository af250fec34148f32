"""job_meta: what another party wrote about a job."""

from typing import Any

import pytest

from flcore.config.strict_json import shown
from flcore.errors import JobRejectedError
from flcore.job_meta import (
    Deployment,
    get_app,
    get_deployments,
    get_job_id,
    get_mandatory_clients,
    get_min_clients,
    get_object,
    is_identifier,
    rejection,
)

RULE = "must be 1 to 128 letters, digits, '.', '_' or '-', and begin with a letter or digit"


def meta(**values: Any) -> dict[str, Any]:
    return {"job_id": "j1", **values}


# --- identifiers ---


@pytest.mark.parametrize("value", ["a", "site-1", "Job_2.b", "9", "x" * 128, "0e1f-2a"])
def test_an_identifier_may_be(value: str) -> None:
    assert is_identifier(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-a",
        ".",
        "..",
        ".hidden",
        "_a",
        "a/b",
        "../a",
        "a b",
        "a\n",
        "a\0",
        "é",
        "٣",
        "x" * 129,
        None,
        5,
        True,
        ["a"],
    ],
)
def test_an_identifier_may_not_be(value: Any) -> None:
    assert not is_identifier(value)


def test_the_job_id_is_read() -> None:
    assert get_job_id({"job_id": "j1"}) == "j1"


@pytest.mark.parametrize(
    ("job_meta", "error"),
    [
        ({}, f"job_id: {RULE}, got None"),
        ({"job_id": None}, f"job_id: {RULE}, got None"),
        ({"job_id": 7}, f"job 7: job_id: {RULE}, got 7"),
        ({"job_id": "../up"}, f"job ../up: job_id: {RULE}, got '../up'"),
        ({"job_id": "startup"}, "job startup: job_id: is the name of a folder of the site's own, got 'startup'"),
        ({"job_id": "Local"}, "job Local: job_id: is the name of a folder of the site's own, got 'Local'"),
        ([], "a job's metadata must be an object, not list"),
        (None, "a job's metadata must be an object, not NoneType"),
    ],
)
def test_a_job_without_a_usable_id_is_rejected(job_meta: Any, error: str) -> None:
    with pytest.raises(JobRejectedError) as raised:
        get_job_id(job_meta)
    assert str(raised.value) == error


# --- deploy_map ---


def test_a_number_that_python_does_not_write_is_refused_all_the_same() -> None:
    with pytest.raises(JobRejectedError, match="got a huge int"):
        get_job_id({"job_id": 10**5000})


def test_an_entry_of_the_deploy_map_is_a_site_all_sites_or_an_object() -> None:
    job_meta = meta(deploy_map={"app": ["server", {"sites": ["site-1", "site-2"], "image": "i:1"}], "other": ["@ALL"]})
    assert get_deployments(job_meta) == (
        Deployment("app", ("server",)),
        Deployment("app", ("site-1", "site-2"), "i:1"),
        Deployment("other", ("@ALL",)),
    )


@pytest.mark.parametrize(
    "value",
    [
        ["site-1", "site-2"],
        [{"targets": ["site-1", "site-2"]}],
        [{"sites": None, "targets": ["site-1"]}, "site-2"],
        {"sites": ["site-1", "site-2"]},
        {"targets": ["site-1", "site-2"], "sites": None},
        {"targets": ["site-1", "site-2"], "sites": ["site-1", "site-2"]},
    ],
)
def test_an_apps_sites_may_be_said_in_all_ways_that_nvidia_flare_knows(value: Any) -> None:
    entries = get_deployments(meta(deploy_map={"app": value}))
    assert [site for entry in entries for site in entry.sites] == ["site-1", "site-2"]


def test_an_apps_sites_may_be_one_text_which_is_one_site() -> None:
    assert get_deployments(meta(deploy_map={"app": "site-10"})) == (Deployment("app", ("site-10",)),)
    assert get_app(meta(deploy_map={"app": "site-10"}), "site-1") is None


def test_an_object_in_place_of_a_list_may_have_an_image() -> None:
    (entry,) = get_deployments(meta(deploy_map={"app": {"sites": ["@all"], "image": "i:1"}}))
    assert (entry.image, entry.path, entry.covers("site-1")) == ("i:1", "deploy_map.app", True)


def test_an_object_of_the_deploy_map_may_name_all_sites() -> None:
    for all_sites in ("@ALL", "@all", "@All"):
        (entry,) = get_deployments(meta(deploy_map={"app": [{"sites": [all_sites]}]}))
        assert entry.covers("whoever")


def test_without_a_deploy_map_the_job_is_for_nobody() -> None:
    assert get_deployments(meta()) == ()
    assert get_app(meta(), "site-1") is None


def test_sites_are_a_list_and_never_a_part_of_a_text() -> None:
    assert get_app(meta(deploy_map={"app": ["site-10"]}), "site-1") is None


def test_a_sites_app_is_that_of_the_first_entry_that_names_it() -> None:
    job_meta = meta(deploy_map={"one": ["site-1"], "two": ["site-1", "site-2"], "rest": ["@ALL"]})
    assert [get_app(job_meta, site) for site in ("site-1", "site-2", "site-3")] == ["one", "two", "rest"]


@pytest.mark.parametrize(
    ("deploy_map", "error"),
    [
        ([], "deploy_map: must be an object, got []"),
        (None, "deploy_map: must be an object, got None"),
        ({"app": None}, "deploy_map.app: must be a list, got None"),
        ({"app": "site 1"}, f"deploy_map.app: {RULE}, got 'site 1'"),
        ({"app": {}}, "deploy_map.app.sites: must be a list, got None"),
        ({"app": {"targets": "site-1"}}, "deploy_map.app.targets: must be a list, got 'site-1'"),
        (
            {"app": [{"sites": ["a"], "targets": ["b"]}]},
            "deploy_map.app[0].targets: must be the same as 'sites', or one of them must go, got ['b']",
        ),
        ({"../app": ["site-1"]}, f"deploy_map.../app[0]: {RULE}, got '../app'"),
        ({"app": ["server", "a b"]}, f"deploy_map.app[1]: {RULE}, got 'a b'"),
        ({"app": ["@any"]}, f"deploy_map.app[0]: {RULE}, got '@any'"),
        ({"app": [5]}, "deploy_map.app[0]: must be an object, got 5"),
        ({"app": [{}]}, "deploy_map.app[0].sites: must be a list, got None"),
        ({"app": [{"sites": "site-1"}]}, "deploy_map.app[0].sites: must be a list, got 'site-1'"),
        ({"app": [{"sites": [["site-1"]]}]}, f"deploy_map.app[0].sites: {RULE}, got ['site-1']"),
        ({"app": [{"sites": [], "image": 5}]}, "deploy_map.app[0].image: must be a string, got 5"),
        ({"app": [{"site": []}]}, "deploy_map.app[0].site: unknown key; known are image, sites, targets, got []"),
        ({"a\x1b[2J\n": 1}, r"deploy_map.a\x1b[2J\n: must be a list, got 1"),
    ],
)
def test_a_broken_deploy_map_is_rejected_by_its_path(deploy_map: Any, error: str) -> None:
    with pytest.raises(JobRejectedError) as raised:
        get_deployments(meta(deploy_map=deploy_map))
    assert str(raised.value) == f"job j1: {error}"


# --- mandatory_clients ---


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, []), ({"mandatory_clients": None}, []), ({"mandatory_clients": ["site-2"]}, ["site-2"])],
)
def test_no_client_is_mandatory_where_the_job_does_not_say(given: dict[str, Any], expected: list[str]) -> None:
    assert sorted(get_mandatory_clients(meta(**given), ["site-1", "site-2"])) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("site-1", "must be a list, got 'site-1'"),
        (["site-3"], "must be among its clients, site-1, site-2, got 'site-3'"),
        ([["site-1"]], "must be among its clients, site-1, site-2, got ['site-1']"),
    ],
)
def test_broken_mandatory_clients_are_rejected(value: Any, why: str) -> None:
    with pytest.raises(JobRejectedError) as raised:
        get_mandatory_clients(meta(mandatory_clients=value), ["site-1", "site-2"])
    assert str(raised.value) == f"job j1: mandatory_clients: {why}"


# --- min_clients ---


@pytest.mark.parametrize(("given", "expected"), [({}, 3), ({"min_clients": None}, 3), ({"min_clients": 0}, 0)])
def test_min_clients_is_all_clients_where_the_job_does_not_say(given: dict[str, Any], expected: int) -> None:
    assert get_min_clients(meta(**given), 3) == expected


@pytest.mark.parametrize("value", ["2", "02", 2.0])
def test_min_clients_may_be_a_text_or_a_whole_float_as_nvidia_flare_takes_them(value: Any) -> None:
    assert get_min_clients(meta(min_clients=value), 3) == 2


@pytest.mark.parametrize(
    "value",
    [-1, 4, "4", 4.0, 1.9, "1.0", "-1", " 2", "2\n", "\uff12", "", "9" * 5000, float("nan"), float("inf"), True, [2]],
)
def test_a_broken_min_clients_is_rejected(value: Any) -> None:
    with pytest.raises(JobRejectedError) as raised:
        get_min_clients(meta(min_clients=value), 3)
    assert str(raised.value) == f"job j1: min_clients: must be a number from 0 to 3, its clients, got {shown(value)}"


# --- errors ---


def test_any_key_is_allowed_where_none_are_listed() -> None:
    assert get_object(meta(), "env", {"whatever": 1}) == {"whatever": 1}


def test_a_rejection_shows_no_more_than_200_characters_of_a_value_or_a_path() -> None:
    error = rejection(meta(), "p" * 999, "is wrong", "v" * 999)
    assert str(error) == f"job j1: {'p' * 200}: is wrong, got '{'v' * 199}"


def test_nothing_of_a_job_in_a_rejection_does_anything_to_a_terminal() -> None:
    error = rejection({"job_id": "\x1b]0;owned\x07\n"}, "deploy_map.\x1b[2J", "is wrong", "\x1b[31m\n")
    assert str(error) == r"job \x1b]0;owned\x07\n: deploy_map.\x1b[2J: is wrong, got '\x1b[31m\n'"


def test_a_job_id_longer_than_a_line_is_cut() -> None:
    assert str(rejection({"job_id": "j" * 999}, "x", "is wrong")) == f"job {'j' * 200}: x: is wrong"
