"""A job's folder on a real engine: what a job leaves there, reaches from there, or finds in its place."""

from __future__ import annotations

import os
from typing import Any

import pytest

from flcore import JobReturnCode
from flcore.errors import JobLaunchError
from launchers.container_spec import ContainerSpec
from launchers.runtime.docker import DockerRuntime

from .conftest import Lab

LEAVE = """
import os, shutil
os.symlink("../precious", "site-1.log")
os.mkfifo(".site-1.log.part")
os.symlink("..", "app_site-1")
os.symlink("/etc/passwd", "meta.json")
os.makedirs("deep/er")
os.chmod("deep", 0)
shutil.copy("/bin/sh", "shell")
os.chmod("shell", 0o6755)
os.link("shell", "shell-too")
os.chmod(".", 0o777)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_what_a_job_leaves_in_its_folder_leads_the_next_run_nowhere(lab: Lab) -> None:
    precious = lab.folder / "precious"
    precious.write_text("untouched")
    assert lab.launch("python3", "-c", LEAVE).wait() is JobReturnCode.SUCCESS
    assert lab.left_over() == []
    folder = lab.folder / lab.job_id
    assert folder.stat().st_mode & 0o777 == 0o700
    app = lab.folder / "app"
    app.mkdir()
    (app / "file").write_text("new")
    site = lab.site("python3", "-c", "print(open('app_site-1/file').read())")
    handle = site.launch_job({"job_id": lab.job_id}, app=app)
    handle.wait()
    assert handle.logs() == "new\n"
    assert lab.left_over() == []
    assert (folder / "site-1.log").is_file()
    assert not (folder / "site-1.log").is_symlink()
    assert (precious.read_text(), precious.stat().st_uid) == ("untouched", 0)


def test_a_job_cannot_link_to_data_that_it_sees_so_as_to_be_given_it(lab: Lab) -> None:
    data = lab.folder / "data.csv"
    data.write_text("of the site")
    handle = lab.launch("python3", "-c", "import os; os.link('/data/data', 'stolen')", datasets={"data": str(data)})
    handle.wait()
    assert "Invalid cross-device link" in handle.logs()
    assert data.stat().st_nlink == 1
    assert lab.left_over() == []


@pytest.mark.parametrize("target", ["another-job", "startup", None])
def test_a_folder_that_is_replaced_between_create_and_start_is_shown_to_nobody(
    lab: Lab, target: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lab.folder / lab.job_id
    for name in ("another-job", "startup"):
        (lab.folder / name).mkdir()
    create = DockerRuntime.create

    def swap(runtime: Any, spec: ContainerSpec) -> str:
        container_id = create(runtime, spec)
        folder.rename(folder.with_name("moved"))
        if target:
            folder.symlink_to(lab.folder / target)
        else:
            folder.mkdir()
        return container_id

    monkeypatch.setattr(DockerRuntime, "create", swap)
    with pytest.raises(JobLaunchError, match="its folder was replaced during the launch"):
        lab.launch("sh", "-c", "touch stolen")
    assert lab.left_over() == []
    assert [path.name for path in lab.folder.rglob("stolen")] == []
