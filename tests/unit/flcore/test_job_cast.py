"""JobCast: who takes part in a run. What cannot be cast is in ``test_broken_configs.py``."""

from pathlib import Path
from typing import Any

import pytest

from flcore.job_cast import JobCast
from flcore.submitted_job import SubmittedJob

SOME = {"app": ["server", "site-1", "site-2"]}
ALL = {"app": ["@ALL"]}


def cast(*given: str, deploy_map: Any = SOME, **meta: Any) -> JobCast:
    return JobCast.of(SubmittedJob(Path("job"), {"deploy_map": deploy_map, **meta}, Path("job/meta.json")), given)


@pytest.mark.parametrize(
    ("given", "has_server", "clients", "left_out"),
    [
        (["site-2", "server", "site-1"], True, ("site-2", "site-1"), ()),
        (["site-2"], False, ("site-2",), ("server", "site-1")),
        (["server"], True, (), ("site-1", "site-2")),
        (["server", "site-9"], True, (), ("site-1", "site-2")),
    ],
)
def test_the_given_sites_of_the_deploy_map_take_part(
    given: list[str], has_server: bool, clients: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    found = cast(*given)
    assert (found.has_server, found.clients, found.left_out) == (has_server, clients, left_out)


def test_a_job_for_all_sites_leaves_none_out_but_those_that_it_names_beside() -> None:
    assert cast("site-1", deploy_map=ALL).left_out == ()
    assert cast("site-1", deploy_map={"other": ["site-2"], **ALL}).left_out == ("site-2",)


@pytest.mark.parametrize(
    ("given", "meta", "needed"),
    [
        (["server", "site-1"], {}, 1),
        (["server"], {}, 0),
        (["site-1", "site-2"], {}, 0),
        (["site-1", "site-2"], {"min_clients": None}, 0),
        (["site-1", "site-2"], {"min_clients": 2}, 2),
        (["server", "site-1", "site-2"], {"min_clients": "1"}, 1),
        (["server"], {"min_clients": 0}, 0),
    ],
)
def test_a_server_needs_all_clients_that_are_given_where_the_job_does_not_say_and_no_client_needs_another(
    given: list[str], meta: dict[str, Any], needed: int
) -> None:
    assert cast(*given, **meta).min_clients == needed


def test_a_mandatory_client_that_is_given_counts_without_a_server_too() -> None:
    assert cast("site-1", mandatory_clients=["site-1"]).mandatory_clients == {"site-1"}
