"""A site's secrets: where they come from, the files that one job can read, and that nothing else ever shows one."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, Site
from flcore.errors import JobLaunchError, JobStartError, RuntimeRefusedError
from flcore.testing import EventRecorder, FakeFLContext
from launchers.container_spec import ContainerSpec, Mount, Secret
from launchers.docker_launcher import ClientDockerJobLauncher, DockerJobLauncher
from launchers.keeping.job_secrets import JobSecrets, ProcessSecrets, read_secret
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.runtime.fake import FakeRuntime

VALUE = "s3cret-value"
NONCE = "0123456789abcdef"
META = {"job_id": "job-1"}
NAME = "site-1-job-1"
ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client"), "auth_token": ("-t", "t0ken-value")}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for one in memory."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr("launchers.keeping.job_secrets.file_system_of", lambda _: "tmpfs")
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "db-password"
    file.write_text(VALUE)
    return file


def spec(*secrets: Secret, user: str = "") -> ContainerSpec:
    return ContainerSpec("name", "image", ("true",), user=user, host_user=user, secrets=secrets)


@pytest.fixture
def database(file: Path) -> Secret:
    return Secret("db", file=str(file))


# --- reading a source ---


def test_a_file_is_read_byte_by_byte_through_the_sites_own_links(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\0\xff\n")
    (tmp_path / "link").symlink_to(file)
    assert read_secret(Secret("db", file=f"{tmp_path}/link")) == b"\0\xff\n"


def test_a_variable_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("db", env="SITE_DB")
    monkeypatch.setenv("SITE_DB", VALUE)
    assert read_secret(secret) == VALUE.encode()


def _missing(place: Path) -> None:
    place.unlink()


def _pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def _large(place: Path) -> None:
    place.write_bytes(b"x" * (500 * 1024 + 1))


def _empty(place: Path) -> None:
    place.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_missing, "cannot be read: No such file or directory"),
        (_pipe, "cannot be read: it is no file"),
        (_folder, "cannot be read: Is a directory"),
        (_large, "must hold 1 to 512000 bytes"),
        (_empty, "must hold 1 to 512000 bytes"),
    ],
)
def test_a_source_that_is_none_is_named(file: Path, database: Secret, spoil: Any, why: str) -> None:
    spoil(file)
    with pytest.raises(JobLaunchError, match=f"the secret db: file {file} {why}"):
        read_secret(database)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(JobLaunchError, match="the secret db: variable NO_SUCH of the site's process is not set"):
        read_secret(Secret("db", env="NO_SUCH"))


def test_the_largest_secret_is_500_kib(file: Path, database: Secret) -> None:
    file.write_bytes(b"x" * (500 * 1024))
    assert len(read_secret(database)) == 500 * 1024


# --- the files of a container's job ---


def test_a_job_sees_each_secret_as_a_read_only_file(memory: Path, file: Path) -> None:
    given = JobSecrets(str(memory)).give(spec(Secret("db-password", file=str(file))), NONCE)
    made = memory / f"flcore-{NONCE}" / "db-password"
    assert given.mounts == (Mount(str(made), "/run/secrets/db-password", read_only=True),)
    assert given.environment == {"FLCORE_SECRET_DB_PASSWORD": "/run/secrets/db-password"}
    assert made.read_text() == VALUE


@AS_ROOT
def test_a_file_is_its_jobs_users_alone(memory: Path, database: Secret) -> None:
    JobSecrets(str(memory)).give(spec(database, user="1234:567"), NONCE)
    info, folder = (memory / f"flcore-{NONCE}" / "db").stat(), (memory / f"flcore-{NONCE}").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (1234, 567, 0o400)
    assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (0, 0o700)


def test_a_site_that_is_not_root_says_that_it_cannot_give_a_secret_away(
    memory: Path, database: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchown", refuse)
    with pytest.raises(JobLaunchError, match="the secret db: only root can give files to the jobs' user 1234:567"):
        JobSecrets(str(memory)).give(spec(database, user="1234:567"), NONCE)


def test_a_secret_stands_in_a_variable_only_where_that_is_asked_for(memory: Path, file: Path, database: Secret) -> None:
    secrets = [database, Secret("api", file=str(file), to_env="API_KEY")]
    given = JobSecrets(str(memory)).give(spec(*secrets), NONCE)
    assert given.environment == {
        "FLCORE_SECRET_DB": "/run/secrets/db",
        "FLCORE_SECRET_API": "/run/secrets/api",
        "API_KEY": VALUE,
    }
    assert given.secret_variables == {"API_KEY"}


def test_a_variable_has_no_line_break_at_its_end(memory: Path, file: Path) -> None:
    file.write_bytes(b"two\nlines\n")
    secret = Secret("db", file=str(file), to_env="DB")
    assert JobSecrets(str(memory)).give(spec(secret), NONCE).environment["DB"] == "two\nlines"


@pytest.mark.parametrize("value", [b"s3cret\xff", b"s3cret\0", b"s3cret" * 80_000])
def test_what_no_variable_can_hold_is_refused_and_not_shown(memory: Path, file: Path, value: bytes) -> None:
    file.write_bytes(value)
    with pytest.raises(JobLaunchError, match=r"the secret db: .* cannot be put into DB") as raised:
        JobSecrets(str(memory)).give(spec(Secret("db", file=str(file), to_env="DB")), NONCE)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value)).replace(str(file), "")


def test_without_secrets_nothing_is_made(memory: Path) -> None:
    assert JobSecrets(str(memory)).give(spec(), NONCE) == spec()
    assert list(memory.iterdir()) == []


def test_they_are_taken_back_by_the_nonce_alone_and_twice(memory: Path, database: Secret) -> None:
    JobSecrets(str(memory)).give(spec(database), NONCE)
    another_process = JobSecrets(str(memory))
    another_process.take_back(NONCE)
    another_process.take_back(NONCE)
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("nonce", ["", "unknown"])
def test_taking_back_what_is_not_there_is_no_error(memory: Path, nonce: str) -> None:
    JobSecrets(str(memory)).take_back(nonce)
    JobSecrets("/no/such/folder").take_back(nonce)


def test_a_folder_that_somebody_has_put_there_is_neither_used_nor_followed(
    memory: Path, database: Secret, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (memory / f"flcore-{NONCE}").symlink_to(elsewhere)
    secrets = JobSecrets(str(memory))
    with pytest.raises(
        JobLaunchError, match=rf"the secrets cannot be put into {memory} \('secrets_dir'\): File exists"
    ):
        secrets.give(spec(database), NONCE)
    secrets.take_back(NONCE)
    assert list(elsewhere.iterdir()) == []
    assert elsewhere.exists()


def test_what_could_not_be_removed_for_a_while_is_with_the_next_that_is_taken_back(
    memory: Path, database: Secret, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = JobSecrets(str(memory))
    secrets.give(spec(database), NONCE)

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "rmdir", broken)
        assert not secrets.take_back(NONCE)
    assert "cannot be removed; that is tried again" in caplog.text
    assert secrets.take_back("another")
    assert list(memory.iterdir()) == []


@AS_ROOT
def test_a_folder_of_somebody_else_is_left_alone(memory: Path, caplog: pytest.LogCaptureFixture) -> None:
    (memory / f"flcore-{NONCE}").mkdir()
    os.chown(memory / f"flcore-{NONCE}", 1234, 1234)
    JobSecrets(str(memory)).take_back(NONCE)
    assert [entry.name for entry in memory.iterdir()] == [f"flcore-{NONCE}"]


def test_a_folder_on_a_disk_is_refused(tmp_path: Path, database: Secret) -> None:
    disk = Path(__file__).parent
    with pytest.raises(JobLaunchError, match=rf"'secrets_dir' must be in memory \(tmpfs\), but {disk} is on "):
        JobSecrets(str(disk)).give(spec(database), NONCE)


def test_dev_shm_is_in_memory(database: Secret) -> None:
    checks = list(JobSecrets("/dev/shm").check([database]))
    assert [(check.what, check.ok) for check in checks] == [("secret db", True), ("secrets_dir", True)]


def test_a_check_names_what_is_missing_and_shows_no_secret(database: Secret) -> None:
    secrets = [database, Secret("api", env="NO_SUCH")]
    checks = list(JobSecrets("/no/such/folder").check(secrets))
    assert [(check.what, check.ok) for check in checks] == [
        ("secret db", True),
        ("secret api", False),
        ("secrets_dir", False),
    ]
    assert VALUE not in repr(checks)


def test_what_is_described_is_not_made_or_read(memory: Path) -> None:
    secret = Secret("db", file="/no/such/file", to_env="DB")
    described = JobSecrets(str(memory)).describe(spec(secret), "(at launch)")
    assert described.environment == {"FLCORE_SECRET_DB": "/run/secrets/db", "DB": "***"}
    assert described.mounts == (Mount(f"{memory}/flcore-(at launch)/db", "/run/secrets/db"),)
    assert list(memory.iterdir()) == []


# --- the files of a local process ---


@pytest.fixture
def process_secrets() -> Iterator[ProcessSecrets]:
    secrets = ProcessSecrets()
    yield secrets
    secrets.take_back(NONCE)


def test_another_process_reads_a_secret_by_its_path(process_secrets: ProcessSecrets, database: Secret) -> None:
    path = process_secrets.give(spec(database), NONCE).environment["FLCORE_SECRET_DB"]
    script = "import sys; print(open(sys.argv[1]).read(), end='')"
    found = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert found.stdout == VALUE


def test_nobody_can_write_to_it_not_even_root(process_secrets: ProcessSecrets, database: Secret) -> None:
    path = Path(process_secrets.give(spec(database), NONCE).environment["FLCORE_SECRET_DB"])
    with pytest.raises(PermissionError), path.open("r+b", buffering=0) as opened:
        opened.write(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_it_is_gone_when_it_is_taken_back(process_secrets: ProcessSecrets, database: Secret) -> None:
    path = Path(process_secrets.give(spec(database), NONCE).environment["FLCORE_SECRET_DB"])
    process_secrets.take_back(NONCE)
    assert not path.exists()


def test_a_process_has_its_secret(tmp_path: Path, file: Path) -> None:
    custom = tmp_path / "app" / "custom"
    custom.mkdir(parents=True)
    script = "import os; print(open(os.environ['FLCORE_SECRET_DB']).read() == os.environ['DB'] == 's3cret-value')"
    (custom / "work.py").write_text(script)
    launcher = ClientProcessJobLauncher(secrets={"db": {"file": str(file), "to_env": "DB"}})
    with Site("site-1", {"launcher": launcher}, tmp_path / "ws") as site:
        handle = site.launch_job(META, {"exe_module": ("-m", "work")}, app=custom.parent)
        handle.wait()
        assert handle.logs() == "True\n"


# --- a job's life ---


class Lab:
    """A site whose jobs have a secret, on a fake runtime."""

    def __init__(self, tmp_path: Path, memory: Path, runtime: FakeRuntime, **source: str) -> None:
        self.memory = memory
        self.workspace = tmp_path / "ws"
        self.runtime = runtime
        self.launcher: DockerJobLauncher = ClientDockerJobLauncher(
            image="job:1",
            runtime=runtime,
            stop_grace=0,
            secrets_dir=str(memory),
            secrets={"db": source | {"to_env": "DB"}},
        )
        hasty = replace(self.launcher.job_settings, launch_patience=0.05, creation_grace=0.05, relist_interval=0.02)
        self.launcher.job_settings = hasty
        self.ctx = FakeFLContext(workspace=self.workspace, job_args=ARGS)

    @property
    def recorder(self) -> EventRecorder:
        return self.ctx.recorder

    def launch(self) -> Any:
        return self.launcher.launch_job(META, self.ctx)

    def made(self) -> list[str]:
        return sorted(path.name for path in self.memory.rglob("*") if path.is_file())

    def on_disk(self) -> str:
        """All that is written down in the workspace."""
        return "".join(path.read_text() for path in self.workspace.rglob("*") if path.is_file())


@pytest.fixture
def lab(tmp_path: Path, memory: Path, file: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, memory, FakeRuntime(), file=str(file))
    yield lab
    lab.launcher.close()


def test_a_running_job_has_its_secrets_and_an_ended_one_has_none(lab: Lab) -> None:
    handle = lab.launch()
    assert lab.made() == ["db"]
    assert lab.runtime.container(NAME).spec.environment["DB"] == VALUE
    lab.runtime.exit(NAME)
    handle.wait()
    lab.launcher.close()
    assert list(lab.memory.iterdir()) == []


def test_they_go_at_the_end_even_if_the_engine_is_away_then(lab: Lab) -> None:
    handle = lab.launch()
    lab.runtime.exit(NAME)
    handle.wait()
    lab.runtime.set_reachable(False)
    lab.launcher.close()
    assert list(lab.memory.iterdir()) == []


def test_a_container_that_is_kept_has_none_any_more(lab: Lab) -> None:
    lab.launcher.job_settings = replace(lab.launcher.job_settings, keep=True)
    handle = lab.launch()
    lab.runtime.exit(NAME)
    handle.wait()
    lab.launcher.close()
    assert len(lab.runtime.containers()) == 1
    assert list(lab.memory.iterdir()) == []


def test_a_missing_secret_is_an_error_of_the_launch_that_leaves_nothing(lab: Lab, file: Path) -> None:
    file.unlink()
    with pytest.raises(JobLaunchError, match=f"job job-1: the secret db: file {file} cannot be read"):
        lab.launch()
    assert lab.runtime.containers() == []
    assert list(lab.memory.iterdir()) == []
    assert list((lab.workspace / ".flcore" / "jobs").iterdir()) == []


def test_a_create_that_is_refused_leaves_none(lab: Lab) -> None:
    class Refusing(FakeRuntime):
        def create(self, spec: ContainerSpec) -> str:
            raise RuntimeRefusedError("no")

    lab.launcher._runtime = Refusing()
    with pytest.raises(RuntimeRefusedError):
        lab.launch()
    assert list(lab.memory.iterdir()) == []


def test_a_start_that_fails_leaves_none(lab: Lab) -> None:
    lab.runtime.start_error = "no such command"
    with pytest.raises(JobStartError):
        lab.launch()
    assert list(lab.memory.iterdir()) == []


def test_an_engine_that_does_not_answer_a_create_leaves_none(lab: Lab) -> None:
    lab.launch()
    lab.runtime.set_reachable(False)
    with pytest.raises(JobLaunchError):
        lab.launcher.launch_job({"job_id": "job-2"}, lab.ctx)
    assert lab.made() == ["db"]  # of the first one, which runs


def test_the_next_process_takes_back_what_a_killed_one_left(lab: Lab, tmp_path: Path, memory: Path, file: Path) -> None:
    lab.launch()
    lab.launcher.close()  # which leaves what a death leaves
    next_life = Lab(tmp_path, memory, lab.runtime, file=str(file))
    next_life.launcher.dispatch_event(EventType.SYSTEM_START, next_life.ctx)
    assert next_life.made() == ["db"]
    lab.runtime.exit(NAME)
    next_life.recorder.wait_for_end("job-1")
    next_life.launcher.close()
    assert list(memory.iterdir()) == []


DIES_AT_THE_CREATION = """
import os, sys
from flcore import Site
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime

class Deadly(FakeRuntime):
    def create(self, spec):
        os._exit(9)

workspace, memory, file = sys.argv[1:]
source = {"db": {"file": file}}
launcher = ClientDockerJobLauncher(image="job:1", runtime=Deadly(), secrets=source, secrets_dir=memory)
Site("site-1", {"launcher": launcher}, workspace).launch_job({"job_id": "job-1"}, {"exe_module": ("-m", "client")})
"""


def test_the_next_process_takes_back_what_one_left_that_died_before_there_was_a_container(
    tmp_path: Path, file: Path
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        memory = Path(name)
        died = subprocess.run([sys.executable, "-c", DIES_AT_THE_CREATION, tmp_path / "ws", memory, file], check=False)
        assert died.returncode == 9
        assert [path.name for path in memory.rglob("*") if path.is_file()] == ["db"]
        launcher = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime(), secrets_dir=name)
        launcher.job_settings = replace(launcher.job_settings, creation_grace=0.05, relist_interval=0.02)
        with Site("site-1", {"launcher": launcher}, tmp_path / "ws") as site:
            site.jobs()["job-1"].wait()
        assert list(memory.iterdir()) == []


# --- nothing shows a secret ---


def test_no_record_log_label_argument_or_repr_has_a_secret(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    handle = lab.launch()
    container = lab.runtime.container(NAME)
    shown = [caplog.text, repr(container), repr(lab.launcher.policy.study), repr(handle.identity), lab.on_disk()]
    shown += [json.dumps(container.spec.labels), *container.spec.command]
    shown.append(repr(lab.launcher.describe_launch(META, lab.ctx)))
    lab.runtime.exit(NAME, 3)
    handle.wait()
    lab.launcher.close()
    shown += [caplog.text, lab.on_disk(), repr(handle.result), repr(lab.recorder.events)]
    assert not [text for text in shown if VALUE in text or "t0ken-value" in text]


def test_an_engine_that_repeats_the_environment_in_its_error_shows_no_secret(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    class Talkative(FakeRuntime):
        def create(self, spec: ContainerSpec) -> str:
            cause = ValueError(f"bad request: {spec.environment}")
            raise RuntimeRefusedError(f"container x: the engine says: {spec.environment}") from cause

    caplog.set_level(logging.DEBUG)
    lab.launcher._runtime = Talkative()
    with pytest.raises(RuntimeRefusedError, match=r"'DB': '\*\*\*'") as raised:
        lab.launch()
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + lab.on_disk()
    assert VALUE not in shown
    assert "t0ken-value" not in shown


def test_a_start_that_fails_with_the_environment_shows_no_secret(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    lab.runtime.start_error = f"cannot exec with DB={VALUE}"
    with pytest.raises(JobStartError, match=r"DB=\*\*\*"):
        lab.launch()
    shown = repr(lab.recorder.events) + lab.on_disk()
    lab.launcher.close()
    assert VALUE not in shown + caplog.text + repr(lab.recorder.events)


def test_a_failed_jobs_error_shows_no_secret_that_the_job_has_printed(lab: Lab) -> None:
    handle = lab.launch()
    lab.runtime.write(NAME, f"cannot log in with {VALUE}\n".encode())
    lab.runtime.exit(NAME, 1)
    handle.wait()
    assert handle.result.error == "exit code 1; its last output: cannot log in with ***"


def test_no_part_of_a_secret_is_left_where_a_long_output_is_cut(lab: Lab) -> None:
    handle = lab.launch()
    lab.runtime.write(NAME, f"{VALUE}{'x' * 595}\n".encode())
    lab.runtime.exit(NAME, 1)
    handle.wait()
    assert handle.result.error.endswith("***" + "x" * 595)


def test_an_error_without_a_secret_keeps_its_cause(lab: Lab) -> None:
    class Refusing(FakeRuntime):
        def create(self, spec: ContainerSpec) -> str:
            raise RuntimeRefusedError("no") from ValueError("because")

    lab.launcher._runtime = Refusing()
    with pytest.raises(RuntimeRefusedError) as raised:
        lab.launch()
    assert str(raised.value.__cause__) == "because"
