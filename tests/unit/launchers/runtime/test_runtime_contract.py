"""The contract of all runtimes, for those that need no engine."""

from __future__ import annotations

from launchers.container_spec import ContainerSpec
from launchers.runtime.fake import FakeRuntime
from launchers.runtime.process import ProcessRuntime
from launchers.testing.runtime_contract import RuntimeContract, RuntimeLab


class FakeLab(RuntimeLab):
    def __init__(self) -> None:
        self.fake = FakeRuntime()
        super().__init__(self.fake)

    def spec_that_cannot_start(self, name: str) -> ContainerSpec:
        self.fake.start_error = "no-such-command: not found"
        return super().spec_that_cannot_start(name)

    def write(self, container_id: str, output: bytes) -> None:
        self.fake.write(self._name_of(container_id), output)

    def finish(self, container_id: str, exit_code: int, output: bytes = b"") -> None:
        self.write(container_id, output)
        self.fake.exit(self._name_of(container_id), exit_code)

    def use(self, container_id: str, cpu_seconds: float, memory: int) -> None:
        self.fake.use(self._name_of(container_id), cpu_seconds, memory)

    def _name_of(self, container_id: str) -> str:
        return next(c.spec.name for c in self.fake.containers() if c.id == container_id)


class TestFakeRuntime(RuntimeContract):
    def make_lab(self) -> RuntimeLab:
        return FakeLab()


class TestProcessRuntime(RuntimeContract):
    def make_runtime(self) -> ProcessRuntime:
        return ProcessRuntime()
