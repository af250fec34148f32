"""Which jobs of a site get its private key: what its config says of their metadata. Pure.

Of that the server says who has submitted a job and, from 2.8 on, in which study, and replaces what the job's author
wrote there; the name is the author's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from flcore.config.strict_json import shown
from flcore.job_meta import JobMeta

_METADATA = {"study": "study", "submitter": "submitter_name", "name": "name"}
"""Key of an entry -> key of a job's metadata."""


@dataclass(frozen=True, slots=True)
class PrivateKeyRule:
    """What a site's config says."""

    key: str
    """Its argument."""
    gives_all: bool = False
    entries: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    """Each is ``key of the metadata -> globs``, one of which the value is to match."""

    def why(self, job_meta: JobMeta) -> str:
        """Return what of the config gives a job the key; empty if nothing does."""
        if self.gives_all:
            return self.key
        found = (index for index, entry in enumerate(self.entries) if _fulfils(job_meta, entry))
        return next((f"{self.key}[{index}]" for index in found), "")


def parse_private_key(key: str, value: Any) -> PrivateKeyRule:
    """Return the rule of ``true``, ``false``, or a list of ``{"study" | "submitter" | "name": glob or globs}``.

    Raises ValueError.
    """
    if isinstance(value, bool):
        return PrivateKeyRule(key, value)
    if not isinstance(value, list | tuple):
        wanted = f"must be true, false, or a list of objects with some of {', '.join(_METADATA)}"
        raise ValueError(f"{key} {wanted}, got {shown(value)}")  # noqa: TRY004 - as for all wrong arguments
    return PrivateKeyRule(key, entries=tuple(_entry(f"{key}[{index}]", entry) for index, entry in enumerate(value)))


def _entry(path: str, value: Any) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(value, Mapping) or not value or not value.keys() <= _METADATA.keys():
        raise ValueError(f"{path} must be an object with some of {', '.join(_METADATA)}, got {shown(value)}")
    return {_METADATA[name]: _globs(f"{path}.{name}", globs) for name, globs in value.items()}


def _globs(path: str, value: Any) -> tuple[str, ...]:
    globs = (value,) if isinstance(value, str) else value
    if not isinstance(globs, list | tuple) or not all(isinstance(glob, str) and glob for glob in globs):
        raise ValueError(f"{path} must be a glob, or a list of them, got {shown(value)}")
    return tuple(globs)


def _fulfils(job_meta: JobMeta, entry: Mapping[str, tuple[str, ...]]) -> bool:
    return all(_matches(job_meta.get(name), globs) for name, globs in entry.items())


def _matches(value: Any, globs: tuple[str, ...]) -> bool:
    return isinstance(value, str) and any(fnmatchcase(value, glob) for glob in globs)
