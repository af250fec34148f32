"""Imports: time and memory before the first line of a user's code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .framework import Contest, Target, at_most, bench, over_floor
from .timing import importing

DOCKER_SDK = "the Docker SDK alone"


@bench(rounds=15)
def import_flcore() -> Iterator[Contest]:
    """Importing flcore."""
    yield _beside_the_sdk(["flcore"], at_most(60))


@bench(rounds=15)
def import_docker_launcher() -> Iterator[Contest]:
    """Importing launchers.docker_launcher: all that a site's config needs."""
    yield _beside_the_sdk(["launchers.docker_launcher"], over_floor(30))


@bench(rounds=15)
def import_docker_runtime() -> Iterator[Contest]:
    """Importing its runtime too, and with it the Docker SDK, as the first launch does."""
    yield _beside_the_sdk(["launchers.docker_launcher", "launchers.runtime.docker"])


def _beside_the_sdk(modules: Sequence[str], target: Target | None = None) -> Contest:
    measures = {"flcore": importing(*modules), DOCKER_SDK: importing("docker")}
    return Contest(measures, floor=DOCKER_SDK, targets={"ms": target} if target else {})
