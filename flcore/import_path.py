"""Where the ``flcore`` command imports from: never from the folder that it is called in, as that may be a job's.

``python -m flcore`` has that folder first on ``sys.path``, and imports the package before any of the command's own code
runs. So this is the first module of all, and imports only what every interpreter has loaded already.
"""

from __future__ import annotations

import os
import sys


def leave_current_folder() -> None:
    """Take the current folder from ``sys.path``, unless PYTHONPATH names it, or flcore itself is there."""
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109 - pathlib is not loaded yet
    except OSError:  # it is gone, and so is all that lay in it
        here = ""
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    wanted = [*named, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]  # noqa: PTH100, PTH120
    if here not in map(os.path.realpath, wanted):
        sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


def import_from(folder: str) -> None:
    """Let classes that a site's config names be imported from its folder: behind all else, so they replace nothing."""
    if folder not in sys.path:
        sys.path.append(folder)


def _is_looked_for_by_python_m() -> bool:
    """Whether Python looks for the program that ``python -m flcore`` is to run: until it has found it, it says so."""
    return sys.argv[:1] == ["-m"] and "flcore" in sys.orig_argv


if _is_looked_for_by_python_m():
    leave_current_folder()
