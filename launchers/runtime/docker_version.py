"""The version of the Engine API that an engine is spoken to in: agreed on once, and anew when the engine refuses it.

An engine that is upgraded, or downgraded, under a living site may take the old version for too old, or too new. It says
so of every request, and has done none of them; so each is sent once more, in the version that the engine names now.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)

_BAD_REQUEST = 400
_REFUSAL = re.compile(r"client version \S+ is too (old|new)")
_IN_PATH = re.compile(r"(?<=/v)\d+\.\d+(?=/)")


class ApiVersion:
    """What all clients of one engine know of its version. Safe to use from several threads.

    ``on_change`` is called when the engine has named another one: who has clients of the old one makes others.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.agreed: str | None = None
        """None as long as no engine was asked."""

    def note(self, version: str) -> None:
        """Take note of what a first client has agreed on."""
        self.agreed = self.agreed or version

    def heed(self, api: Any) -> Callable[[], None]:
        """Have a client of the SDK heed refusals of its version, those of streams too; return what undoes that."""
        hooks = getattr(api, "hooks", {}).setdefault("response", [])  # somebody's own client may be another one
        heed = partial(self._heed, api)
        hooks.append(heed)
        return partial(hooks.remove, heed)

    def _heed(self, api: Any, response: Any, **how: Any) -> Any:
        """Return the answer that counts. Called by the client with each of its answers."""
        tried: set[str] = set()
        while refused := _refused_version(response):
            tried.add(refused)
            version = self._other_than(refused, api)
            if version in tried:
                break  # an engine that refuses what it names is told of by its own words
            response = _sent_again(response, version, how)
        return response

    def _other_than(self, refused: str, api: Any) -> str:
        """Return what to speak in place of a version: what another client has agreed on meanwhile, or is asked now."""
        if self.agreed in (None, refused):
            self.agreed = str(api.version(api_version=False).get("ApiVersion", refused))
            if self.agreed != refused:
                logger.warning("the engine refuses version %s of its API; it is asked in %s now", refused, self.agreed)
                self._on_change()
        return self.agreed or refused


def _refused_version(response: Any) -> str:
    """Return the version that an engine has refused; empty if that is not what it says."""
    if response.status_code != _BAD_REQUEST or not _REFUSAL.search(response.text):
        return ""
    found = _IN_PATH.search(response.request.url)
    return found[0] if found else ""


def _sent_again(response: Any, version: str, how: dict[str, Any]) -> Any:
    request = response.request.copy()
    request.url = _IN_PATH.sub(version, request.url, count=1)
    response.close()
    return response.connection.send(request, **how)
