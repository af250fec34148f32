"""Saying all that is wrong with a config at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar, cast

from ..errors import ConfigError

T = TypeVar("T")
P = ParamSpec("P")


class Problems:
    """Collects what is wrong, a line each, as it stands in the errors of the checks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def attempt(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``check`` returns. Where it raises ConfigError or ValueError, take note, and return None.

        Nobody may make use of that None: call :meth:`raise_all` first.
        """
        try:
            return check(*args, **kwargs)
        except (ConfigError, ValueError) as error:
            self.lines += str(error).splitlines()
            return cast("Any", None)  # type: ignore[no-any-return]  # nobody makes use of it

    def raise_all(self, kind: type[Exception]) -> None:
        """Raise one error with all that was noted, a line each; do nothing if there is nothing."""
        if self.lines:
            raise kind("\n".join(self.lines))


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """Return a question behind a word that nobody knows; empty where it is like none of those that are known."""
    import difflib  # only a config that is wrong has need of it

    close = difflib.get_close_matches(str(word), [str(name) for name in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
