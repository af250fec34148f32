"""The tutorials can be followed by who has the wheel, an engine, and nothing of the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.first_hours import Newcomer
from tests.pages import TUTORIALS


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_newcomer_meets_no_dead_end(page: Path, installed: Path, tmp_path: Path) -> None:
    typed = list(Newcomer(tmp_path, installed).follow(page))
    assert typed
    assert not typed[-1].status, f"{typed[-1].command}\n{typed[-1].output}"
