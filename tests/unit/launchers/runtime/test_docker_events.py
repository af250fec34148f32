"""The event stream of an engine, as it is opened, read and closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from flcore.errors import RuntimeUnavailableError
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime


def test_a_stream_that_is_answered_only_with_its_first_event_can_be_closed_before(
    engine: SmallEngine, runtime: DockerRuntime, pool: ThreadPoolExecutor
) -> None:
    engine.silent.add("GET /events")  # Podman until 5.2
    opened = pool.submit(runtime.open_events().__enter__)
    assert engine.is_silent.wait(10)
    runtime.close_events()
    with pytest.raises(RuntimeUnavailableError, match="does not answer"):
        opened.result(10)


def test_other_calls_are_answered_while_a_stream_is_not(
    engine: SmallEngine, runtime: DockerRuntime, pool: ThreadPoolExecutor
) -> None:
    engine.silent.add("GET /events")
    opened = pool.submit(runtime.open_events().__enter__)
    assert engine.is_silent.wait(10)
    runtime.start("0123")
    assert runtime.list_containers() == []
    runtime.close_events()
    assert opened.exception(10)


@pytest.mark.parametrize(("labels", "told"), [({"flcore.site": "site-1"}, ["0123"]), ({"name": "another"}, [])])
def test_of_an_engine_that_heeds_no_label_only_what_has_the_watched_one_is_told(
    engine: SmallEngine, labels: dict[str, str], told: list[str]
) -> None:
    engine.about = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}
    engine.answers["GET /events"] = 200, {"Actor": {"ID": "0123", "Attributes": labels}, "Action": "start"}
    with closing(DockerRuntime(engine.address, watched_label="flcore.site")) as runtime, runtime.open_events() as ids:
        assert list(ids) == told
    [query] = [query for path, query in engine.queries if path.endswith("/events")]
    assert "label" not in json.loads(query["filters"])
