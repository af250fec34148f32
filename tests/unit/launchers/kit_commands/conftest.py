"""What the tests of kits share: an engine that has a network, and the command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.kit_folder import give_network, write
from tests.shown_files import show_nvflare
from tests.small_engine import SmallEngine, small_engine

ABLE = {
    "python": [3, 11],
    "nvflare": "2.9.0",
    "flcore": version("flcore"),
    "file": "/env/launchers/nvflare_launcher.py",
    "error": "",
}
"""What an interpreter tells of itself that can start a parent."""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallEngine]:
    """The engine that Docker's own command would ask; it has the network ``flare``, and the image ``job:1``."""
    (tmp_path / "engine").mkdir()
    with small_engine(tmp_path / "engine") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        give_network(engine)
        show_nvflare(engine, "2.9.0")
        yield engine


@pytest.fixture
def parent_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that has the first ``python3`` in PATH tell of itself what it is given."""

    def tell(**told: Any) -> Path:
        program = tmp_path / "bin/python3"
        write(program, f"#!/bin/sh\ncat <<'END'\n{json.dumps({**ABLE, **told})}\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        return program

    tell()
    return tell
