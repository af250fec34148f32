"""How server and client start (arguments, options, environment, the site's data) and how they end."""

import argparse
import csv
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

from softmax import DIGITS, INPUTS, Sample, sample

Config = TypeVar("Config")

DATASET_VARIABLE = "FLCORE_DATASET_DIGITS"
MAX_OPTION = 1e6


class JobError(Exception):
    """The job cannot go on. Its message is the one line that the process prints before it ends."""

    exit_code = 1


class ConfigError(JobError):
    """The process was started with something missing or wrong."""

    exit_code = 103


class ArgumentParser(argparse.ArgumentParser):
    """The flags that server and client share; a wrong one is a ConfigError, not argparse's exit code 2."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("-m", dest="workspace", type=Path, required=True)
        self.add_argument("-n", dest="job_id", required=True)
        self.add_argument("-s", dest="config_file", required=True)
        self.add_argument("--set", dest="options", nargs="*", default=[])

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the arguments that this job needs; a launcher passes others too, for other programs."""
        return self.parse_known_args(argv)[0]

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(message)


def run(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Call `main` with the command line, and exit.

    The code is 0, that of a JobError (after one line on stderr), or 143 at SIGTERM.
    """
    _exit_at_sigterm()
    try:
        main(sys.argv[1:])
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def _exit_at_sigterm() -> None:
    """Leave the signal to a thread that waits for it.

    A handler would run in the main thread, which may be stuck for seconds in a name lookup.
    """

    def wait_and_exit() -> None:
        os._exit(128 + signal.sigwait({signal.SIGTERM}))

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=wait_and_exit, daemon=True).start()


def load_config(kind: type[Config], path: Path, options: Iterable[str]) -> Config:
    """Read a `kind` (a dataclass of positive numbers) from JSON; options (`name=value`) override the file."""
    fields = get_type_hints(kind)
    values = read_object(path) | _overrides(options, fields)
    if wrong := fields.keys() ^ values.keys():
        raise ConfigError(f"{path}: missing or unknown: {', '.join(sorted(wrong))}")
    return kind(**{name: _positive(name, values[name], fields[name]) for name in fields})


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: an object is needed, not {type(value).__name__}")
    return value


def _overrides(options: Iterable[str], known: Iterable[str]) -> dict[str, object]:
    """Parse the options of this job; launchers add some for other programs (`secure_train=true`)."""
    pairs = (option.partition("=") for option in options)
    return {name: _number(value) for name, _, value in pairs if name in known}


def _number(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text  # no number: for the caller to refuse, by name


def _positive(name: str, value: Any, kind: type[int] | type[float]) -> float:
    if type(value) in {int, kind} and 0 < value <= MAX_OPTION:
        return kind(value)
    needed = "whole number" if kind is int else "number"
    raise ConfigError(f"option {name}: a {needed} above 0, up to {MAX_OPTION:g}, is needed, not {value!r}")


def environment(name: str) -> str:
    """Return the value of an environment variable that must be set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"the environment variable {name} is missing or empty")
    return value


def job_token() -> str:
    """Return the secret that the server and the clients of this job share."""
    variable = "NVFLARE_JOB_AUTH_TOKEN"
    token = environment(variable)
    if not (token.isascii() and token.isprintable()):  # found later, it would be in the error's text
        raise ConfigError(f"the environment variable {variable} holds what an HTTP header cannot")
    return token


def load_samples(path: Path) -> list[Sample]:
    """Read a CSV file: a header line, then one image per line, 64 pixels (0 to 16) and the digit."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"cannot read the data set {path}: {error}") from error
    if len(lines) < 2:
        raise ConfigError(f"the data set {path} has no images")
    return [_sample(line, f"{path}, line {number}") for number, line in enumerate(lines[1:], start=2)]


def _sample(line: Sequence[str], where: str) -> Sample:
    try:
        *pixels, digit = map(int, line)
        if len(pixels) == INPUTS - 1 and digit in range(DIGITS):
            return sample(pixels, digit)
    except ValueError:
        pass  # refused below: its text would quote the site's data
    raise ConfigError(f"{where}: 64 pixels and a digit are needed")
