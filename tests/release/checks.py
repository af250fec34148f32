"""What is checked of built distributions before anybody gets them."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from tests.environments import ROOT, environment

from .long_description import FILE

PACKAGES = ("flcore", "launchers")
DEPLOY, INSTALLED_DEPLOY = "configs/deploy", "share/flcore/deploy"
"""What is installed around a site, here and in an environment that has the wheel."""
_TOOLS = ("pip >= 26", "twine == 6.*", "readme-renderer[md]")
_GENERATED = {"PKG-INFO", FILE}
_RENDER = "import sys; from readme_renderer.markdown import render; print(render(sys.stdin.read()))"


def problems(sdist: Path, wheel: Path, sources: list[str]) -> Iterator[str]:
    """Say what is wrong with both, of which the first should have all these files, and the other those of packages."""
    yield from _differences(sdist.name, names_in_sdist(sdist) - _GENERATED, set(sources))
    yield from _differences(wheel.name, names_in_wheel(wheel), {name for name in sources if is_of_wheel(name)})
    yield from twine_problems(sdist, wheel)
    yield from (f"{wheel.name}: the description has a dead link to {link}" for link in dead_links(wheel))


def names_in_sdist(sdist: Path) -> set[str]:
    """Name its files, but for the folder of metadata that setuptools adds."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    return {name for name in names if not name.startswith("flcore.egg-info/")}


def names_in_wheel(wheel: Path) -> set[str]:
    """Name its files as they are called here, but for the folder of metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    return {re.sub(rf"^flcore-[^/]+\.data/data/{INSTALLED_DEPLOY}/", f"{DEPLOY}/", name) for name in names}


def twine_problems(*distributions: Path) -> Iterator[str]:
    done = subprocess.run(
        [tools(), "-m", "twine", "check", "--strict", *distributions], capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield f"twine: {done.stdout}{done.stderr}"


def description_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        described = message_from_bytes(archive.read(metadata)).get_payload(decode=True)
    assert isinstance(described, bytes)
    return described.decode()


def dead_links(wheel: Path) -> list[str]:
    """Return the links that lead nowhere from the page of an index, as that makes a page of the description."""
    done = subprocess.run(
        [tools(), "-c", _RENDER], input=description_of(wheel), capture_output=True, text=True, check=True
    )
    page = _Links()
    page.feed(done.stdout)
    elsewhere = ("https://", "http://", "mailto:")
    return [link for link in page.links if not link.startswith(elsewhere) and link not in page.places]


class _Links(HTMLParser):
    """Gathers what a page links to, and shows; and which places it has that may be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.places |= {f"#{value}" for name, value in attrs if name in ("id", "name")}


def is_of_wheel(name: str) -> bool:
    """Whether a file of this checkout comes with the wheel."""
    return name.partition("/")[0] in PACKAGES or name.startswith(f"{DEPLOY}/")


def _differences(which: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    for what, names in {"lacks": wanted - found, "has beside what it should": found - wanted}.items():
        if names:
            yield f"{which} {what}: {', '.join(sorted(names))}"


@cache
def tools() -> Path:
    """Return the interpreter of an environment with what checks, and with a pip that knows the newest Pythons."""
    return environment(ROOT / "build/release/tools", *_TOOLS)
