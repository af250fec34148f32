"""What the tests of kits share: an engine that has a network, and the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit_folder import give_network
from tests.small_engine import SmallEngine, small_engine


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallEngine]:
    """The engine that Docker's own command would ask; it has the network ``flare``."""
    (tmp_path / "engine").mkdir()
    with small_engine(tmp_path / "engine") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        give_network(engine)
        yield engine
