"""What to type next, so that it works as it is printed: by the names of programs where the shell finds these."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from flcore.extras import how_to_install_package


def next_commands(folder: Path, site: str, job: str, test: str) -> list[str]:
    """Return the commands that try what was written to a folder, the first of which goes there if need be."""
    go = [] if folder.resolve() == Path.cwd() else [f"cd {as_word(folder)}"]
    flcore, pytest = as_typed("flcore"), as_typed("pytest")
    if not find_spec("pytest"):
        pytest = f"{how_to_install_package('pytest')} && {pytest}"
    return [*go, f"{flcore} check {site}", f"{flcore} run {job} --site {site}", f"{pytest} {test}"]


def as_word(path: Path) -> str:
    """Return a path as a shell reads it: no option, one word, and printed as it is."""
    text = f"./{path}" if str(path).startswith("-") else str(path)
    if text.isprintable():
        return shlex.quote(text)
    hexed = (chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f"$'{''.join(hexed)}'"


def as_typed(program: str) -> str:
    """Return a program of this environment as a shell finds it, which may have another of that name, or none."""
    own = Path(sys.executable).parent
    found = shutil.which(program)
    if found and Path(found).parent.resolve() == own.resolve():
        return program
    script = own / program
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m {program}"
