"""What the tests of several files ask: a small engine, which Docker's own command would ask, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_engine import SmallEngine, small_engine


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallEngine]:
    (tmp_path / "engine").mkdir()
    with small_engine(tmp_path / "engine") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        yield engine
