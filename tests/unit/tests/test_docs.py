"""What a page says is tested."""

from __future__ import annotations

import re

from tests.environments import ROOT

COMPAT = ROOT / "tests/compat"


def test_each_feature_of_nvidia_flare_has_the_test_that_its_row_names() -> None:
    page = (ROOT / "docs/nvflare.md").read_text()
    _, _, table = page.partition("\n| feature |")
    named = set(re.findall(r"`(?:test_|\u2026)(\w+)`", table))
    written = {match for path in COMPAT.glob("test_*.py") for match in re.findall(r"def test_(\w+)", path.read_text())}
    files = {path.stem.removeprefix("test_") for path in COMPAT.glob("test_*.py")}
    missing = [name for name in named if not any(known.endswith(name) for known in written | files)]

    assert len(named) > 10
    assert missing == []
