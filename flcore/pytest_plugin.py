"""The fixtures of :mod:`flcore.testing` for pytest, which loads this wherever flcore is installed.

It does so in every run, be it about flcore or not, and before the coverage of anything is measured: so nothing else of
flcore is imported here before a test asks for a fixture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import EventRecorder, FakeFLContext


@pytest.fixture
def fl_ctx(tmp_path: Path) -> FakeFLContext:
    """A fake context of site-1 and job-1, with a workspace."""
    from .testing import FakeFLContext

    return FakeFLContext(workspace=tmp_path)


@pytest.fixture
def event_recorder() -> EventRecorder:
    """A component that records every event."""
    from .testing import EventRecorder

    return EventRecorder()
