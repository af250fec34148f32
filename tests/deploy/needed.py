"""What tests here need of their machine: where it is not there they are left out, but by CI, which must have it."""

from __future__ import annotations

import os

import pytest


def need(why_not: str | None) -> None:
    """Go on where nothing says why not; else leave the test out, or let it fail in CI."""
    if why_not:
        pytest.fail(why_not) if os.environ.get("CI") == "true" else pytest.skip(why_not)
