"""A runtime that says no more than it must: the rest is the base's, and keeps the contract of all runtimes."""

from __future__ import annotations

from typing import BinaryIO

import pytest

from launchers.container_spec import ContainerSpec
from launchers.docker_state import ContainerState
from launchers.runtime.base import ContainerSummary
from launchers.runtime.plain import PlainRuntime
from launchers.runtime.process import ProcessRuntime
from launchers.testing.runtime_contract import RuntimeContract


class SevenMethods(PlainRuntime):
    """What a third party must write. Its constructor does not call the base's."""

    def __init__(self) -> None:
        self.processes = ProcessRuntime()

    def create(self, spec: ContainerSpec) -> str:
        return self.processes.create(spec)

    def start(self, container_id: str) -> None:
        self.processes.start(container_id)

    def inspect(self, container_id: str) -> ContainerState:
        return self.processes.inspect(container_id)

    def list_containers(self) -> list[ContainerSummary]:
        return self.processes.list_containers()

    def send_signal(self, container_id: str, signal: str) -> bool:
        return self.processes.send_signal(container_id, signal)

    def remove(self, container_id: str) -> None:
        self.processes.remove(container_id)

    def open_output(self, container_id: str) -> BinaryIO | None:
        return self.processes.open_output(container_id)


class TestPlainRuntime(RuntimeContract):
    measures = False

    def make_runtime(self) -> SevenMethods:
        return SevenMethods()


def test_what_must_be_said_is_named() -> None:
    with pytest.raises(TypeError) as raised:
        PlainRuntime()  # type: ignore[abstract]
    wanted = ("create", "inspect", "list_containers", "open_output", "remove", "send_signal", "start")
    assert [name for name in wanted if name not in str(raised.value)] == []


def test_it_has_no_gpus_and_needs_none_of_what_images_need() -> None:
    runtime = SevenMethods()
    assert runtime.find_gpus() == []
    assert runtime.passwd_of("any") is None
    shown = runtime.describe(ContainerSpec("one", "", ("true",), environment={"A": "b"}))
    assert shown == {"name": "one", "argv": ["true"], "Env": ["A=b"], "cwd": "/"}
