"""What others install: the source distribution, and the wheel that is built of it, far from this checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.kit_folder import make_kit
from tests.release.checks import DEPLOY, INSTALLED_DEPLOY, PACKAGES, is_of_wheel, names_in_sdist, names_in_wheel
from tests.release.long_description import FILE
from tests.release.sources import files_of

from .conftest import run

_OF_FLARE = {f"flare.{name}" for name in ("job_failure", "job_handle", "key_watch", "kit_launcher")}
_IN_KITS = ("nvflare_early_deployment", "nvflare_launcher", "nvflare_resource_manager")
NEED_NVFLARE = {f"launchers.{name}" for name in (*_OF_FLARE, *_IN_KITS)}
"""What only a site of NVIDIA FLARE imports: that is not installed here, and has dependencies of its own."""
IMPORT_ALL = """
import importlib, json, sys
told = {"files": [], "missing": {}}
for name in json.load(sys.stdin):
    try:
        told["files"].append(importlib.import_module(name).__file__)
    except ModuleNotFoundError as error:
        told["missing"][name] = error.name
print(json.dumps(told))
"""


def modules() -> set[str]:
    paths = [Path(name) for name in files_of(ROOT) if name.endswith(".py") and name.partition("/")[0] in PACKAGES]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return names - {"flcore.__main__"}  # which runs


def test_the_source_distribution_has_all_that_git_has_and_no_more(sdist: Path) -> None:
    assert names_in_sdist(sdist) - {"PKG-INFO", FILE} == set(files_of(ROOT))


def test_the_wheel_has_all_files_of_the_packages_and_no_others(wheel: Path) -> None:
    assert names_in_wheel(wheel) == set(filter(is_of_wheel, files_of(ROOT)))


def test_what_is_installed_around_a_site_is_where_the_pages_say(installed: Path) -> None:
    there, here = installed.parent / INSTALLED_DEPLOY, ROOT / DEPLOY
    names = {Path(name).name for name in files_of(ROOT) if name.startswith(f"{DEPLOY}/")}
    assert names == {path.name for path in there.iterdir() if path.is_file()}
    assert all((there / name).read_bytes() == (here / name).read_bytes() for name in names)


def test_what_is_no_python_is_among_the_files() -> None:
    assert {"flcore/py.typed", "launchers/py.typed", "launchers/report/templates/page.html"} <= set(files_of(ROOT))


def test_every_module_can_be_imported_where_the_wheel_is_installed(installed: Path, tmp_path: Path) -> None:
    told = json.loads(run(installed / "python", "-c", IMPORT_ALL, cwd=tmp_path, text=json.dumps(sorted(modules()))))
    assert told["missing"] == dict.fromkeys(NEED_NVFLARE, "nvflare")
    assert len(told["files"]) == len(modules() - NEED_NVFLARE)
    assert [file for file in told["files"] if not Path(file).is_relative_to(installed.parent)] == []


@pytest.mark.parametrize("command", [["flcore"], ["python", "-m", "flcore"]], ids=" ".join)
def test_the_command_is_installed_with_what_adds_to_it(command: list[str], installed: Path, tmp_path: Path) -> None:
    shown = run(installed / command[0], *command[1:], "--help", cwd=tmp_path)
    assert shown.startswith("usage: flcore")
    assert all(name in shown for name in ("run", "ps", "report"))


def test_a_kit_of_nvidia_flare_is_set_up_by_what_is_installed(installed: Path, tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "site-1")
    wanted = ("--image", "job:1", "--network", "flare", "--address", "172.30.0.1")
    run(installed / "flcore", "nvflare", "install", kit, *wanted, cwd=tmp_path)
    launcher, _ = json.loads((kit / "local/flcore__p_resources.json").read_text())["components"]
    assert launcher["args"] == {"image": "job:1", "network": "flare"}


def test_an_extra_is_had_from_the_wheel_that_was_installed(installed: Path, wheel: Path, tmp_path: Path) -> None:
    code = "from flcore.extras import how_to_install; print(how_to_install('hocon'))"
    told = run(installed / "python", "-c", code, cwd=tmp_path)
    assert told == f"{installed / 'python'} -m pip install '{wheel}[hocon]'\n"
