"""A site's secrets on a real engine: what a job sees of them, and that they are gone whatever happens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobStartError, NetworkError
from launchers.container_spec import LABEL_JOB_ID

from .conftest import Lab, until
from .secret_parent import SITE

ROOT = Path(__file__).parents[2]
VALUE = "s3cret-value"
REFUSED = ("Permission denied", "Read-only file system", "Device or resource busy")
"""To remove what is mounted: by the folder above, or since it is mounted."""
LOOK = (
    f"VALUE = {VALUE!r}"
    + """
import json, os
path = os.environ["FLCORE_SECRET_DB"]
info = os.stat(path)

def attempt(call, *args):
    try:
        call(*args)
    except OSError as error:
        return error.strerror
    return "done"

mounts = {line.split()[1]: line.split() for line in open("/proc/mounts")}
facts = {
    "path": path,
    "value": open(path).read() == VALUE,
    "mode": oct(info.st_mode),
    "is mine": (info.st_uid, info.st_gid) == (os.getuid(), os.getgid()),
    "kind": mounts[path][2],
    "options": mounts[path][3].split(","),
    "written": attempt(open, path, "w"),
    "opened up": attempt(os.chmod, path, 0o644),
    "removed": attempt(os.unlink, path),
    "beside": os.listdir(os.path.dirname(path)),
    "variables": [name for name, value in os.environ.items() if value == VALUE],
    "elsewhere": [mount for mount in mounts if "flcore-" in mount],
}
json.dump(facts, open("facts.json", "w"))
"""
)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, of this test alone."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="flcore-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def source(tmp_path: Path) -> dict[str, dict[str, str]]:
    (tmp_path / "db-password").write_text(VALUE)
    return {"db": {"file": str(tmp_path / "db-password")}}


def test_a_job_reads_its_secret_in_memory_and_can_do_nothing_else_to_it(
    lab: Lab, memory: Path, source: dict[str, Any]
) -> None:
    handle = lab.launch("python3", "-c", LOOK, secrets=source, secrets_dir=str(memory))
    handle.wait()
    assert handle.result is not None
    assert handle.result.error == ""
    facts = json.loads((lab.folder / lab.job_id / "facts.json").read_text())
    assert facts.pop("written") in ("Permission denied", "Read-only file system")
    assert facts.pop("removed") in REFUSED
    assert "ro" in facts.pop("options")
    assert facts == {
        "path": "/run/secrets/db",
        "value": True,
        "mode": "0o100400",
        "is mine": True,
        "kind": "tmpfs",
        "opened up": "Read-only file system",
        "beside": ["db"],
        "variables": [],
        "elsewhere": [],
    }
    assert lab.left_over() == []
    assert list(memory.iterdir()) == []


def test_the_engine_knows_no_secret_but_those_that_a_variable_was_to_hold(
    lab: Lab, memory: Path, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLCORE_TEST_KEY", "k3y-value")
    secrets = {**source, "api": {"env": "FLCORE_TEST_KEY", "to_env": "API_KEY"}}
    handle = lab.launch("sleep", "60", secrets=secrets, secrets_dir=str(memory))
    inspected = lab.client.api.inspect_container(handle.container.id)
    assert VALUE not in json.dumps(inspected)
    environment = inspected["Config"].pop("Env")
    assert "API_KEY=k3y-value" in environment
    assert "k3y-value" not in json.dumps(inspected)
    handle.terminate()
    assert lab.left_over() == []
    assert list(memory.iterdir()) == []


def test_a_job_whose_start_fails_leaves_no_secret(lab: Lab, memory: Path, source: dict[str, Any]) -> None:
    site = lab.site("no-such-command", secrets=source, secrets_dir=str(memory), init=False)
    with pytest.raises(JobStartError):
        lab.launch_at(site)
    assert list(memory.iterdir()) == []
    assert lab.left_over() == []


def test_a_job_whose_network_is_not_there_leaves_no_secret(lab: Lab, memory: Path, source: dict[str, Any]) -> None:
    site = lab.site("true", secrets=source, secrets_dir=str(memory), network="flcore-no-such-network")
    with pytest.raises(NetworkError):
        lab.launch_at(site)
    assert list(memory.iterdir()) == []
    assert lab.left_over() == []


def test_the_next_parent_removes_the_secret_of_a_killed_one_when_the_job_has_ended(
    lab: Lab, memory: Path, source: dict[str, Any]
) -> None:
    command = [sys.executable, "-m", "tests.integration.secret_parent", str(lab.folder), str(memory), lab.job_id]
    with subprocess.Popen(command, cwd=ROOT) as parent:
        try:
            until(lambda: _is_running(lab))
        finally:
            parent.kill()
    assert len(list(memory.rglob("db"))) == 1
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert list(memory.iterdir()) == []
    assert lab.left_over() == []
    assert (lab.folder / SITE / lab.job_id / f"{SITE}.log").exists()


def _is_running(lab: Lab) -> bool:
    label = f"{LABEL_JOB_ID}={lab.job_id}"
    listed = lab.client.api.containers(filters={"label": label, "status": "running"})
    return bool(listed)
