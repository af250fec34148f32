"""What others install: the source distribution, and the wheel that is built of it, far from this checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.kit_folder import make_kit

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flcore", "launchers")
DEPLOY = "configs/deploy"
_OF_FLARE = {f"flare.{name}" for name in ("job_failure", "job_handle", "key_watch", "kit_launcher")}
NEED_NVFLARE = {f"launchers.{name}" for name in (*_OF_FLARE, "nvflare_launcher", "nvflare_resource_manager")}
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


def is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def sources() -> set[str]:
    """Name all files of the packages in this checkout, as paths from its root."""
    return {str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).rglob("*") if is_source(path)}


def modules() -> set[str]:
    paths = [Path(name) for name in sources() if name.endswith(".py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return names - {"flcore.__main__"}  # which runs


def run(*command: str | Path, cwd: Path, text: str = "") -> str:
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, to: Path) -> Path:
    """Build it by the setuptools that are installed here, so that no package index is asked."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    run(sys.executable, "-c", code, to, cwd=source)
    (built,) = to.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it from a copy, which has nothing of earlier builds; and this one leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGES, DEPLOY):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in filter(Path.is_file, ROOT.glob("*.*")):
        shutil.copy(path, copy)
    shutil.copy(ROOT / "LICENSE", copy)
    return build("sdist", copy, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, which takes other packages from where the tests' own are."""
    others = tmp_path_factory.mktemp("others")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "flcore" not in path.name:
            (others / path.name).symlink_to(path)
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"{others}\n")
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin/python")
    run(*pip, "install", "--no-index", f"{wheel}[cli,metrics,web]", cwd=environment)
    return environment / "bin"


def test_the_source_distribution_has_all_files_of_the_packages_and_the_license(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() - names == set()
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"} <= names


def test_the_wheel_has_all_files_of_the_packages_and_no_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}
    assert names == sources()


def test_what_is_installed_around_a_site_comes_with_the_wheel_where_the_docs_say(installed: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if is_source(path)}

    assert contents(installed.parent / "share/flcore/deploy") == contents(ROOT / DEPLOY)


def test_what_is_no_python_is_among_the_files() -> None:
    assert {"flcore/py.typed", "launchers/py.typed", "launchers/report/templates/page.html"} <= sources()


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
