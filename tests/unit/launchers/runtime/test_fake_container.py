"""A container in memory, by itself."""

from __future__ import annotations

import pytest

from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.runtime.fake_container import FakeContainer


@pytest.fixture
def container() -> FakeContainer:
    state = ContainerState(DOCKER_STATE.CREATED, exit_code=0, created_at=1.0)
    return FakeContainer("c1", ContainerSpec("one", "job:1", ("run",)), state, b"a\nbc\nd")


@pytest.mark.parametrize(
    ("tail", "lines"),
    [(None, [b"a\n", b"bc\n", b"d"]), (0, []), (1, [b"d"]), (2, [b"bc\n", b"d"]), (9, [b"a\n", b"bc\n", b"d"])],
)
def test_its_last_lines(container: FakeContainer, tail: int | None, lines: list[bytes]) -> None:
    assert container.last_lines(tail) == lines


@pytest.mark.parametrize(
    ("begin", "chunks"),
    [(0, [(0, b"a\n"), (2, b"bc\n"), (5, b"d")]), (3, [(3, b"c\n"), (5, b"d")]), (6, [])],
)
def test_its_output_from_a_place_on(container: FakeContainer, begin: int, chunks: list[tuple[int, bytes]]) -> None:
    found = container.chunks_from(begin)
    assert [(int(chunk.position), chunk.data) for chunk in found] == chunks
    assert [chunk.position for chunk in found] == sorted(chunk.position for chunk in found)


def test_it_can_be_neither_paused_nor_ended_without_a_process(container: FakeContainer) -> None:
    assert not container.enter(DOCKER_STATE.PAUSED)
    assert not container.end(3)
    container.start()
    assert container.enter(DOCKER_STATE.PAUSED)
    assert container.end(3)
    assert not container.end(4)
    assert (container.state.state, container.state.exit_code) == (DOCKER_STATE.EXITED, 3)


def test_a_start_that_failed_leaves_it_as_it_was_with_an_error(container: FakeContainer) -> None:
    container.fail_to_start(OSError("no such program"))
    assert container.summary.state is DOCKER_STATE.CREATED
    assert (container.state.exit_code, container.state.error) == (127, "no such program")
