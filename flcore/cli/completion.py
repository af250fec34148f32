"""Completion of the command line by a shell's Tab: its options, its files, and whatever a command knows itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ConfigError
from ..extras import how_to_install
from .command import EXIT_OK, Commands, add_command

SHELLS = ("bash", "zsh", "fish")
_ASKED = "_ARGCOMPLETE"
"""The variable by which a shell asks."""
_EXAMPLE = """examples:
  eval "$(flcore completion bash)"        # in ~/.bashrc
  eval "$(flcore completion zsh)"         # in ~/.zshrc, behind compinit
  flcore completion fish | source         # in ~/.config/fish/config.fish

Needs argcomplete, which the extra 'cli' installs.

exit status: 0; 2 for an error"""

Completer = Callable[..., Iterable[str]]
"""Called with ``prefix`` and ``parsed_args``, the options before it, by name; returns what begins so."""


def add_completion(commands: Commands) -> None:
    """Add the command that prints what a shell has to know."""
    parser = add_command(commands, "completion", run, "print the code that has a shell complete commands", _EXAMPLE)
    parser.add_argument(
        "shell", metavar="SHELL", choices=SHELLS, help=" or ".join((", ".join(SHELLS[:-1]), SHELLS[-1]))
    )


def run(args: argparse.Namespace) -> int:
    """Print the code; return the exit status."""
    print(_argcomplete().shellcode(["flcore"], shell=args.shell))
    return EXIT_OK


def completed_by(action: argparse.Action, completer: Completer) -> None:
    """Have an argument completed by what a function returns."""
    vars(action)["completer"] = completer  # where argcomplete looks for it


def complete_if_asked(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks, and end the process; else return, and import nothing."""
    if _ASKED in os.environ:
        _argcomplete().autocomplete(parser)


def _argcomplete() -> Any:
    try:
        import argcomplete
    except ImportError as error:
        raise ConfigError(f"completion needs argcomplete: {how_to_install('cli')}") from error
    return argcomplete
