"""A lab whose commands do not wait long, and a screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.operator import logs, stop
from launchers.operator.terminal import Terminal
from launchers.tracking import ending
from tests.operator_lab import OperatorLab, Screen


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorLab]:
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setattr(stop, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(ending, "KILL_INTERVAL", 0.05)
    monkeypatch.setattr(stop, "CONFIRM_TIMEOUT", 0.2)
    monkeypatch.setattr(stop, "LAUNCH_TIMEOUT", 0.2)
    monkeypatch.setattr(stop, "SITE_TIMEOUT", 0.5)
    monkeypatch.setattr(logs, "RETRY_INTERVAL", 0.01)
    lab = OperatorLab(tmp_path, capsys)
    yield lab
    lab.close()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal(Screen())
