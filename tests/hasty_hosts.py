"""A fixture that makes hosts whose sites are hasty, for the tests of sites to which something happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .faulty import until
from .faulty_lives import HASTY_MODULES, RETRIES, TIMEOUT, Host


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Host]]:
    """Return what makes hosts, whose sites are hasty; see that none leaves a thread."""
    monkeypatch.setattr("launchers.keeping.job_secrets.file_system_of", lambda _: "tmpfs")  # any folder may have them
    for name, seconds in HASTY_MODULES.items():
        monkeypatch.setattr(f"launchers.{name}", seconds)
    for module in RETRIES:
        monkeypatch.setattr(f"launchers.{module}.retry_delay", lambda _: 0.01)
    before, made = threading.active_count(), list[Host]()

    def make() -> Host:
        made.append(Host(tmp_path / str(len(made))))
        return made[-1]

    yield make
    until(lambda: threading.active_count() <= before, "all threads have ended", TIMEOUT)
