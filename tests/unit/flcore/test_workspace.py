"""Workspace: the layout of a site's folder, and what is put into a job's."""

import errno
import json
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flcore import Site
from flcore.disk.safe_files import remove
from flcore.errors import ConfigError, JobLaunchError, JobRejectedError, OutcomeUnknownError
from flcore.job_meta import is_identifier
from flcore.workspace import STATE_DIR, JobFiles, Workspace
from tests.another_user import as_another
from tests.conftest import Launcher

META: dict[str, Any] = {"job_id": "j1", "name": "x"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "root", "site-1")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    custom = tmp_path / "job" / "app" / "custom"
    custom.mkdir(parents=True)
    (custom / "client.py").write_text("print(1)\n")
    return custom.parent


def run_dir(workspace: Workspace) -> Path:
    return Path(workspace.get_run_dir("j1"))


def deploy(workspace: Workspace, job_meta: Any, app: Path) -> None:
    with workspace.staged(job_meta, app) as files:
        files.put()


def deploy_in_vain(workspace: Workspace, app: Path) -> None:
    with workspace.staged(META, app) as files:
        files.put()
        raise JobLaunchError("the engine refuses")


def test_the_layout_is_that_of_nvidia_flare(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "site-1")
    assert workspace.get_root_dir() == f"{tmp_path}"
    assert workspace.get_run_dir("j1") == f"{tmp_path}/j1"
    assert workspace.get_app_dir("j1") == f"{tmp_path}/j1/app_site-1"
    assert workspace.get_app_custom_dir("j1") == f"{tmp_path}/j1/app_site-1/custom"


def test_no_job_can_have_the_folder_of_the_sites_own_memory() -> None:
    assert not is_identifier(STATE_DIR)


def test_making_a_workspace_touches_no_disk(tmp_path: Path) -> None:
    Workspace(tmp_path / "root", "site-1")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_root_is_made_absolute() -> None:
    assert Workspace("some/where", "site-1").get_root_dir() == f"{Path.cwd()}/some/where"


def test_a_deployed_job_has_its_metadata_and_its_app(workspace: Workspace, app: Path) -> None:
    deploy(workspace, META, app)
    assert json.loads((run_dir(workspace) / "meta.json").read_text()) == META
    assert (run_dir(workspace) / "app_site-1" / "custom" / "client.py").read_text() == "print(1)\n"


def test_two_sites_of_one_workspace_have_an_app_each(tmp_path: Path, app: Path) -> None:
    for site in ("site-1", "site-2"):
        deploy(Workspace(tmp_path / "root", site), META, app)
    assert sorted(path.name for path in (tmp_path / "root" / "j1").iterdir()) == [
        "app_site-1",
        "app_site-2",
        "meta.json",
    ]


def test_a_job_deployed_again_has_nothing_left_of_its_earlier_app(workspace: Workspace, app: Path) -> None:
    deploy(workspace, META, app)
    (app / "custom" / "client.py").rename(app / "custom" / "other.py")
    deploy(workspace, META | {"name": "y"}, app)
    custom = Path(workspace.get_app_custom_dir("j1"))
    assert [path.name for path in custom.iterdir()] == ["other.py"]
    assert json.loads((run_dir(workspace) / "meta.json").read_text())["name"] == "y"


def test_a_link_in_an_app_is_copied_as_a_link(workspace: Workspace, app: Path, tmp_path: Path) -> None:
    (app / "link").symlink_to(tmp_path / "outside")
    deploy(workspace, META, app)
    assert (Path(workspace.get_app_dir("j1")) / "link").is_symlink()


def test_no_link_that_an_earlier_run_left_is_followed(workspace: Workspace, app: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    deploy(workspace, META, app)
    remove(workspace.get_app_dir("j1"))
    remove(run_dir(workspace) / "meta.json")
    Path(workspace.get_app_dir("j1")).symlink_to(outside)
    (run_dir(workspace) / "meta.json").symlink_to(outside / "file")
    deploy(workspace, META, app)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "untouched"


def test_an_app_that_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        deploy(workspace, META, tmp_path / "nothing")
    assert str(raised.value).startswith(
        f"job j1: its app {tmp_path}/nothing cannot be copied to {run_dir(workspace)}: "
    )


def test_metadata_that_is_no_json_is_an_error_of_the_config(workspace: Workspace, app: Path) -> None:
    with pytest.raises(ConfigError, match="Object of type set is not JSON serializable"):
        deploy(workspace, META | {"x": {1, 2}}, app)


def test_a_job_whose_id_leads_out_of_the_workspace_is_rejected(workspace: Workspace, app: Path) -> None:
    with pytest.raises(JobRejectedError, match="job_id: must be 1 to 128 letters"):
        deploy(workspace, {"job_id": "../up"}, app)


def fail(
    workspace: Workspace,
    app: Path,
    at: Callable[[JobFiles], object] = JobFiles.put,
    error: Exception | None = None,
) -> None:
    """Launch the job once more, under another name; the launch fails after ``at``."""
    with workspace.staged(META | {"name": "y"}, app) as files:
        at(files)
        raise error or KeyError


def test_a_folder_that_was_made_for_a_job_goes_again_if_the_launch_fails(workspace: Workspace, app: Path) -> None:
    with pytest.raises(KeyError):
        fail(workspace, app)
    assert not run_dir(workspace).exists()


def all_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def an_earlier_run(workspace: Workspace, app: Path) -> dict[str, bytes]:
    """Have a run's files there, with what it wrote; then change the app. Return the files."""
    deploy(workspace, META, app)
    (run_dir(workspace) / "model.bin").write_bytes(b"trained")
    (app / "custom" / "client.py").write_text("print(2)\n")
    (app / "custom" / "more.py").write_text("")
    return all_in(run_dir(workspace))


@pytest.mark.parametrize("at", [JobFiles.put, id], ids=["put", "not yet put"])
def test_a_failed_launch_leaves_an_earlier_run_as_it_was(
    workspace: Workspace, app: Path, at: Callable[[JobFiles], object]
) -> None:
    before = an_earlier_run(workspace, app)
    with pytest.raises(KeyError):
        fail(workspace, app, at)
    assert all_in(run_dir(workspace)) == before


def no_disk(*_: object) -> None:
    raise OSError(errno.EIO, "input/output error")


def test_what_an_earlier_run_had_and_a_disk_does_not_let_come_back_is_kept_and_named(
    workspace: Workspace, app: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = an_earlier_run(workspace, app)

    def put_before_the_disk_fails(files: JobFiles) -> None:
        files.put()
        monkeypatch.setattr("flcore.disk.staged_files.move", no_disk)

    with pytest.raises(KeyError):
        fail(workspace, app, put_before_the_disk_fails)
    (kept,) = run_dir(workspace).parent.glob(".replaced-*")
    assert str(kept) in caplog.text
    assert all_in(kept / "old").items() == before.items() - {("model.bin", b"trained")}
    monkeypatch.undo()
    deploy(workspace, META, app)
    assert kept.exists()


def test_what_may_run_keeps_its_files(workspace: Workspace, app: Path) -> None:
    an_earlier_run(workspace, app)
    with pytest.raises(OutcomeUnknownError):
        fail(workspace, app, error=OutcomeUnknownError("nobody knows"))
    assert json.loads((run_dir(workspace) / "meta.json").read_text())["name"] == "y"


def test_an_earlier_run_is_untouched_until_the_files_are_put(workspace: Workspace, app: Path) -> None:
    before = an_earlier_run(workspace, app)
    with workspace.staged(META | {"name": "y"}, app) as files:
        assert all_in(run_dir(workspace)) == before
        assert all_in(Path(files.app_dir)) == all_in(app)
        files.put()
        assert files.app_dir == workspace.get_app_dir("j1")
    assert all_in(Path(workspace.get_app_dir("j1"))) == all_in(app)
    assert (run_dir(workspace) / "model.bin").read_bytes() == b"trained"


def test_files_that_cannot_be_put_leave_an_earlier_run_as_it_was(workspace: Workspace, app: Path) -> None:
    before = an_earlier_run(workspace, app)
    hidden = run_dir(workspace).with_name("moved")

    def put(files: JobFiles) -> None:
        run_dir(workspace).rename(hidden)
        run_dir(workspace).symlink_to(hidden)
        files.put()

    with pytest.raises(JobLaunchError, match="job j1: its app cannot be put into"):
        fail(workspace, app, put)
    assert all_in(hidden) == before


def test_what_a_killed_process_has_left_beside_goes_with_the_next_launch(workspace: Workspace, app: Path) -> None:
    root = Path(workspace.get_root_dir())
    left = root / ".staged-0123" / "new" / "app_site-1"
    left.mkdir(parents=True)
    with workspace.staged(META, app), workspace.staged(META | {"job_id": "j2"}, app):
        assert not left.exists()
        assert len(list(root.iterdir())) == 2, "those that are in use stay"
    assert list(root.iterdir()) == []


def test_a_metadata_file_that_another_site_has_put_since_stays(tmp_path: Path, app: Path) -> None:
    one, other = (Workspace(tmp_path / "root", name) for name in ("site-1", "site-2"))

    def put(files: JobFiles) -> None:
        files.put()
        deploy(other, META | {"name": "other"}, app)

    with pytest.raises(KeyError):
        fail(one, app, put)
    assert sorted(path.name for path in run_dir(one).iterdir()) == ["app_site-2", "meta.json"]
    assert json.loads((run_dir(one) / "meta.json").read_text())["name"] == "other"


def test_without_an_app_nothing_is_made(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "root", "site-1")
    with workspace.staged(META, None) as files:
        files.put()
        assert files.app_dir == workspace.get_app_dir("j1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("app_is_there", [True, False])
@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("/nowhere")])
def test_a_job_gets_nothing_that_the_site_did_not_make_for_jobs(
    workspace: Workspace, app: Path, make: Callable[[Path], None], app_is_there: bool
) -> None:
    run_dir(workspace).parent.mkdir()
    make(run_dir(workspace))
    with (
        pytest.raises(
            JobRejectedError, match=r"job j1: job_id: names .*/root/j1, which the site did not make for a job"
        ),
        workspace.staged(META, app if app_is_there else None),
    ):
        pytest.fail("it is not refused")


@pytest.mark.parametrize("with_app", [True, False])
def test_a_job_that_is_called_as_a_folder_of_the_sites_data_is_refused_and_nothing_of_it_is_touched(
    tmp_path: Path, with_app: bool
) -> None:
    rows = tmp_path / "ws" / "data" / "rows.csv"
    rows.parent.mkdir(parents=True)
    rows.write_text("private")
    app = tmp_path / "app"
    app.mkdir()
    with Site("site-1", {"launcher": Launcher()}, tmp_path / "ws") as site, pytest.raises(JobRejectedError):
        site.launch_job({"job_id": "data"}, app=app if with_app else None)
    assert [path.name for path in rows.parent.iterdir()] == ["rows.csv"]


def test_a_job_does_not_get_another_sites_workspace_either(workspace: Workspace, app: Path) -> None:
    other = Workspace(run_dir(workspace), "site-2")
    deploy(other, {"job_id": "theirs"}, app)
    with pytest.raises(JobRejectedError, match="which the site did not make for a job"):
        deploy(workspace, META, app)


def test_the_folder_of_a_job_of_an_earlier_version_is_the_jobs_when_what_the_error_says_is_done(
    workspace: Workspace, app: Path
) -> None:
    deploy(workspace, META, app)
    note = run_dir(workspace).parent / ".flcore/folders/j1"
    note.unlink()
    note.parent.rmdir()
    with pytest.raises(JobRejectedError) as refused:
        deploy(workspace, META, app)
    subprocess.run(str(refused.value).split("`")[1], shell=True, check=True)
    deploy(workspace, META, app)


def test_a_job_may_be_launched_again_into_its_folder(workspace: Workspace, app: Path) -> None:
    deploy(workspace, META, app)
    deploy(workspace, META, app)
    assert (run_dir(workspace) / "meta.json").exists()


def test_a_launch_that_fails_gives_its_id_no_right_to_what_comes_there_later(workspace: Workspace, app: Path) -> None:
    with pytest.raises(JobLaunchError):
        deploy_in_vain(workspace, app)
    run_dir(workspace).mkdir()
    with pytest.raises(JobRejectedError):
        deploy(workspace, META, app)


# --- a workspace that is not ours ---


@pytest.fixture
def shared(open_folder: Path) -> Path:
    return open_folder


OWNER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
@pytest.mark.parametrize("there", ["", "work", "work/.flcore"])
def test_a_workspace_of_another_users_cannot_be_used_and_it_is_said_whose_it_is(shared: Path, there: str) -> None:
    place = shared / there
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    with as_another(place):
        why = Workspace(shared / "work", "site-1").hindrance()
    assert why.startswith(f"{place} belongs to the user {OWNER}, this process to the user nobody; ")


def test_a_workspace_that_is_ours_or_can_be_made_can_be_used(tmp_path: Path) -> None:
    assert Workspace(tmp_path, "site-1").hindrance() == Workspace(tmp_path / "a" / "b", "site-1").hindrance() == ""


def test_a_workspace_that_is_a_link_to_nothing_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert "a link that leads nowhere" in Workspace(tmp_path / "link", "site-1").hindrance()


def test_a_workspace_that_is_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Workspace(tmp_path / "file", "site-1").hindrance().startswith(f"{tmp_path}/file is no folder; ")
