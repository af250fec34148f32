"""What a launcher's ``get_command`` returns, checked, as a runtime takes it: words, which no shell reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from flcore.config.strict_json import shown
from flcore.errors import JobLaunchError

from .policy.argv_limits import check_words, split

Words: TypeAlias = tuple[str, ...]
NamedCommand: TypeAlias = tuple[str, str | Sequence[str]]
"""A container's name, and its launch command: the words, or a text that is split into them as by a shell."""


def checked_command(job_id: str, launcher: type[Any], returned: Any) -> tuple[str, Words]:
    """Return the name and the words of what the ``get_command`` of a launcher has returned. Raises JobLaunchError."""
    match returned:
        case (str(name), str(command)) if isinstance(returned, tuple):  # a list would be a command without a name
            return name, _checked_words(job_id, command)
        case (str(name), list() | tuple() as words) if all(isinstance(word, str) for word in words):
            return name, _checked_words(job_id, words)
    wanted = "must return (name, command): a tuple of two strings, or of a string and a list of strings"
    raise JobLaunchError(f"job {job_id}: {launcher.__qualname__}.get_command {wanted}; got {shown(returned)}")


@contextmanager
def about(job: str) -> Iterator[None]:
    """Have a ValueError become the error of a launch that names the job."""
    try:
        yield
    except ValueError as error:
        raise JobLaunchError(f"job {job}: {error}") from error


def _checked_words(job_id: str, command: str | Sequence[str]) -> Words:
    with about(f"{job_id}: its launch command"):
        words = tuple(split(command) if isinstance(command, str) else command)
        check_words(words)
    if not words:
        raise JobLaunchError(f"job {job_id}: its launch command is empty")
    return words
