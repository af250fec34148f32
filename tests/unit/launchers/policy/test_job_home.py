"""Where a job's home is, what its user is called, and what an image's /etc/passwd lacks of that."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.container_spec import Isolation, Mount
from launchers.policy.job_home import home, knows, passwd_with, variables

DEBIAN = b"root:x:0:0:root:/root:/bin/bash\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\nnobody:x:65534:65534::/:/bin/sh\n"
ALPINE = (
    b"root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
)
DISTROLESS = b"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"


def home_of(
    value: Any = None, env: dict[str, str] | None = None, mounts: tuple[Mount, ...] = (), **isolation: Any
) -> str:
    return home("home", value, env or {}, Isolation(**isolation), mounts)


# --- where it is ---


def test_a_home_is_in_memory_where_a_site_says_nothing() -> None:
    assert home_of() == "/tmp"


def test_where_nothing_is_in_memory_at_tmp_a_home_is_the_jobs_own_folder() -> None:
    assert home_of(tmpfs={}) == home_of(tmpfs={"/scratch": "size=1"}) == "."


@pytest.mark.parametrize(
    ("value", "isolation", "mounts"),
    [
        (".", {}, ()),
        ("/tmp", {}, ()),
        ("/home/job", {"tmpfs": {"/home/job": "size=1"}}, ()),
        ("/home/job/", {"tmpfs": {"/home/job": "size=1"}}, ()),
        ("/cache", {}, (Mount("/srv/cache", "/cache", read_only=False),)),
        ("/cache/of/jobs", {}, (Mount("/srv/cache", "/cache", read_only=False),)),
        ("/home/jovyan", {"read_only": False}, ()),
    ],
)
def test_a_home_is_where_a_site_says_if_a_job_can_write_there(
    value: str, isolation: dict[str, Any], mounts: tuple[Mount, ...]
) -> None:
    assert home_of(value, mounts=mounts, **isolation) == value


@pytest.mark.parametrize("value", ["home", "", "..", "./x", 1, [], "/home/a:b", "/home/a\nb", "~"])
def test_what_is_no_place_in_a_container_is_refused_by_its_key(value: Any) -> None:
    words = r"^home must be an absolute path in a job's container, or '.', the job's own folder, got "
    with pytest.raises(ValueError, match=words):
        home_of(value)


@pytest.mark.parametrize("value", ["/root", "/tmp/deeper", "/tmpx", "/", "/cache"])
def test_a_home_that_no_job_can_write_to_is_refused_with_the_ways_out(value: str) -> None:
    with pytest.raises(ValueError, match=rf"^home: no job can write to '{value}': add it to 'tmpfs', as ") as raised:
        home_of(value, mounts=(Mount("/srv/cache", "/cache"),))
    assert "or take '.', the job's own folder" in str(raised.value)


def test_a_home_by_two_keys_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^home: 'env' sets HOME, too$"):
        home_of(".", env={"HOME": "/root"})
    assert home_of(None, env={"HOME": "/root"}) == "/tmp"


# --- what is told of it ---


@pytest.mark.parametrize(
    ("user", "name"),
    [("0:0", "root"), ("65534:65534", "nobody"), ("1000:1000", "job"), ("065534:1", "nobody"), ("(at launch)", "job")],
)
def test_a_job_is_told_its_home_and_a_name_that_its_image_may_have_too(user: str, name: str) -> None:
    assert variables(user, "/tmp", "/workspace/job-1") == {"HOME": "/tmp", "USER": name, "LOGNAME": name}


def test_a_home_in_the_jobs_own_folder_is_told_by_its_path() -> None:
    assert variables("1:1", ".", "/workspace/job-1")["HOME"] == "/workspace/job-1"


# --- who an image knows ---


@pytest.mark.parametrize("passwd", [DEBIAN, ALPINE, DISTROLESS])
@pytest.mark.parametrize(
    ("user", "known"), [("65534:65534", True), ("0:0", True), ("4711:4711", False), ("5:1", False)]
)
def test_an_image_knows_a_user_by_the_uid(passwd: bytes, user: str, known: bool) -> None:
    assert knows(passwd, user) is known


@pytest.mark.parametrize(
    "passwd", [b"", b"\n\n", b"#4711\n", b"4711", b"a:x", b"\xff\xfe:x:\xff:", b"x:4711:1:2\n", b"a:x:47110:1"]
)
def test_what_is_no_entry_of_a_user_is_none(passwd: bytes) -> None:
    assert not knows(passwd, "4711:4711")


def test_a_user_is_known_by_a_last_line_without_an_end_and_by_a_number_with_zeros() -> None:
    assert knows(b"a:x:1:1::/:\nb:x:4711:1::/:", "4711:1")
    assert knows(b"a:x:4711:1", "04711:1")


def test_an_unknown_user_gets_an_entry_behind_all_that_stands_there() -> None:
    told = {"HOME": "/tmp", "USER": "job"}
    assert passwd_with(DEBIAN, "4711:100", told) == DEBIAN + b"job:x:4711:100::/tmp:/bin/sh\n"
    assert passwd_with(b"a:x:1:1::/:", "4711:100", told) == b"a:x:1:1::/:\njob:x:4711:100::/tmp:/bin/sh\n"
    assert passwd_with(b"", "4711:100", told) == b"job:x:4711:100::/tmp:/bin/sh\n"


@pytest.mark.parametrize("wrong", ["", "a:b", "a b", "root\nx", "ü", "-a", "a" * 40])
def test_what_a_sites_variables_say_breaks_no_entry(wrong: str) -> None:
    entry = passwd_with(b"", "4711:100", {"HOME": f"/{wrong}:\n", "USER": wrong})
    assert entry == b"job:x:4711:100::/:/bin/sh\n"
