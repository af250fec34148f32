"""What libraries ask of a home and of a user, in a job's container, whatever its image knows and says of either."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flcore import JobReturnCode
from launchers.runtime.engine_traits import as_traits

from .conftest import IMAGE, Lab

UNKNOWN = "4711:4712"
DEBIAN = "root:x:0:0:root:/root:/bin/bash\\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\\n"
ALPINE = "root:x:0:0:root:/root:/bin/sh\\nnobody:x:65534:65534:nobody:/:/sbin/nologin"
DISTROLESS = "root:x:0:0:root:/root:/sbin/nologin\\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\\n"
WRITE = "import os; os.remove('/etc/passwd'); open('/etc/passwd', 'w').write('{}')"
ASK = """
import getpass, json, os, pathlib, pwd
home = pathlib.Path.home()
(home / ".cache/a").mkdir(parents=True)
(home / ".netrc").write_text("")
user = pwd.getpwuid(os.getuid())
print(json.dumps({
    "uid": os.getuid(), "name": user.pw_name, "gid": user.pw_gid, "home": str(home), "tilde": os.path.expanduser("~"),
    "getuser": getpass.getuser(), "all": [each.pw_name for each in pwd.getpwall()],
    "writable": os.access("/etc/passwd", os.W_OK),
}))
"""
"""What a job finds out: as libraries do it."""
TORCH_S_CALLS = """
import getpass, os, re, tempfile
hub = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch")))
os.makedirs(os.path.join(hub, "hub", "checkpoints"))
open(os.path.join(hub, "hub", "checkpoints", "model.pth"), "wb").close()
user = re.sub(r'[\\\\/:*?"<>|]', "_", getpass.getuser())
os.makedirs(os.path.join(tempfile.gettempdir(), "torchinductor_" + user))
os.makedirs(os.path.join(os.path.expanduser("~"), ".triton", "cache"))
"""
"""What torch asks of the standard library for its hub, its compiler's and Triton's caches; itself it is too large."""


@contextmanager
def image_after(client: Any, script: str, *changes: str) -> Iterator[str]:
    """Make an image from the demo's by a program that root runs in it, yield its name, and remove it."""
    name = f"flcore-home:{uuid.uuid4().hex[:8]}"
    made = client.containers.create(IMAGE, ["python3", "-c", script], user="0:0", network_mode="none")
    try:
        made.start()
        assert made.wait()["StatusCode"] == 0, made.logs()
        client.api.commit(made.id, *name.split(":"), changes=list(changes))
    finally:
        made.remove(force=True)
    try:
        yield name
    finally:
        client.api.remove_image(name, force=True)


def given(lab: Lab, user: str) -> dict[str, Any]:
    """Return the site's keys for jobs of a user; where only one can be had, they are that one's."""
    return {} if os.geteuid() != 0 or is_rootless(lab) else {"user": user}


def is_rootless(lab: Lab) -> bool:
    return as_traits(lab.client.version(), lab.client.info()).is_rootless


def answer(lab: Lab, **keys: Any) -> dict[str, Any]:
    handle = lab.launch("python3", "-c", ASK, **keys)
    assert handle.wait() is JobReturnCode.SUCCESS, handle.logs()
    said: dict[str, Any] = json.loads(handle.logs())
    return said


# --- whom an image knows ---


@pytest.mark.parametrize(
    ("passwd", "known"),
    [(DEBIAN, ["root", "www-data"]), (ALPINE, ["root", "nobody"]), (DISTROLESS, ["root", "nonroot"]), ("", [])],
    ids=["as Debian's", "as Alpine's", "as distroless", "empty"],
)
@pytest.mark.parametrize("user", [UNKNOWN, "65534:65534"], ids=["unknown", "nobody"])
def test_a_job_has_a_name_and_a_home_and_sees_whom_its_image_knows(
    lab: Lab, passwd: str, known: list[str], user: str
) -> None:
    with image_after(lab.client, WRITE.format(passwd)) as image:
        said = answer(lab, image=image, **given(lab, user))
        assert said["home"] == said["tilde"] == "/tmp"
        assert said["all"][: len(known)] == known
        assert len(said["all"]) <= len(known) + 1
        assert not said["writable"] or said["uid"] == 0
        if keys := given(lab, user):
            assert f"{said['uid']}:{said['gid']}" == keys["user"]
            assert said["name"] == said["getuser"]
        assert lab.left_over() == []


@pytest.mark.parametrize(
    "script",
    [
        "import os; os.remove('/etc/passwd')",
        "import os; os.rename('/etc/passwd', '/usr/passwd'); os.symlink('../usr/passwd', '/etc/passwd')",
        "import os; os.remove('/etc/passwd'); os.symlink('/nowhere', '/etc/passwd')",
        "open('/etc/passwd', 'a').write('a:x:1:1::/:\\n' * (1 << 18))",
    ],
    ids=["none", "a link", "a link to nowhere", "3 MiB"],
)
def test_whatever_an_image_has_in_its_place_costs_no_job(lab: Lab, script: str) -> None:
    with image_after(lab.client, script) as image:
        code = "import getpass, pathlib; (pathlib.Path.home() / 'a').touch(); print(getpass.getuser())"
        handle = lab.launch("python3", "-c", code, image=image, **given(lab, UNKNOWN))
        assert handle.wait() is JobReturnCode.SUCCESS, handle.logs()
        assert handle.logs() == ("root\n" if is_rootless(lab) else "job\n")
        assert lab.left_over() == []


def test_an_image_is_looked_into_once_for_all_its_jobs(lab: Lab) -> None:
    with image_after(lab.client, WRITE.format(ALPINE)) as image:
        site = lab.site("python3", "-c", ASK, image=image, **given(lab, UNKNOWN))
        handles = [lab.launch_at(site, f"{lab.job_id}-{number}") for number in range(3)]
        assert {handle.wait() for handle in handles} == {JobReturnCode.SUCCESS}
        names = {json.loads(handle.logs())["name"] for handle in handles}
        assert len(names) == 1
        assert [lab.left_over(f"{lab.job_id}-{number}") for number in range(3)] == [[], [], []]


# --- what comes before what ---


def test_an_images_own_home_does_not_count_and_the_sites_does(lab: Lab) -> None:
    says = ("ENV HOME=/root", "ENV USER=app", "ENV LOGNAME=app")
    ask = ["python3", "-c", "import os; print(*(os.environ[name] for name in ('HOME', 'USER', 'LOGNAME')))"]
    with image_after(lab.client, "", *says) as image:
        for keys, told in (({}, "/tmp"), ({"home": "."}, "/workspace/"), ({"env": {"HOME": "/opt"}}, "/opt")):
            handle = lab.launch_at(lab.site(*ask, image=image, **keys), f"{lab.job_id}-{len(told)}")
            handle.wait()
            home, user, logname = handle.logs().split()
            assert home.startswith(told)
            assert user == logname != "app"


def test_a_home_of_its_own_in_memory_is_there(lab: Lab) -> None:
    said = answer(lab, home="/home/job", tmpfs={"/tmp": "16Mi", "/home/job": "16Mi"})
    assert said["home"] == "/home/job"


def test_a_home_in_the_jobs_own_folder_stays_with_its_files(lab: Lab) -> None:
    said = answer(lab, home=".")
    assert said["home"] == f"/workspace/{lab.job_id}"
    assert (lab.folder / lab.job_id / ".cache/a").is_dir()


# --- libraries ---


@pytest.mark.parametrize("keys", [{}, {"home": "."}], ids=["in memory", "in its folder"])
def test_torch_finds_places_for_its_caches(lab: Lab, keys: dict[str, Any]) -> None:
    handle = lab.launch("python3", "-c", TORCH_S_CALLS, **keys, **given(lab, UNKNOWN))
    assert handle.wait() is JobReturnCode.SUCCESS, handle.logs()
