"""Each place of our code that calls a disk, asks an engine or starts a thread, in a site's lives: its call fails.

``make sweep`` plays all of it; a run of the unit tests, a share of the places, which is the same each time.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ...faulty import DISK_ERRORS, ENGINE_ERRORS, no_thread
from ...faulty_lives import A_WHILE, ONCE, Host, Sweep, of_engine, of_threads, on_disk

LASTING = pytest.mark.parametrize("lasting", [ONCE, A_WHILE], ids=["once", "for a while"])


def check(sweep: Sweep, lasting: int) -> None:
    wrong = sweep.wrong(lasting)
    assert not wrong, "\n".join(["", *wrong])


@LASTING
@pytest.mark.parametrize("error", DISK_ERRORS)
def test_a_site_comes_through_whatever_call_of_its_disk_fails(
    hosts: Callable[[], Host], error: str, lasting: int
) -> None:
    check(Sweep(hosts, on_disk, DISK_ERRORS[error], fewest=60, share=48), lasting)


@LASTING
@pytest.mark.parametrize("does_it_first", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("error", ENGINE_ERRORS)
def test_a_site_comes_through_whatever_call_of_its_engine_fails(
    hosts: Callable[[], Host], error: str, lasting: int, does_it_first: bool
) -> None:
    def make() -> Host:
        host = hosts()
        host.runtime.does_it_first = does_it_first
        return host

    check(Sweep(make, of_engine, ENGINE_ERRORS[error], fewest=6, share=12), lasting)


@LASTING
def test_a_site_comes_through_whatever_thread_cannot_be_started(hosts: Callable[[], Host], lasting: int) -> None:
    check(Sweep(hosts, of_threads, no_thread, fewest=6, share=1 if lasting == ONCE else 6), lasting)
