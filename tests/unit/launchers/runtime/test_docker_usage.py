"""What an engine's statistics of a container say of its usage: as docker stats shows it."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.runtime.base import ContainerUsage
from launchers.runtime.docker import _usage

CPU = {"cpu_usage": {"total_usage": 2_500_000_000}}


@pytest.mark.parametrize(
    ("details", "memory"),
    [
        ({"inactive_file": 300, "total_inactive_file": 400}, 600),  # cgroup v1
        ({"inactive_file": 300, "file": 350}, 700),  # cgroup v2
        ({"inactive_file": 1200}, 1000),
        ({}, 1000),
        (None, 1000),
    ],
)
def test_memory_is_counted_without_what_is_only_cached(details: Any, memory: int) -> None:
    assert _usage({"cpu_stats": CPU, "memory_stats": {"usage": 1000, "stats": details}}) == ContainerUsage(2.5, memory)


@pytest.mark.parametrize("stats", [{}, {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}])
def test_a_container_that_does_not_run_has_empty_statistics(stats: Any) -> None:
    assert _usage(stats) is None
