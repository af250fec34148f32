"""The tutorials can be followed by who has the wheel, an engine, and nothing of the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.first_hours import Newcomer
from tests.pages import TUTORIALS


@pytest.fixture
def programs(installed: Path) -> Path:
    """Those of an environment, among them pytest's, which a path of other packages does not bring."""
    pytests = installed / "pytest"
    pytests.write_text(f"#!{installed}/python\nimport sys, pytest\nsys.exit(pytest.console_main())\n")
    pytests.chmod(0o755)
    return installed


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_newcomer_meets_no_dead_end(page: Path, programs: Path, tmp_path: Path) -> None:
    typed = list(Newcomer(tmp_path, programs).follow(page))
    assert typed
    assert not typed[-1].status, f"{typed[-1].command}\n{typed[-1].output}"
