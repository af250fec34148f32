"""Sequences of faults of all kinds, kills of the process among them, in lives that are made up by seeds.

``make sweep`` plays thousands; ``make test``, a few.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..faulty_lives import Host
from ..random_lives import wrong
from ..thoroughness import ALL

PARTS, PART = (20, 100) if ALL else (1, 3)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_site_comes_through_whatever_comes_one_after_the_other(hosts: Callable[[], Host], part: int) -> None:
    problems = wrong(hosts, range(part * PART, (part + 1) * PART))
    assert not problems, "\n".join(["", *problems])
