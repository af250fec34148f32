"""How much a job's folder may hold, and what it has held when it was looked at last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class JobDisk:
    """One job's folder, to which there is a limit. Written by who looks; anybody may read it."""

    folder: Path
    limit: int
    """Bytes that it may hold."""
    used: int | None = None
    """Bytes that it held; None before the first look."""
