"""The contract of all runtimes, kept by a real Docker Engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from launchers.container_spec import LABEL_SITE
from launchers.runtime.docker import DockerRuntime
from tests.runtime_contract import RuntimeContract, RuntimeLab

from .conftest import IMAGE


class DockerLab(RuntimeLab):
    image = IMAGE

    def __init__(self) -> None:
        super().__init__(DockerRuntime(watched_label=LABEL_SITE))
        self._suffix = uuid.uuid4().hex[:8]

    def name(self, name: str) -> str:
        return f"{name}-{self._suffix}"


class TestDockerRuntime(RuntimeContract):
    @pytest.fixture
    def lab(self, docker_client: Any) -> Iterator[RuntimeLab]:
        with DockerLab() as lab:
            yield lab
