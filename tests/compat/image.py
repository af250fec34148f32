"""The image of job containers: this machine's Python, and the packages of an environment."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import docker

from configs.docker import prepare

from .environments import Flare

REPOSITORY = "flcore-compat"
# A job needs nothing of this checkout; and what only installs things is of no use to it.
WITHOUT = ("__editable__*", "flcore-*", "pip", "pip-*", "setuptools", "setuptools-*", "test", "tests")


def image(flare: Flare, docker_host: str) -> str:
    """Return the image's name; make it if it is missing, which takes half a minute."""
    contents = contents_of(flare)
    repository = f"{REPOSITORY}-{flare.version}-{prepare.fingerprint(flare.python)[:4]}"
    tag = _fingerprint(flare, contents)
    with closing(docker.DockerClient(docker_host)) as client:
        if not prepare.exists(client, f"{repository}:{tag}"):
            print(f"making the image {repository}:{tag}", flush=True)
            prepare.import_image(client, repository, tag, contents)
            prepare.drop_older(client, repository, tag)
    return f"{repository}:{tag}"


def contents_of(flare: Flare) -> prepare.Contents:
    """Return what is in it."""
    # Launchers name the interpreter in many ways: by a fixed path, by its bare name, and by the path of their own.
    paths = ["/usr/local/bin/python", *(flare.command(name) for name in ("python", "python3", prepare.PYTHON.name))]
    links = dict.fromkeys(paths, f"/usr/local/bin/{prepare.PYTHON.name}")
    commands = (*prepare.COMMANDS, "bash")
    return prepare.Contents(commands, flare.packages, links, WITHOUT)


def _fingerprint(flare: Flare, contents: prepare.Contents) -> str:
    """Return what changes whenever the recipe or a package's version does."""
    recipes = [Path(prepare.__file__).read_text(), Path(__file__).read_text()]
    packages = sorted(path.name for path in flare.packages.glob("*.dist-info"))
    return prepare.fingerprint(recipes, packages, contents.links, prepare.PYTHON)
