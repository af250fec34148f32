"""Each place of our code that calls a disk, asks an engine or starts a thread, in a site's lives: its call fails.

``make sweep`` plays all of it; ``make test``, some of the places: the same each time, but for each error others.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..faulty import DISK_ERRORS, ENGINE_ERRORS, no_thread
from ..faulty_lives import A_WHILE, ONCE, Host, Sweep, of_answers, of_engine, of_threads, on_disk
from ..thoroughness import LITTLE

_HOW_LONG = {"once": ONCE} if LITTLE else {"once": ONCE, "for a while": A_WHILE}
LASTING = pytest.mark.parametrize("lasting", _HOW_LONG.values(), ids=_HOW_LONG)


def check(sweep: Sweep, lasting: int) -> None:
    wrong = sweep.wrong(lasting)
    assert not wrong, "\n".join(["", *wrong])


@LASTING
@pytest.mark.parametrize("error", DISK_ERRORS)
def test_a_site_comes_through_whatever_call_of_its_disk_fails(
    hosts: Callable[[], Host], error: str, lasting: int
) -> None:
    check(Sweep(hosts, on_disk, DISK_ERRORS[error], fewest=60), lasting)


@LASTING
@pytest.mark.parametrize("does_it_first", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("error", ENGINE_ERRORS)
def test_a_site_comes_through_whatever_call_of_its_engine_fails(
    hosts: Callable[[], Host], error: str, lasting: int, does_it_first: bool
) -> None:
    spoil = of_answers if does_it_first else of_engine
    check(Sweep(hosts, spoil, ENGINE_ERRORS[error], fewest=6), lasting)


@LASTING
def test_a_site_comes_through_whatever_thread_cannot_be_started(hosts: Callable[[], Host], lasting: int) -> None:
    check(Sweep(hosts, of_threads, no_thread, fewest=6, few=2), lasting)
