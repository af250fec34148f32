"""Which image a site's first jobs get: one of the engine's that has Python, which is tried, or one that is made."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import NamedTuple

from flcore.errors import ConfigError, ImageError, JobLaunchError, RuntimeRefusedError

from ..runtime.docker import DockerRuntime
from ..runtime.docker_images import DockerImages, ImageFacts
from .python_image import FINGERPRINT, make_image, why_not_ours

OWN = "flcore-python:{}.{}".format(*sys.version_info)
"""The name of the image that is made of this machine's Python."""
OURS = ("flcore-python", "flcore-demo")

_VERSION = re.compile(r"3\.([0-9]+)")
_MOST_LOOKED_AT = 100
_MOST_TRIED = 3
_ASK = ("python3", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])")


class Image(NamedTuple):
    """An image for jobs."""

    name: str
    about: str
    """What it is, or is to be made of."""
    make: Callable[[], object] | None = None
    """What has to be done to have it; None where it is there."""


def choose(engine: DockerRuntime, wanted: str | None) -> Image:
    """Return the image that is wanted, or else one that is there and has Python, or can be made. Makes nothing yet.

    Raises ConfigError if there is none, JobLaunchError if the engine does not answer.
    """
    images = engine.images
    if wanted:
        return _wanted(engine, wanted)
    for name in candidates(_facts(images))[:_MOST_TRIED]:
        with suppress(ImageError, RuntimeRefusedError):  # it only looked as if it had Python
            return Image(name, f"Python {python_of(images, name)}")
    if reason := why_not_ours(images):
        raise ConfigError(
            f"the engine has no image with Python, and this machine's own cannot run there, as {reason}: "
            "name one, as in: flcore init --image python:3.12-slim"
        )
    return Image(OWN, "to be made of this machine's Python", lambda: make_image(images, OWN))


def _wanted(engine: DockerRuntime, name: str) -> Image:
    """Raises ConfigError for what is no image's name, or has no Python."""
    try:
        if engine.images.find(name) is None:
            return Image(name, "to be pulled", lambda: _pull(engine, name))
        return Image(name, f"Python {python_of(engine.images, name)}")
    except (ImageError, RuntimeRefusedError) as error:
        raise ConfigError(f"--image: {error}; name one in which python3 runs") from error


def candidates(found: Mapping[str, ImageFacts]) -> list[str]:
    """Return the images that seem to have Python: official ones, newest first, then ours, then others, small first."""
    named = {name: facts for name, facts in found.items() if not FINGERPRINT.fullmatch(name.rpartition(":")[2])}
    official = [name for name in named if _repository(name).rpartition("/")[2] == "python"]
    ours = [name for repository in OURS for name in sorted(named) if _repository(name) == repository]
    others = [name for name, facts in named.items() if name not in (*official, *ours) and _has_python(facts)]
    return [
        *sorted(official, key=lambda name: (-_minor_version(name), named[name].size)),
        *ours,
        *sorted(others, key=lambda name: named[name].size),
    ]


def python_of(images: DockerImages, name: str) -> str:
    """Return the version of an image's Python, by running it. Raises JobLaunchError if it does not run."""
    return images.output_of(name, *_ASK).strip()


def _facts(images: DockerImages) -> dict[str, ImageFacts]:
    found = {name: images.find(name) for name in images.names()[:_MOST_LOOKED_AT]}
    return {name: facts for name, facts in found.items() if facts}


def _pull(engine: DockerRuntime, name: str) -> None:
    """Raises ConfigError, in the engine's own words."""
    try:
        with closing(engine.pull(name)) as pull:
            for _ in pull:
                pass
        python_of(engine.images, name)
    except JobLaunchError as error:
        raise ConfigError(f"--image: {error}") from error


def _repository(name: str) -> str:
    return name.rpartition(":")[0]


def _minor_version(name: str) -> int:
    match = _VERSION.match(name.rpartition(":")[2])
    return int(match[1]) if match else 0


def _has_python(facts: ImageFacts) -> bool:
    program = facts.command[0].rpartition("/")[2] if facts.command else ""
    return "PYTHON_VERSION" in facts.environment or program.startswith("python")
