"""What an engine says of its images, and shows of one by a container that never runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flcore.errors import ImageError, RuntimeRefusedError
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_images import DockerImages, ImageFacts, as_facts
from tests.shown_files import show
from tests.small_engine import SmallEngine

MADE = "sha256:" + "0" * 64
CREATED, REMOVED = "POST /containers/create", "DELETE /containers/0123"


@pytest.fixture
def images(engine: SmallEngine) -> Iterator[DockerImages]:
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime.images


def test_an_image_has_variables_and_a_command_or_not() -> None:
    said = {"Size": 7, "Config": {"Env": ["A=b=c", "D="], "Cmd": ["python3", "-i"]}}
    assert as_facts(said) == ImageFacts(7, {"A": "b=c", "D": ""}, ("python3", "-i"))
    assert as_facts({"Config": None}) == ImageFacts(0, {}, ())


def test_an_engine_has_an_image_or_not(engine: SmallEngine, images: DockerImages) -> None:
    engine.answers["GET /images/none:1/json"] = (404, {"message": "No such image: none:1"})
    assert images.find("job:1") == ImageFacts(0, {}, ())
    assert images.find("none:1") is None


def test_what_is_no_name_is_refused(engine: SmallEngine, images: DockerImages) -> None:
    engine.answers["GET /images/Bad/json"] = (400, {"message": "invalid reference format"})
    with pytest.raises(RuntimeRefusedError, match="image Bad: the engine says: invalid reference format"):
        images.find("Bad")


def test_images_without_a_name_are_not_listed(engine: SmallEngine, images: DockerImages) -> None:
    tags = [["job:1", "job:2"], ["<none>:<none>"], None]
    engine.answers["GET /images/json"] = (200, [{"RepoTags": tag} for tag in tags])
    assert images.names() == ["job:1", "job:2"]


def test_what_was_made_of_a_file_system_gets_its_name(
    engine: SmallEngine, images: DockerImages, tmp_path: Path
) -> None:
    (tmp_path / "root.tar").write_bytes(b"")
    engine.answers["POST /images/create"] = (200, {"status": MADE})
    engine.answers[f"POST /images/{MADE}/tag"] = (201, None)
    images.import_tar(tmp_path / "root.tar", "job:2", [])
    assert (f"/images/{MADE}/tag", "job", "2") in [(path, q.get("repo"), q.get("tag")) for path, q in engine.queries]


def test_an_import_that_fails_says_why(engine: SmallEngine, images: DockerImages, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(b"")
    engine.answers["POST /images/create"] = (200, {"error": "no space left on device"})
    with pytest.raises(ImageError, match=r"image job:2 cannot be made: the engine says: .*no space left on device"):
        images.import_tar(tmp_path / "root.tar", "job:2", [])


def test_older_ones_of_the_same_repository_go_but_for_those_that_are_used(
    engine: SmallEngine, images: DockerImages
) -> None:
    names = ["job:aaaa", "job:bbbb", "job:cccc", "job:latest", "other:bbbb"]
    engine.answers["GET /images/json"] = (200, [{"RepoTags": names}])
    engine.answers["DELETE /images/job:bbbb"] = (409, {"message": "conflict: a container uses it"})
    engine.answers["DELETE /images/job:cccc"] = (200, [])
    images.remove_older("job:aaaa", re.compile("[a-f]{4}"))
    removed = [request.split()[2] for request in engine.asked if " DELETE " in request]
    assert removed == ["/images/job:bbbb", "/images/job:cccc"]


def test_a_program_that_is_not_there_leaves_no_container(engine: SmallEngine, images: DockerImages) -> None:
    engine.answers["POST /containers/0123/start"] = (400, {"message": 'exec: "python3": not found'})
    with pytest.raises(RuntimeRefusedError, match=r"python3 in image job:1: the engine says: .*not found"):
        images.output_of("job:1", "python3")
    assert engine.asked[-1] == "1.41 DELETE /containers/0123"


# --- what is in one ---


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    show(engine, "/etc/release", b"one")
    show(engine, "/bin/sh", target="/usr/bin/dash")
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime


def asked(engine: SmallEngine) -> list[str]:
    return [words for request in engine.asked if "/containers/" in (words := request.partition(" ")[2])]


def test_it_has_files_and_links_or_nothing(runtime: DockerRuntime) -> None:
    with runtime.images.opened("job:1") as files:
        assert [files.target(path) for path in ("/etc/release", "/bin/sh", "/no")] == [
            "/etc/release",
            "/usr/bin/dash",
            None,
        ]
        assert [files.read(path, 100) for path in ("/etc/release", "/bin/sh", "/no")] == [b"one", b"", b""]


def test_a_file_that_is_too_large_is_not_read(runtime: DockerRuntime) -> None:
    with runtime.images.opened("job:1") as files:
        assert files.read("/etc/release", 2) == b""


def test_where_an_engine_tells_nothing_of_it_a_path_leads_to_itself(
    engine: SmallEngine, runtime: DockerRuntime
) -> None:
    engine.heads.clear()
    with runtime.images.opened("job:1") as files:
        assert files.target("/bin/sh") == "/bin/sh"


def test_its_variables_are_those_that_its_containers_would_have(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers["GET /images/job:1/json"] = (
        200,
        {"Id": "sha256:1", "Config": {"Env": ["PATH=/bin", "A=b=c"]}},
    )
    with runtime.images.opened("job:1") as files:
        assert files.environment == {"PATH": "/bin", "A": "b=c"}


def test_nothing_of_it_runs_and_nothing_stays(engine: SmallEngine, runtime: DockerRuntime) -> None:
    with runtime.images.opened("job:1"):
        pass
    assert asked(engine) == [CREATED, REMOVED]


def test_nothing_stays_where_who_looks_fails(engine: SmallEngine, runtime: DockerRuntime) -> None:
    with pytest.raises(KeyError), runtime.images.opened("job:1"):
        raise KeyError("no such path")
    assert asked(engine) == [CREATED, REMOVED]


def test_what_an_engine_refuses_is_an_error_of_ours(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers[CREATED] = (403, {"message": "not for you"})
    with (
        pytest.raises(RuntimeRefusedError, match=r"a look into the image job:1: .*not for you"),
        runtime.images.opened("job:1"),
    ):
        pass
