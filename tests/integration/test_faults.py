"""The faults that can be played with an engine that is others', too, each once. `make faults` plays all, ten times."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.lab import Fault, Lab, play
from tests.faults.suite import FAULTS

from .conftest import IMAGE


@pytest.fixture
def host(docker_client: Any) -> str:
    """The engine's address, for processes of their own."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        pytest.skip(f"the proxy knows unix sockets only, not {host}")
    return host


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="flf-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.fits_any_engine], ids=lambda fault: fault.name)
def test_the_truth_is_told_and_nothing_stays_when(fault: Fault, host: str, folder: Path) -> None:
    outcome = play(fault, Lab(host, folder / "lab", IMAGE, seed=fault.name))
    assert outcome.problems == []
    assert outcome.left == []
    assert outcome.right == outcome.jobs > 0
