"""Which image the first jobs get."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from flcore.errors import ConfigError
from launchers.first_site.images import OWN, candidates, choose
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_images import ImageFacts
from tests.small_engine import SmallEngine

PLAIN = ImageFacts(10, {}, ("sh",))


def with_python(size: int = 10) -> ImageFacts:
    return ImageFacts(size, {"PYTHON_VERSION": "3.12.1"}, ())


def test_official_ones_come_first_the_newest_before_the_others() -> None:
    found = {
        "my-job:1": with_python(),
        "flcore-demo:latest": ImageFacts(10, {}, ("python3",)),
        "python:3.9-slim": with_python(),
        "mirror.example.com/library/python:3.12": with_python(20),
        "python:3.12-slim": with_python(),
    }
    wanted = ["python:3.12-slim", "mirror.example.com/library/python:3.12", "python:3.9-slim"]
    assert candidates(found) == [*wanted, "flcore-demo:latest", "my-job:1"]


def test_of_others_those_that_seem_to_have_python_come_small_ones_first() -> None:
    by_command = ImageFacts(1, {}, ("/usr/bin/python3.11", "-i"))
    found = {"big:1": with_python(900), "debian:12": PLAIN, "small:1": with_python(5), "by-command:1": by_command}
    assert candidates(found) == ["by-command:1", "small:1", "big:1"]


def test_the_second_name_of_one_that_was_made_here_is_passed_over() -> None:
    made = ImageFacts(10, {}, ("python3",))
    assert candidates({"flcore-demo:0123456789ab": made, "flcore-demo:latest": made}) == ["flcore-demo:latest"]


def give_images(engine: SmallEngine, *names: str, python: int = 0) -> None:
    """Let an engine have images, in each of which python3 ends with a code."""
    engine.answers["GET /images/json"] = (200, [{"RepoTags": [name]} for name in names])
    for name in names:
        said: dict[str, Any] = {"Id": "sha256:1", "Size": 5, "Config": {"Env": ["PYTHON_VERSION=3"], "Cmd": None}}
        engine.answers[f"GET /images/{name}/json"] = (200, said)
    state = {"Id": "0123", "Config": {"Tty": False}, "HostConfig": {"LogConfig": {"Type": "json-file"}}}
    engine.answers["GET /containers/0123/json"] = (200, state)
    engine.answers["POST /containers/0123/wait"] = (200, {"StatusCode": python})
    engine.answers["GET /containers/0123/logs"] = (200, b"\x01\0\0\0\0\0\0\x073.12.1\n")


def test_one_that_is_there_is_tried_by_running_its_python(engine: SmallEngine) -> None:
    give_images(engine, "job:1")
    with closing(DockerRuntime(engine.address)) as runtime:
        image = choose(runtime, None)
    assert image == ("job:1", "Python 3.12.1", None)
    assert "1.41 DELETE /containers/0123" in engine.asked


def test_where_none_works_one_is_made_of_this_machine_s_python(engine: SmallEngine) -> None:
    engine.about |= {"Os": "linux", "Arch": "amd64"}
    give_images(engine, "job:1", python=127)
    with closing(DockerRuntime(engine.address)) as runtime:
        name, about, make = choose(runtime, None)
    assert (name, about) == (OWN, "to be made of this machine's Python")
    assert make


def test_where_that_cannot_be_the_way_out_is_told(engine: SmallEngine) -> None:
    engine.about |= {"Os": "linux", "Arch": "s390x"}
    give_images(engine)
    way_out = r"as the engine's machine is s390x: name one, as in: flcore init --image python:3\.12-slim"
    with closing(DockerRuntime(engine.address)) as runtime, pytest.raises(ConfigError, match=way_out):
        choose(runtime, None)


def test_the_one_that_is_named_is_taken(engine: SmallEngine) -> None:
    give_images(engine, "job:1", "job:2")
    with closing(DockerRuntime(engine.address)) as runtime:
        assert choose(runtime, "job:2").name == "job:2"


def test_one_that_is_named_and_has_no_python_is_refused(engine: SmallEngine) -> None:
    give_images(engine, "job:1", python=127)
    told = r"--image: python3 in image job:1 fails: exit code 127; name one in which python3 runs"
    with closing(DockerRuntime(engine.address)) as runtime, pytest.raises(ConfigError, match=told):
        choose(runtime, "job:1")


def test_one_that_is_named_and_not_there_is_pulled_when_it_is_wanted(engine: SmallEngine) -> None:
    engine.answers["GET /images/job:3/json"] = (404, {"message": "No such image: job:3"})
    engine.answers["POST /images/create"] = (404, {"message": "pull access denied for job"})
    with closing(DockerRuntime(engine.address)) as runtime:
        name, about, pull = choose(runtime, "job:3")
        assert (name, about) == ("job:3", "to be pulled")
        assert pull
        assert not any("create" in request for request in engine.asked)
        with pytest.raises(ConfigError, match=r"--image: image job:3 cannot be pulled.*pull access denied"):
            pull()
