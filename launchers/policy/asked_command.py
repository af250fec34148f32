"""With which interpreter and entry point a job runs: those that it names, if the site lists them. Pure.

NVIDIA FLARE 2.8 takes ``python_path`` and ``entrypoint`` from any job, 2.9 the second from those only that may bring
code of their own; 2.6 and 2.7 know neither. A site of ours says which ones it means.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flcore.config.rules import Schema
from flcore.job_meta import JobMeta, rejection

from .argv_limits import check_words, split
from .job_words import Word

_NO_ENTRY_POINT = "must be a non-empty string, or a list of them"
_WORD: Schema = {"type": "string", "pattern": r"\S"}
COMMAND: Schema = {"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]}
"""What :func:`command_words` takes."""


def asked_python(job_meta: JobMeta, word: Word, site: str, allowed: Collection[str]) -> str:
    """Return the interpreter that a job names. Raises JobRejectedError for one that the site does not list."""
    if not isinstance(word.value, str) or not word.value.strip():
        raise rejection(job_meta, word.path, "must be a non-empty string", word.value)
    if word.value not in allowed:
        raise rejection(job_meta, word.path, f"is not on the list of site {site} ('python_paths')", word.value)
    return word.value


def asked_entrypoint(
    job_meta: JobMeta, word: Word, site: str, own: tuple[str, ...], allowed: Collection[tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the words that a job wants before its command, beside the site's own. Raises JobRejectedError."""
    try:
        words = command_words(word.value)
    except ValueError as error:
        raise rejection(job_meta, word.path, str(error), word.value) from error
    if words != own and words not in allowed:
        raise rejection(job_meta, word.path, f"is not on the list of site {site} ('entrypoints')", word.value)
    return () if words == own else words


def command_words(value: Any) -> tuple[str, ...]:
    """Return the words of a command: a text is split as a shell would split it, as Docker does. Raises ValueError."""
    try:
        words = split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from error
    if not isinstance(words, list | tuple) or not words or not all(isinstance(w, str) and w.strip() for w in words):
        raise ValueError(_NO_ENTRY_POINT)
    check_words(words)
    return tuple(words)
