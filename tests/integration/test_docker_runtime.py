"""The contract of all runtimes, kept by a real Docker Engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from launchers.container_spec import LABEL_SITE
from launchers.runtime.docker import DockerRuntime
from launchers.testing.runtime_contract import RuntimeContract, RuntimeLab

from .conftest import IMAGE
from .engine_traits import Traits


class DockerLab(RuntimeLab):
    image = IMAGE

    def __init__(self, traits: Traits) -> None:
        super().__init__(DockerRuntime(watched_label=LABEL_SITE), measures=traits.has_control_groups)
        self.code_of_a_failed_start = traits.code_of_a_failed_start or 0
        self._suffix = uuid.uuid4().hex[:8]

    def name(self, name: str) -> str:
        return f"{name}-{self._suffix}"


class TestDockerRuntime(RuntimeContract):
    @pytest.fixture
    def lab(self, traits: Traits) -> Iterator[RuntimeLab]:
        with DockerLab(traits) as lab:
            yield lab
