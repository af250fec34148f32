"""Whatever a job says, it gets what its site allows or a JobRejectedError. ``make fuzz`` tries it for longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.properties import PROPERTIES, check_metadata
from tests.hostile.rows import Row
from tests.hostile.strategies import METAS
from tests.hostile.table import TABLE
from tests.thoroughness import tries


@pytest.mark.parametrize(("strategy", "check"), PROPERTIES, ids=[check.__name__ for _, check in PROPERTIES])
@settings(max_examples=tries(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_it_gets_what_the_site_allows_or_is_refused(
    strategy: st.SearchStrategy[Any], check: Callable[[Any], str], data: st.DataObject
) -> None:
    check(data.draw(strategy))


@pytest.mark.parametrize("meta", METAS)
def test_good_metadata_are_accepted(meta: dict[str, Any]) -> None:
    assert check_metadata(meta) == "accepted"


def test_no_row_of_the_table_gets_another_error_at_another_site() -> None:
    for row in (row for row in TABLE if isinstance(row, Row)):
        try:
            check_metadata(row.meta)
        except AssertionError as error:
            error.add_note(f"{row.kind}: {row.title}")
            raise
