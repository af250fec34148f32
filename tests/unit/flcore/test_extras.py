"""A message that names an extra says how to get it from where this flcore was got."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flcore import extras
from flcore.extras import how_to_install

METADATA = """Metadata-Version: 2.4
Name: flcore
Version: 9
Requires-Dist: blinker>=1.8
Requires-Dist: rich>=13; extra == "cli"
Requires-Dist: jinja2>=3.1; extra == "web"
Requires-Dist: pygal>=3; extra == 'web'
"""
COMMIT = "b5ddd099d126f9812f6eeb96296d12581d3ad09c"
WHEEL = "flcore-9-py3-none-any.whl"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what notes an installation of flcore, with what its installer says of its origin.

    It is found before the one that runs these tests, and its environment's programs come first in PATH.
    """
    programs = tmp_path / "environment/bin"
    programs.mkdir(parents=True)
    (programs / "pip").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    def note(origin: dict[str, Any] | None, installer: str = "pip") -> None:
        folder = tmp_path / "site-packages/flcore-9.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(METADATA)
        (folder / "INSTALLER").write_text(f"{installer}\n")
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.setattr(sys, "path", [str(folder.parent)])

    return note


@pytest.fixture
def no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "SOURCES", tmp_path / "site-packages")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "down loads" / WHEEL
    path.parent.mkdir()
    path.touch()
    return path


def test_from_an_index_it_is_asked_of_the_index(install: Install, no_checkout: None) -> None:
    install(None)
    assert how_to_install("web") == "pip install 'flcore[web]'"


def test_a_checkout_in_place_is_installed_in_place_again(install: Install, tmp_path: Path) -> None:
    install({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    assert how_to_install("web") == f"pip install -e '{tmp_path}[web]'"


def test_a_checkout_that_was_copied_is_copied_again(install: Install, tmp_path: Path) -> None:
    install({"url": tmp_path.as_uri(), "dir_info": {}})
    assert how_to_install("web") == f"pip install '{tmp_path}[web]'"


def test_a_wheel_is_taken_from_its_file_whatever_its_folder_is_called(install: Install, wheel: Path) -> None:
    install({"url": wheel.as_uri(), "archive_info": {}})
    assert shlex.split(how_to_install("web")) == ["pip", "install", f"{wheel}[web]"]


def test_where_the_wheel_is_gone_the_packages_of_the_extra_are_named(install: Install, wheel: Path) -> None:
    install({"url": wheel.as_uri(), "archive_info": {}})
    wheel.unlink()
    assert how_to_install("web") == "pip install 'jinja2>=3.1' 'pygal>=3'"


def test_a_wheel_at_an_address_is_taken_from_there(install: Install) -> None:
    install({"url": f"https://files.invalid/{WHEEL}", "archive_info": {}})
    assert how_to_install("web") == f"pip install 'flcore[web] @ https://files.invalid/{WHEEL}'"


@pytest.mark.parametrize(
    ("more", "end"), [({}, ""), ({"subdirectory": "python"}, "#subdirectory=python")], ids=["root", "folder"]
)
def test_a_repository_is_asked_for_the_same_commit(install: Install, more: dict[str, str], end: str) -> None:
    install({"url": "https://git.invalid/flcore", "vcs_info": {"vcs": "git", "commit_id": COMMIT}, **more})
    assert how_to_install("web") == f"pip install 'flcore[web] @ git+https://git.invalid/flcore@{COMMIT}{end}'"


def test_a_pip_that_would_install_elsewhere_is_not_called(
    install: Install, no_checkout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(None)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert how_to_install("web") == f"{sys.executable} -m pip install 'flcore[web]'"


def test_an_environment_of_uv_has_no_pip(install: Install, no_checkout: None, monkeypatch: pytest.MonkeyPatch) -> None:
    install(None, installer="uv")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert how_to_install("web") == "uv pip install 'flcore[web]'"
    monkeypatch.delenv("VIRTUAL_ENV")
    assert how_to_install("web") == f"uv pip install --python {sys.executable} 'flcore[web]'"


def test_another_interpreter_is_told_to_install_what_this_one_has(install: Install, tmp_path: Path) -> None:
    install({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    assert how_to_install("nvflare", "/kit/bin/python3") == f"/kit/bin/python3 -m pip install -e '{tmp_path}[nvflare]'"


def test_sources_that_were_never_installed_are_installed_in_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [])
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "SOURCES", tmp_path)
    assert how_to_install("web").endswith(f" -m pip install -e '{tmp_path}[web]'")
