"""Names of images, taken apart as Docker takes them apart, and the site's rules for them. Pure.

A rule is compared part by part, registry with registry: ``python*`` allows ``python:3.12``, which is also called
``docker.io/library/python:3.12``, and never ``python.example.com/python``. Beside a digest Docker ignores a tag, so
such a name is one of a digest alone, and no rule that has a tag is about it but one that has a digest, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple, Self

from flcore.config.rules import Schema, whole

DOCKER_HUB = "docker.io"
_HUB_HOSTS = (DOCKER_HUB, f"index.{DOCKER_HUB}")
_LENGTH = 255
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_IMAGE_NAME = re.compile(rf"({_HOST}/)?{_COMPONENT}(/{_COMPONENT})*(:{_TAG})?(@{_DIGEST})?", re.ASCII)
_ID = re.compile(r"(sha256:)?[0-9a-f]{1,64}", re.ASCII)
"""What an engine may take for an id, or the beginning of one: it would find whatever image is there."""
_PATTERN = re.compile(rf"[A-Za-z0-9._/:*?\[\]!-]+(@{_DIGEST})?", re.ASCII)
IMAGE_RULE: Schema = {"type": "string", "pattern": whole(_PATTERN)}
"""What :meth:`ImageRule.parse` takes."""

_GLOB = re.compile(r"[*?\[]")


class _Parts(NamedTuple):
    registry: str
    path: str
    tag: str
    digest: str


class ImageName(_Parts):
    """An image's name. ``tag`` is empty where only a digest is named, ``digest`` where none is."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a name apart; without tag and digest it means ``latest``.

        Raises ValueError for what is no name, or could be an id.
        """
        if not isinstance(text, str) or len(text) > _LENGTH or _ID.fullmatch(text) or not _IMAGE_NAME.fullmatch(text):
            example = "'python:3.12' or 'registry.example.com/team/job:1'"
            raise ValueError(f"must be the name of an image, such as {example}")
        name = cls(*_take_apart(text))
        return name if name.tag or name.digest else name._replace(tag="latest")


class ImageRule(_Parts):
    """An entry of a site's list: an image's name, whose parts may be globs.

    Without a tag, or with the tag ``*``, it stands for every tag and every digest; with another, for tags alone.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a rule apart. Raises ValueError."""
        if not _PATTERN.fullmatch(text):
            example = "'python:3.*' or 'registry.example.com/team/*'"
            raise ValueError(f"must be names of images, such as {example}, got {text!r}")
        return cls("*", "*", "", "") if text == "*" else cls(*_take_apart(text))

    def __str__(self) -> str:
        """Return it as a config says it."""
        name = f"{self.registry}/{self.path}".removeprefix(f"{DOCKER_HUB}/").removeprefix("library/")
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return "*" if self == type(self).parse("*") else f"{name}{tag}{digest}"

    @property
    def allows_any(self) -> bool:
        """Whether it says nothing at all of where an image comes from."""
        return not self.digest and not any(map(str.isalnum, self.registry + self.path))

    @property
    def names_one(self) -> bool:
        """Whether it is about a single image."""
        return bool(self.tag or self.digest) and not any(map(_GLOB.search, self))

    def covers(self, image: ImageName) -> bool:
        """Whether it is about this image, be its digest the right one or not."""
        return (
            fnmatchcase(image.registry, self.registry)
            and fnmatchcase(image.path, self.path)
            and (self.tag in ("", "*") or self._covers_tag_of(image))
        )

    def _covers_tag_of(self, image: ImageName) -> bool:
        says_what_runs = not image.digest or bool(self.digest)
        return says_what_runs and fnmatchcase(image.tag, self.tag)


def named_alone(rules: Iterable[str]) -> tuple[str, ...]:
    """Return those of a site's rules that name one image: by a tag or a digest, and without globs.

    Raises ValueError for what is no rule.
    """
    return tuple(text for text in rules if ImageRule.parse(text).names_one)


def allowed_digests(image: ImageName, rules: Iterable[ImageRule]) -> tuple[str, ...] | None:
    """Return the digests of which an image must have one: none named means whatever it has; None: it is not allowed.

    A rule with a digest binds: what it covers is held to it, whatever other rules say.
    """
    covering = [rule for rule in rules if rule.covers(image)]
    digests = tuple(rule.digest for rule in covering if rule.digest)
    if not covering or (digests and image.digest and image.digest not in digests):
        return None
    return digests


def registry_of(image: str) -> str:
    """Return the registry that an image would be pulled from."""
    return _take_apart(image).registry


def _take_apart(text: str) -> _Parts:
    """Return registry, path, tag and digest as Docker finds them; nothing is checked."""
    name, _, digest = text.partition("@")
    name, tag = _split_tag(name)
    first, slash, rest = name.partition("/")
    registry, path = (first, rest) if slash and _is_registry(first) else (DOCKER_HUB, name)
    if registry == f"index.{DOCKER_HUB}":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    # A host is the same in capitals. Not so Docker Hub to an engine: in capitals it is a host of that name.
    host = registry.lower()
    return _Parts(registry if host in _HUB_HOSTS else host, path, tag, digest)


def _split_tag(name: str) -> tuple[str, str]:
    rest, colon, tag = name.rpartition(":")
    return (rest, tag) if colon and "/" not in tag else (name, "")


def _is_registry(part: str) -> bool:
    # As Docker decides it: a dot, a port or a capital letter is in no user's name.
    return "." in part or ":" in part or part == "localhost" or part != part.lower()
