"""Kits, and the parents that tests start with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .kit_parent import PARENTS, provision


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The kits of a federation, by site. To be copied by who changes one."""
    return provision(tmp_path_factory.mktemp("provisioned"))


@pytest.fixture(autouse=True)
def parents_end() -> Iterator[None]:
    yield
    while PARENTS:
        PARENTS.pop().close()
