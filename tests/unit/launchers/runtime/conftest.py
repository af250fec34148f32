"""What the tests of several files ask: a small engine, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_engine import SmallEngine, small_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SmallEngine]:
    with small_engine(tmp_path) as engine:
        yield engine
