"""A request's sizes, as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.policy.request_sizes import with_sizes_in_words


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ({"Memory": 256 << 20}, {"Memory": "256Mi"}),
        ({"MemorySwap": 1 << 30, "ShmSize": 64 << 20}, {"MemorySwap": "1Gi", "ShmSize": "64Mi"}),
        ({"Memory": 6201237504}, {"Memory": "6201237504 bytes (5.8Gi)"}),
        ({"Memory": (1 << 44) + 1024}, {"Memory": "17592186045440 bytes (16.0Ti)"}),
        ({"PidsLimit": 1024, "NanoCpus": 2_000_000_000}, {"PidsLimit": 1024, "NanoCpus": 2_000_000_000}),
        (
            {"Tmpfs": {"/tmp": "size=268435456,mode=1777", "/run": "nosuid"}},
            {"Tmpfs": {"/tmp": "size=256Mi,mode=1777", "/run": "nosuid"}},
        ),
        (
            {"LogConfig": {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "3"}}},
            {"LogConfig": {"Type": "json-file", "Config": {"max-size": "10Mi", "max-file": "3"}}},
        ),
        (
            {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/a", "ReadOnly": True}]},
            {"Mounts": ["/a, read-only"]},
        ),
        (
            {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": False}]},
            {"Mounts": ["/a -> /b, writable"]},
        ),
    ],
)
def test_a_requests_sizes_are_told_as_a_config_says_them(setting: dict[str, Any], shown: dict[str, Any]) -> None:
    body = {"Image": "job:1", "HostConfig": setting}
    assert with_sizes_in_words(body) == {"Image": "job:1", "HostConfig": shown}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "site-1-j1", "argv": ["python3"]},
        {"HostConfig": None},
        {"HostConfig": {"Memory": True, "ShmSize": "64m", "Tmpfs": [], "LogConfig": None}},
        {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "a", "Target": "/b", "ReadOnly": True}, None]}},
        {"HostConfig": {"Mounts": [{"Source": "/a", "Target": "/b"}]}},
        {"HostConfig": {"Tmpfs": {"/tmp": None}, "LogConfig": {"Config": []}}},
        {"HostConfig": {"Tmpfs": {"/tmp": "size=1" + "0" * 5000}, "LogConfig": {"Config": {"max-size": "10m"}}}},
    ],
)
def test_what_is_no_size_that_we_know_stands_as_it_is(body: dict[str, Any]) -> None:
    assert with_sizes_in_words(body) == body
