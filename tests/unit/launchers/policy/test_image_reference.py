"""Which images a site's list allows: every way to be taken for another image."""

from __future__ import annotations

import pytest

from launchers.policy.image_reference import ImageName, ImageRule, allowed_digests, named_alone, registry_of

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def digests(image: str, *rules: str) -> tuple[str, ...] | None:
    return allowed_digests(ImageName.parse(image), map(ImageRule.parse, rules))


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        ("python", "python"),
        ("python:3.12", "python"),
        ("python:3.12", "python:3.*"),
        ("python", "python:latest"),
        ("python", "docker.io/library/python"),
        ("index.docker.io/library/python", "python"),
        ("docker.io/team/job:1", "team/*"),
        ("registry.example.com/team/a/b:1", "registry.example.com/team/*"),
        ("registry.example.com:5000/job", "registry.example.com:5000/*"),
        ("localhost/job", "localhost/job"),
        ("eu.example.com/job", "*.example.com/job"),
        (f"python@{A}", "python"),
        (f"python:3.12@{A}", f"python@{A}"),
        (f"python:3.12@{A}", f"python:3.*@{A}"),
        (f"python:3.12@{A}", "python"),
        (f"python@{A}", "python:*"),
        ("anything.example.com/at/all:1", "*"),
    ],
)
def test_a_rule_covers_an_image_however_it_is_written(image: str, rule: str) -> None:
    assert digests(image, "other", rule) is not None


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        ("python.example.com/python", "python*"),
        ("evil.example.com/library/python", "python"),
        ("evil.example.com/team/job", "team/*"),
        ("registry.example.com.evil.org/team/job", "registry.example.com/*"),
        ("evil/registry.example.com/team/job", "registry.example.com/*"),
        ("registry.example.com:5000/job", "registry.example.com/*"),
        ("python:3.12-evil", "python:3.12"),
        ("python:3.12", "python:latest"),
        ("team/python", "python"),
        (f"python@{B}", f"python@{A}"),
        (f"python@{A}", "python:3.12"),
    ],
)
def test_a_rule_covers_nothing_that_only_looks_like_it(image: str, rule: str) -> None:
    assert digests(image, rule) is None


@pytest.mark.parametrize("tag", ["3.12", "3.*", "?*", "latest"])
def test_a_rule_with_a_tag_allows_no_digest_that_a_job_names_beside_the_tag(tag: str) -> None:
    assert digests(f"python:3.12@{B}", f"python:{tag}") is None
    assert digests(f"python:latest@{B}", f"python:{tag}", f"python@{A}") is None


def test_a_digest_beside_a_tag_is_allowed_where_a_rule_lists_it() -> None:
    assert digests(f"python:3.12@{A}", "python:3.*", f"python@{A}") == (A,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 256,
        "deadbeef",
        "sha256:" + "a" * 64,
        "a" * 64,
        "-v/:/host",
        "Python",
        "user:secret@registry.example.com/job",
        "https://registry.example.com/job",
        "registry.example.com//job",
        "job:1:2",
        "job:",
        "job@",
        "job@sha256:abc",
        f"job@{A}@{A}",
        "../job",
        "job ",
        "job\n",
        "jöb",
        "\uff4aob",
        "job\u200b",
        "${IMAGE}",
        "[::1]:5000/job",
        "job*",
    ],
)
def test_what_is_no_name_of_an_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the name of an image"):
        ImageName.parse(text)


def test_who_names_one_image_names_a_tag_or_a_digest_and_uses_no_globs() -> None:
    alone = ["python:3.12", "registry.example.com:5000/team/job:1", f"job@{A}", f"job:1@{A}"]
    others = ["*", "python", "python:*", "python:3.?", "team/[a-c]:1", f"team/*@{A}", "*.example.com/job:1"]
    assert named_alone([*alone, *others]) == tuple(alone)


@pytest.mark.parametrize("text", ["a b", "job@sha256:1", "{a,b}", "job@"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be names of images"):
        ImageRule.parse(text)


def test_a_rule_with_a_digest_binds_whatever_other_rules_say() -> None:
    assert digests("python:3.12", "*", f"python@{A}") == (A,)
    assert digests("python:3.12", f"python@{A}", f"python:3.*@{B}") == (A, B)
    assert digests("job", "*", f"python@{A}") == ()


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("job", "docker.io"),
        ("team/job:1", "docker.io"),
        ("registry.example.com:5000/job:1", "registry.example.com:5000"),
    ],
)
def test_an_image_comes_from_the_registry_that_docker_would_ask(image: str, registry: str) -> None:
    assert registry_of(image) == registry


@pytest.mark.parametrize(
    ("image", "rule", "allowed"),
    [
        ("Registry.Example.COM/team/job:1", "registry.example.com/team/*", True),
        ("registry.example.com/team/job:1", "Registry.Example.com/team/*", True),
        ("Registry.Example.com.evil.org/team/job", "registry.example.com/*", False),
        ("Docker.io/python:3", "python", False),
        ("DOCKER.IO/library/python:3", "docker.io/*", False),
    ],
)
def test_a_registrys_host_is_the_same_in_capitals(image: str, rule: str, allowed: bool) -> None:
    assert ImageRule.parse(rule).covers(ImageName.parse(image)) is allowed


def test_an_image_of_a_host_in_capitals_comes_from_that_host() -> None:
    assert registry_of("Registry.Example.com:5000/job:1") == "registry.example.com:5000"
