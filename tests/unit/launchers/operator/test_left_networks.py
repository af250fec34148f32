"""``flcore gc``: of networks, too, what is nobody's goes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flcore.errors import NetworkError
from launchers.container_spec import LABEL_NONCE, LABEL_SITE_ID, ContainerSpec, OwnNetwork
from launchers.runtime.base import NetworkSummary
from tests.operator_lab import OperatorLab

DAY = 24 * 3600.0


@pytest.fixture
def left(lab: OperatorLab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what has an engine have a network of which nothing else is left; of the site, if its labels say so."""
    lab.launch(lab.site())
    ours = lab.runtime.container("site-1-job-1").spec.labels
    made = lab.runtime.job_networks.all_of

    def leave(name: str, age: float = 2 * DAY, site_id: str | None = None, nonce: str = "0" * 16) -> None:
        labels = {**ours, LABEL_NONCE: nonce, LABEL_SITE_ID: site_id or ours[LABEL_SITE_ID]}
        lab.runtime.job_networks.make(
            ContainerSpec("c", "job:1", ("true",), network=name, own_network=OwnNetwork(), labels=labels)
        )

        def aged(label: str) -> list[NetworkSummary]:
            return [replace_created(one, age) for one in made(label)]

        monkeypatch.setattr(lab.runtime.job_networks, "all_of", aged)

    return leave


def replace_created(one: NetworkSummary, age: float) -> NetworkSummary:
    return one._replace(created_at=(one.created_at or 0.0) - age)


def test_one_of_which_no_record_and_no_container_is_left_goes(lab: OperatorLab, left: Callable[..., None]) -> None:
    left("late.net")
    done = lab.flcore("gc")
    assert "removed  network late.net: is no job's any more" in done.out
    assert lab.runtime.job_networks.names() == []


def test_a_dry_run_says_what_would_go(lab: OperatorLab, left: Callable[..., None]) -> None:
    left("late.net")
    assert "would remove  network late.net" in lab.flcore("gc", "--dry-run").out
    assert lab.runtime.job_networks.names() == ["late.net"]


@pytest.mark.parametrize("age", [0.0, DAY / 2])
def test_a_young_one_stays(lab: OperatorLab, left: Callable[..., None], age: float) -> None:
    left("late.net", age)
    assert "left  network late.net: is no job's, and not old enough" in lab.flcore("gc").out
    assert lab.runtime.job_networks.names() == ["late.net"]


def test_that_of_a_launch_that_may_be_under_way_stays_whatever_is_asked_for(
    lab: OperatorLab, left: Callable[..., None]
) -> None:
    left("late.net", 30.0)
    lab.flcore("gc", "--older-than", "0s")
    assert lab.runtime.job_networks.names() == ["late.net"]


def test_that_of_a_job_that_is_there_is_not_told(lab: OperatorLab, left: Callable[..., None]) -> None:
    left("own.net", nonce=lab.runtime.container("site-1-job-1").spec.labels[LABEL_NONCE])
    assert "own.net" not in lab.flcore("gc").out
    assert lab.runtime.job_networks.names() == ["own.net"]


def test_that_of_another_site_is_not_told(lab: OperatorLab, left: Callable[..., None]) -> None:
    left("other.net", site_id="f" * 16)
    assert "other.net" not in lab.flcore("gc").out


def test_one_that_cannot_be_removed_is_told(
    lab: OperatorLab, left: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    left("late.net")

    def refuse(nonce: str, name: str) -> None:
        raise NetworkError(f"network {name} has active endpoints")

    monkeypatch.setattr(lab.runtime.job_networks, "remove", refuse)
    done = lab.flcore("gc")
    assert (done.status, "failed  network late.net: network late.net has active endpoints" in done.out) == (1, True)
