"""Images that are built of configs/deploy on a machine that reaches Debian's packages, but no registry of images."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import BuildError, ImageNotFound

from launchers.first_site.python_image import fingerprint
from tests.engines.roots import mirror
from tests.environments import ROOT

DEPLOY = ROOT / "configs/deploy"
_SUITE = "bookworm"
_APT_OPTIONS = ("APT::Install-Recommends false", "Acquire::Check-Valid-Until false")


def base_image(client: Any) -> str:
    """Return the name of an image that is Debian and nothing else; make it if it is missing, in half a minute."""
    options = [f"--aptopt={option}" for option in _APT_OPTIONS]
    command = ["mmdebstrap", "--quiet", "--variant=apt", "--include=ca-certificates", *options, _SUITE, "-"]
    command.append(f"deb {mirror()} {_SUITE} main")
    name = f"flcore-deploy-base:{fingerprint(command)}"
    if not client.images.list(name):
        made = subprocess.run(command, capture_output=True, check=False)
        assert made.returncode == 0, made.stderr.decode()
        client.api.import_image_from_data(made.stdout, *name.split(":"))
    return name


def build(client: Any, file: str, folder: Path, name: str, target: str = "", **arguments: str) -> str:
    """Build an image of a file of configs/deploy, in a folder that has what it copies; return its name."""
    shutil.copy(DEPLOY / file, folder)
    try:
        client.images.build(
            path=str(folder),
            dockerfile=file,
            tag=name,
            target=target or None,
            buildargs=arguments,
            network_mode="host",
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        raise AssertionError("".join(line.get("stream", "") for line in error.build_log)) from error
    return name


def python_image(client: Any, folder: Path) -> str:
    """Return an image with Debian's Python, as that for CUDA has it, in place of the public ones."""
    name = "flcore-deploy-python:1"
    return build(client, "Dockerfile.job-cuda", folder, name, target="python", BASE=base_image(client))


def put_wheels(folder: Path) -> None:
    """Have wheels of flcore and of what a site in a container needs beside the files that are built."""
    source = folder.parent / f"{folder.name}-source"  # a build would leave something in the checkout
    for name in ("flcore", "launchers", "configs/deploy"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--wheel-dir",
        str(folder / "wheels"),
        f"{source}[metrics]",
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def put_wheel(folder: Path, package: str) -> None:
    """Have a wheel of an empty package in a folder."""
    source = folder.parent / f"{package}-source"
    (source / package).mkdir(parents=True)
    (source / package / "__init__.py").touch()
    (source / "setup.cfg").write_text(f"[metadata]\nname = {package}\nversion = 1\n[options]\npackages = {package}\n")
    folder.mkdir()
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, folder], cwd=source, check=True, capture_output=True)
    shutil.rmtree(source)  # else an image that is built beside it would be sent it


def remove(client: Any, *names: str) -> None:
    for name in names:
        with suppress(ImageNotFound):
            client.images.remove(name, force=True)
