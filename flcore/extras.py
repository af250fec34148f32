"""How to get an extra of flcore, such as ``web``: from where this copy of flcore came, which need not be an index."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_NAME = "flcore"
_ORIGIN = "direct_url.json"
"""Where an installer notes that it has taken a package from a folder, a file or a repository."""
SOURCES = Path(__file__).resolve().parents[1]
"""A checkout, if this flcore runs from one."""


def how_to_install(extra: str, python: str | None = None) -> str:
    """Return the command by which an interpreter gets flcore with an extra (None: this interpreter, which lacks it)."""
    found = _distribution()
    installer = [python, "-m", "pip", "install"] if python else _installer(found)
    return shlex.join([*installer, *_wanted(found, extra)])


def how_to_install_package(name: str) -> str:
    """Return the command by which this interpreter gets another package."""
    return shlex.join([*_installer(_distribution()), name])


def _distribution() -> Distribution | None:
    """Return what knows its origin, or else any: beside a checkout lies what its last build has left."""
    from importlib.metadata import distributions  # here: it takes a quarter of the time of importing flcore

    found = list(distributions(name=_NAME))
    return next((one for one in found if one.read_text(_ORIGIN)), found[0] if found else None)


def _installer(found: Distribution | None) -> list[str]:
    """Return what installs into the environment of this process, whichever the shell's PATH has first."""
    if found and (found.read_text("INSTALLER") or "").strip() == "uv":  # whose environments have no pip
        is_active = os.environ.get("VIRTUAL_ENV") == sys.prefix
        return ["uv", "pip", "install", *([] if is_active else ["--python", sys.executable])]
    pip = shutil.which("pip")
    is_own = pip is not None and Path(pip).parent == Path(sys.executable).parent
    return [*(["pip"] if is_own else [sys.executable, "-m", "pip"]), "install"]


def _wanted(found: Distribution | None, extra: str) -> list[str]:
    origin = json.loads((found and found.read_text(_ORIGIN)) or "{}")
    if not origin:
        is_checkout = (SOURCES / "pyproject.toml").is_file()
        return ["-e", f"{SOURCES}[{extra}]"] if is_checkout else [f"{_NAME}[{extra}]"]
    url = str(origin["url"])
    if not url.startswith("file:") or "vcs_info" in origin:
        return [f"{_NAME}[{extra}] @ {_address(url, origin)}"]
    path = Path(url2pathname(urlsplit(url).path), origin.get("subdirectory", ""))
    if not path.exists():  # as a wheel that was installed once from a folder for downloads
        return list(_needed(found, extra))
    return [*(["-e"] if origin.get("dir_info", {}).get("editable") else []), f"{path}[{extra}]"]


def _address(url: str, origin: dict[str, Any]) -> str:
    repository = origin.get("vcs_info")
    commit = f"@{repository['commit_id']}" if repository else ""
    folder = f"#subdirectory={origin['subdirectory']}" if "subdirectory" in origin else ""
    return f"{repository['vcs']}+{url}{commit}{folder}" if repository else f"{url}{folder}"


def _needed(found: Distribution | None, extra: str) -> Iterator[str]:
    """Yield what the extra stands for: all that can be said where flcore itself cannot be had again."""
    for requirement in (found and found.requires) or []:
        package, _, marker = requirement.partition(";")
        if f'extra == "{extra}"' in marker.replace("'", '"'):
            yield package.strip()
