"""Whether what a site's jobs need is there, and how to get it: for ``flcore check``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from flcore.errors import ImageError, NetworkError
from flcore.job_launcher_spec import Check

Errors = Callable[[str], AbstractContextManager[None]]
"""Turns the errors of what is asked, which it is told, into ours."""


def there(kind: str, name: str, inspect: Callable[[str], Any], errors: Errors, way_out: str) -> Check:
    try:
        with errors(f"{kind} {name}"):
            inspect(name)
    except (NetworkError, ImageError):
        return Check(kind, False, f"{name} is not there; make it with: {way_out}")
    return Check(kind, True, name)


def network_checks(api: Any, network: str, errors: Errors, command: str, leak: str) -> Iterator[Check]:
    found = there("network", network, api.inspect_network, errors, f"{command} network create {network}")
    yield found
    if leak and found.ok and api.inspect_network(network).get("Internal"):
        yield Check("network", True, f"{network} is internal, and {leak}", warning=True)
