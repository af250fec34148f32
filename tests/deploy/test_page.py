"""What docs/deploying.md has an operator type is typed, on a host that has an engine and a systemd of its own."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.engines.engine import Engine, until, why_no_engine
from tests.environments import ROOT

from .images import put_wheels
from .machine import Machine, why_none
from .needed import need

PAGE = ROOT / "docs/deploying.md"
SITE = Path("/var/lib/flcore/site-1")
TIMEOUT = 60.0
# In place of what takes a registry, a package mirror, or more of a host than there is.
ELSEWISE = {
    "apt-get install docker.io python3-venv\n": "",
    r"docker build -t my-job:1 .*\n": "docker tag flcore-demo:latest my-job:1\n",
    "systemctl reload prometheus\n": "",
}
A_SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


def typed(section: str) -> list[str]:
    """Return the blocks of commands of a section."""
    text = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (found,) = (part for part in text if part.startswith(f"{section}\n"))
    blocks = re.findall(r"^```sh\n(.*?)^```$", found, re.MULTILINE | re.DOTALL)
    for pattern, other in ELSEWISE.items():
        blocks = [re.sub(pattern, other, block) for block in blocks]
    return blocks


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    need(why_none() or why_no_engine())
    if SITE.exists():
        pytest.skip(f"there is a site in {SITE}")
    folder = Path(tempfile.mkdtemp(prefix="flcore-page-", dir="/srv"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(SITE, ignore_errors=True)


@pytest.fixture(scope="module")
def machine(folder: Path) -> Iterator[Machine]:
    put_wheels(folder / "site")
    with Engine(folder / "engine") as engine:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            engine.start()
            gc.collect()  # what did not connect, as it was not up yet, the SDK leaves to the collector
        engine.prepare()
        socket = Path(engine.host.removeprefix("unix://"))
        with Machine(folder, {"docker.service": A_SERVICE}, ["/etc", "/opt"], socket) as machine:
            yield machine


def test_an_operator_gets_from_a_bare_host_to_a_site_that_is_watched(machine: Machine, folder: Path) -> None:
    path = f"{sys.base_prefix}/bin:{os.environ['PATH']}"
    environment = {"PATH": path, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "site/wheels")}

    def type_in(*blocks: str) -> str:
        return machine.run("\n".join(blocks), **environment)

    type_in(*typed("Install"), *typed("An image for jobs"))
    looked = type_in(*typed("A config, and a look before the start"))
    assert "MISSING" not in looked
    start, submit, look = typed("Start it, now and at boot")
    type_in(start)
    assert machine.systemctl("is-enabled", "flcore-site@site-1") == "enabled\n"
    until((SITE / "inbox").is_dir, TIMEOUT, "the site has its inbox")
    type_in(submit)
    until(lambda: "SUCCESS" in type_in(look.splitlines()[0]), TIMEOUT, "the first job's end")
    assert "hello from a container" in type_in(look)
    type_in(*typed("Watch it"))
    with urlopen("http://127.0.0.1:9400/metrics", timeout=TIMEOUT) as answer:
        assert b'flcore_job_ends_total{return_code="SUCCESS",site="site-1"} 1.0' in answer.read()
    type_in("systemctl stop flcore-site@site-1")


def test_every_file_that_the_page_names_is_there() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"share/flcore/deploy/([\w.@-]+\w)", text)) | set(
        re.findall(r"configs/deploy/([\w.@-]+\w)", text)
    )
    assert named
    assert {name for name in named if not (ROOT / "configs/deploy" / name).exists()} == set()


def test_the_page_has_each_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "configs/deploy/alerts.yml").read_text())
    assert re.findall(r"^\| `(Flcore\w+)`", PAGE.read_text(), re.MULTILINE) == alerts
