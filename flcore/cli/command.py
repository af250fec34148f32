"""What the subcommands of ``flcore`` share, those of other packages too.

A package adds commands by entry points of the group ``flcore.commands``: functions that get argparse's subparsers, and
call :func:`add_command`. They are loaded whenever the command line is parsed, so what is slow is imported by ``run``.

It adds to what ``flcore check`` can check by those of the group ``flcore.checks``: functions that get a folder, and all
folders that are checked, and return a :class:`FolderCheck`, or raise ConfigError: what a folder of theirs would be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ..disk.os_errors import in_words
from ..errors import ConfigError
from ..import_path import import_from
from .parser import Parser

if TYPE_CHECKING:
    from ..errors import FLCoreError
    from ..job_launcher_spec import Check, LaunchRequest
    from ..site_config import SiteConfig
    from ..submitted_job import SubmittedJob

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

COMMANDS_GROUP = "flcore.commands"
CHECKS_GROUP = "flcore.checks"

EXIT_OK, EXIT_FAILED, EXIT_ERROR, EXIT_NO_OUTPUT, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 0, 1, 2, 74, 130, 141


class FolderCheck(Protocol):
    """The check of a site whose config is a folder."""

    @property
    def title(self) -> str:
        """What it is."""
        ...

    def checks(self) -> Iterable[Check]:
        """Yield what was found. May raise ConfigError at the end, with a line for each thing that is wrong."""
        ...

    def reach_checks(self) -> Iterable[Check]:
        """Yield what its jobs reach of the network: tried, by something like a job."""
        ...

    def launch_of(self, job: SubmittedJob) -> LaunchRequest | FLCoreError | str:
        """Return what a job would be launched with, why it would be refused, or why it is not launched there.

        Raises ConfigError if that cannot be told.
        """
        ...


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], summary: str, epilog: str
) -> Parser:
    """Add a command, and return its parser.

    ``run`` returns the exit status, and may raise FLCoreError, which is shown in lines that begin with
    ``flcore: error:``. ``epilog`` has an example at least, and ends with what the exit statuses mean.
    """
    epilog = f"{epilog};\n{EXIT_NO_OUTPUT} if standard output took not all, as on a full disk"
    parser = commands.add_parser(name, help=summary, description=summary, epilog=epilog)
    parser.add_argument("-v", "--verbose", action="count", default=0, help="log more to standard error; twice: all")
    # Without a default, which would take the place of what stands before the command.
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error comes from"
    )
    parser.set_defaults(command=run, parser=parser)
    return parser


def add_commands_of_packages(commands: Commands) -> None:
    """Add what other packages have registered, in the order of their names."""
    for entry_point in _registered(COMMANDS_GROUP):
        entry_point.load()(commands)


def check_of_folder(folder: Path, folders: Sequence[Path]) -> FolderCheck:
    """Return the check of a folder by the package that knows it. Raises ConfigError if none does."""
    reasons = []
    for entry_point in _registered(CHECKS_GROUP):
        try:
            found: FolderCheck = entry_point.load()(folder, folders)
        except ConfigError as error:
            reasons.append(str(error))
        else:
            return found
    raise ConfigError("\n".join(reasons) or f"{folder}: is a folder; name a site's config")


@contextmanager
def disk_in_words() -> Iterator[None]:
    """Raise ConfigError, which names the path, for a file or folder that a disk does not let be looked at.

    What standard output does not take is another matter, and passed on.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise ConfigError(in_words(error)) from error


def read_config(path: str) -> SiteConfig:
    """Read a site's config for a command: the classes that it names may lie beside it. Raises ConfigError."""
    from ..site_config import SiteConfig  # slow, and many commands need none

    import_from(str(Path(path).absolute().parent))
    return SiteConfig.read(path)


def whole_number(text: str) -> int:
    """Return the number of an option that counts something, as the ``type`` of an argument."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


@cache
def _registered(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda found: found.name)
