"""JOB_PROCESS_ARGS to an argument list and an environment. Pure.

The arguments, their flags and their order are NVIDIA FLARE's: ``name -> (flag, value)``, missing ones are skipped.
Credentials never stand in the argument list; they travel in the environment, as from NVIDIA FLARE 2.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flcore.fl_constant import JobProcessArgs as Arg
from flcore.job_launcher_spec import JobArgs

from .argv_limits import check_words, split

CREDENTIAL_VARIABLES = {
    Arg.AUTH_TOKEN: "NVFLARE_JOB_AUTH_TOKEN",
    Arg.TOKEN_SIGNATURE: "NVFLARE_JOB_TOKEN_SIGNATURE",
    Arg.SSID: "NVFLARE_JOB_SSID",
}

CLIENT_ARGS = (
    Arg.EXE_MODULE,
    Arg.WORKSPACE,
    Arg.STARTUP_DIR,
    Arg.JOB_ID,
    Arg.CLIENT_NAME,
    Arg.PARENT_URL,
    Arg.PARENT_CONN_SEC,
    Arg.TARGET,
    Arg.SCHEME,
    Arg.STARTUP_CONFIG_FILE,
    Arg.OPTIONS,
)
SERVER_ARGS = (
    Arg.EXE_MODULE,
    Arg.WORKSPACE,
    Arg.STARTUP_CONFIG_FILE,
    Arg.APP_ROOT,
    Arg.JOB_ID,
    Arg.PARENT_URL,
    Arg.ROOT_URL,
    Arg.SERVICE_HOST,
    Arg.SERVICE_PORT,
    Arg.HA_MODE,
    Arg.OPTIONS,
)

_MISSING = ("", None)
_PATHS = frozenset({Arg.WORKSPACE, Arg.STARTUP_DIR, Arg.APP_ROOT})


def job_command(python: str, job_args: JobArgs, names: tuple[str, ...], place: Callable[[str], str]) -> list[str]:
    """Return the command of a job's process: ``python -u``, then the named arguments in their order.

    Arguments that are missing, or None, are left out.

    ``place`` turns a path of the host into the one that the job sees. Raises ValueError if the module to run is
    missing, an argument is no pair of a flag and a value, cannot be split into words, or given to a process.
    """
    if Arg.EXE_MODULE not in job_args:
        raise ValueError(f"the job arguments name no {Arg.EXE_MODULE}: which module should the process run?")
    command = [python, "-u"]  # unbuffered: what it has written can be read at once, and is there if it is killed
    for name in names:
        flag, value = _pair(name, job_args.get(name, _MISSING))
        if value is not None:
            words = [flag, *_split_value(name, place(str(value)) if name in _PATHS else str(value))]
            _check_argument(name, words)
            command += words
    return command


def credentials(job_args: JobArgs) -> dict[str, str]:
    """Return the environment variables that carry the job's credentials."""
    values = {CREDENTIAL_VARIABLES[name]: _pair(name, job_args.get(name, _MISSING))[1] for name in CREDENTIAL_VARIABLES}
    return {variable: str(value) for variable, value in values.items() if value is not None}


def _check_argument(name: str, words: list[str]) -> None:
    try:
        check_words(words)
    except ValueError as error:
        raise ValueError(f"the job argument {name}: {error}") from error


def _pair(name: str, value: Any) -> tuple[str, Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"the job argument {name} must be a flag and a value")
    return value[0], value[1]


def _split_value(name: str, value: str) -> list[str]:
    """Return an argument's value as words: one, except for the options, which are ``k=v k=v …``."""
    if name != Arg.OPTIONS:
        return [value]
    try:
        return split(value)
    except ValueError as error:
        raise ValueError(f"the job argument {name} cannot be split into words: {error}") from error
