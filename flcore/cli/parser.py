"""How the command line is read: what nobody knows is answered by what it is like, help is as wide as the terminal."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NoReturn

from ..config.problems import did_you_mean
from ..plain_text import visible

_MARGIN = 2
"""Cells that argparse, too, leaves free."""


class Parser(argparse.ArgumentParser):
    """The parser of the command, or of one of its commands.

    The text behind the options, the epilog, is as wide as the terminal, but for what is to be typed.
    """

    hint = ""
    """What to do where an argument is missing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.option_names: list[str] = []
        self.commands: Any = None
        super().__init__(*args, **kwargs)
        self.formatter_class = argparse.RawDescriptionHelpFormatter

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        action = super().add_argument(*args, **kwargs)
        self.option_names += action.option_strings
        return action

    def add_subparsers(self, **kwargs: Any) -> Any:
        self.commands = super().add_subparsers(**kwargs)
        return self.commands

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        if self.commands and args and not args[0].startswith("-"):
            self._check_command(args[0])
        return super().parse_known_args(args, namespace)

    def _check_command(self, word: str) -> None:
        """End the process if no command is called so, and say which one is called almost so."""
        if word not in self.commands.choices:
            meant = did_you_mean(word, self.commands.choices) or f"; see: {self.prog} --help"
            self.error(f"there is no command {word!r}{meant}")

    def format_help(self) -> str:
        epilog, self.epilog = self.epilog, filled(self.epilog or "", shutil.get_terminal_size().columns - _MARGIN)
        try:
            return super().format_help()
        finally:
            self.epilog = epilog

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}; {self.hint}" if self.hint and "required" in message else message)

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Say which words of the command line nobody knows, and end the process."""
        option = next((word.partition("=")[0] for word in words if word.startswith("-")), "")
        if not option:
            self.error(f"too many words: {visible(' '.join(words))}")
        self.error(f"there is no option {option!r}{did_you_mean(option, self.option_names)}")


def filled(text: str, width: int) -> str:
    """Return a text whose paragraphs are as wide as there is room; lines that begin with blanks stay as they are."""
    blocks = groupby(text.split("\n"), lambda line: line[:1] in ("", " "))
    return "\n".join("\n".join(lines) if is_kept else _as_wide(" ".join(lines), width) for is_kept, lines in blocks)


def _as_wide(text: str, width: int) -> str:
    return textwrap.fill(text, max(width, 20), break_on_hyphens=False, break_long_words=False)
