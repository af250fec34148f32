"""The fingerprint of what a launch would run: the same for the same app, image and request, else another. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .app_files import AppFile

SHORT = 12
"""Digits by which a fingerprint is shown; as good as all of it where no other begins so."""
SURE = 32
"""Digits by which one is approved: who wants to can make two requests whose fingerprints begin with fewer alike."""
WHOLE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_VERSION = 1
"""Of what is hashed: where that changes, no old approval counts."""


def digest_of_app(files: Sequence[AppFile]) -> str:
    """Return the SHA-256 of an app: of the path, kind, size and bytes of all that is in it, whatever their order."""
    return _digest([list(file) for file in sorted(files)])


def fingerprint_of(app: str, asks: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an app, by its digest, and of what the job asks for and gets.

    ``asks`` holds JSON values (``LaunchRequest.asks``). Raises ValueError or TypeError if it does not.
    """
    return _digest({"version": _VERSION, "app": app, "asks": asks})


def _digest(value: Any) -> str:
    """Return the SHA-256 of the one JSON text that a value has: names sorted, ASCII, no blanks."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
