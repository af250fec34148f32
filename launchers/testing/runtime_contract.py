"""What every runtime does, be it in memory, of processes or of an engine: one suite for all.

A test module runs it by a subclass whose name begins with ``Test``::

    from launchers.testing.runtime_contract import RuntimeContract

    class TestMyRuntime(RuntimeContract):
        def make_runtime(self):
            return MyRuntime()

What fails says what the runtime should have done. Nothing waits for ever: a call that does not return in 20 seconds
fails by its name. Each test has a runtime of its own, and removes what it has made.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..runtime.base import Runtime
from .runtime_basics import BasicContract
from .runtime_ends import EndContract
from .runtime_events import EventContract
from .runtime_lab import RuntimeLab
from .runtime_lives import LifeContract
from .runtime_output import OutputContract

__all__ = ["RuntimeContract", "RuntimeLab"]


class RuntimeContract(BasicContract, LifeContract, EndContract, EventContract, OutputContract):
    """The contract. A subclass has :meth:`make_runtime`; or :meth:`make_lab`, if its runtime needs more said."""

    measures = True
    """Whether ``usage()`` can measure a running container; where not, it must say so by None."""

    def make_runtime(self) -> Runtime:
        """Return a new runtime, for one test."""
        # pytest passes over what is abstract, and so would say nothing of it.
        raise NotImplementedError(f"{type(self).__name__} needs a method make_runtime(), which returns the runtime")

    def make_lab(self) -> RuntimeLab:
        """Return where the runtime is tried."""
        return RuntimeLab(self.make_runtime(), measures=self.measures)

    @pytest.fixture
    def lab(self) -> Iterator[RuntimeLab]:
        """Where one test tries its runtime."""
        with self.make_lab() as lab:
            yield lab
