"""The image of job containers: this machine's Python, and the packages of an environment."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing
from pathlib import Path

from flcore.disk.locks import exclusively
from launchers.first_site import python_image
from launchers.runtime.docker import DockerRuntime
from tests.environments import ROOT

from .environments import Flare

REPOSITORY = "flcore-compat"
# A job needs nothing of this checkout; and what only installs things is of no use to it.
WITHOUT = ("__editable__*", "flcore-*", "pip", "pip-*", "setuptools", "setuptools-*", "test", "tests")


def image(flare: Flare, docker_host: str) -> str:
    """Return the image's name; make it if it is missing, which takes half a minute."""
    contents = contents_of(flare)
    repository = f"{REPOSITORY}-{flare.version}-{python_image.fingerprint(flare.python)[:4]}"
    tag = _fingerprint(flare, contents)
    name = f"{repository}:{tag}"
    with one_at_a_time(), closing(DockerRuntime(docker_host)) as engine:
        if engine.images.find(name) is None:
            print(f"making the image {name}", flush=True)
            python_image.import_image(engine.images, name, contents)
            engine.images.remove_older(name, python_image.FINGERPRINT)
    return name


def one_at_a_time() -> AbstractContextManager[None]:
    """Have images be made by one process of the tests at a time: who comes second finds it."""
    lock = ROOT / "build/compat/images.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return exclusively(lock, os.O_RDWR | os.O_CREAT)


def contents_of(flare: Flare) -> python_image.Contents:
    """Return what is in it."""
    # Launchers name the interpreter in many ways: by a fixed path, by its bare name, and by the path of their own.
    paths = [
        "/usr/local/bin/python",
        *(flare.command(name) for name in ("python", "python3", python_image.PYTHON.name)),
    ]
    links = dict.fromkeys(paths, f"/usr/local/bin/{python_image.PYTHON.name}")
    commands = (*python_image.COMMANDS, "bash")
    return python_image.Contents(commands, flare.packages, links, WITHOUT)


def _fingerprint(flare: Flare, contents: python_image.Contents) -> str:
    """Return what changes whenever the recipe or a package's version does."""
    recipes = [Path(python_image.__file__).read_text(), Path(__file__).read_text()]
    packages = sorted(path.name for path in flare.packages.glob("*.dist-info"))
    return python_image.fingerprint(recipes, packages, contents.links, python_image.PYTHON)
