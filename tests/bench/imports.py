"""Imports: time and memory before the first line of a user's code."""

from __future__ import annotations

from collections.abc import Iterator

from .framework import Contest, Target, at_most, bench, over_floor
from .timing import importing

DOCKER_SDK = "the Docker SDK alone"


@bench(rounds=15)
def import_flcore() -> Iterator[Contest]:
    """Importing flcore."""
    yield _beside_the_sdk(at_most(60), "flcore")


@bench(rounds=15)
def import_docker_launcher() -> Iterator[Contest]:
    """Importing launchers.docker_launcher: all that a site's config needs."""
    yield _beside_the_sdk(over_floor(30), "launchers.docker_launcher")


@bench(rounds=15)
def import_docker_runtime() -> Iterator[Contest]:
    """Importing launchers.docker_launcher and, as the first launch does, its runtime with the Docker SDK."""
    yield _beside_the_sdk(over_floor(30), "launchers.docker_launcher", "launchers.runtime.docker")


def _beside_the_sdk(target: Target, *modules: str) -> Contest:
    measures = {"flcore": importing(*modules), DOCKER_SDK: importing("docker")}
    return Contest(measures, floor=DOCKER_SDK, targets={"ms": target})
