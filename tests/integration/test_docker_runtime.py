"""The contract of all runtimes, kept by a real Docker Engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from launchers.container_spec import LABEL_SITE
from launchers.runtime.base import ContainerUsage
from launchers.runtime.docker import DockerRuntime
from tests.runtime_contract import RuntimeContract, RuntimeLab

from .conftest import IMAGE
from .engine_traits import Traits


class DockerLab(RuntimeLab):
    image = IMAGE

    def __init__(self, traits: Traits) -> None:
        super().__init__(DockerRuntime(watched_label=LABEL_SITE))
        self.code_of_a_failed_start = traits.code_of_a_failed_start or 0
        self._suffix = uuid.uuid4().hex[:8]
        self._measures = traits.has_control_groups

    def name(self, name: str) -> str:
        return f"{name}-{self._suffix}"

    def usage_from(self, container_id: str, cpu_seconds: float) -> ContainerUsage:
        if not self._measures:
            assert self.runtime.usage(container_id) is None
            pytest.skip("this engine has no control groups to measure by")
        return super().usage_from(container_id, cpu_seconds)


class TestDockerRuntime(RuntimeContract):
    @pytest.fixture
    def lab(self, traits: Traits) -> Iterator[RuntimeLab]:
        with DockerLab(traits) as lab:
            yield lab
