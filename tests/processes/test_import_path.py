"""The command runs nothing of the folder that it is called in; what a site's config names may lie beside the config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

OURS = "flcore launchers"
STANDARD = "json logging types argparse shutil textwrap random signal pathlib subprocess sitecustomize usercustomize"
INSTALLED = "docker requests urllib3 blinker rich argcomplete jinja2 starlette uvicorn sse_starlette watchfiles"
NOT_INSTALLED = "paramiko pyhocon nvflare simplejson win32file"
TRAP = "open({mark!r}, 'a').write(__file__)"
READING = ["ps", "logs x", "stop x", "inspect x", "gc --dry-run", "report", "serve --host 256.0.0.1", "completion bash"]


@pytest.fixture
def jobs_folder(tmp_path: Path) -> Path:
    """A folder full of modules that a job has left there, each of which would leave a mark."""
    folder = tmp_path / "job"
    folder.mkdir()
    for name in f"{STANDARD} {INSTALLED} {NOT_INSTALLED}".split():
        (folder / f"{name}.py").write_text(TRAP.format(mark=str(tmp_path / "mark")))
    for name in OURS.split():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(TRAP.format(mark=str(tmp_path / "mark")))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site's config that names a class beside it, where a module called as an installed one lies, too."""
    folder = tmp_path / "kit"
    folder.mkdir()
    (folder / "audit_log.py").write_text("from flcore import FLComponent\nclass AuditLog(FLComponent):\n    pass\n")
    (folder / "docker.py").write_text(TRAP.format(mark=str(tmp_path / "mark")))
    components = [{"id": "audit", "path": "audit_log.AuditLog"}, {"id": "l", "name": "ClientProcessJobLauncher"}]
    path = folder / "site-1.json"
    path.write_text(json.dumps({"site": "site-1", "components": components}))
    return path


def run(words: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere.sock", **variables}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


SCRIPT = [str(Path(sys.executable).with_name("flcore"))]
MODULE = [sys.executable, "-m", "flcore"]


@pytest.mark.parametrize("command", READING)
def test_no_command_runs_what_lies_in_the_folder_that_it_is_called_in(
    command: str, jobs_folder: Path, tmp_path: Path
) -> None:
    done = run([*SCRIPT, *command.split()], jobs_folder)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mark").exists()


def test_a_command_that_loads_a_config_does_not_either_and_finds_what_lies_beside_the_config(
    jobs_folder: Path, config: Path, tmp_path: Path
) -> None:
    no_job = "flcore: no job here: looked in "
    for words, told in ((["check", str(config)], ""), (["ps", "--site", str(config)], no_job)):
        done = run([*SCRIPT, *words], jobs_folder)
        assert done.returncode == 0
        assert done.stderr.partition(str(config.parent))[0] == told
    assert not (tmp_path / "mark").exists()


def test_python_m_flcore_runs_nothing_there_but_what_is_called_flcore(jobs_folder: Path, tmp_path: Path) -> None:
    (jobs_folder / "flcore" / "__init__.py").unlink()
    (jobs_folder / "flcore").rmdir()
    done = run([*MODULE, "ps"], jobs_folder)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert not (tmp_path / "mark").exists()


def test_python_p_m_flcore_runs_nothing_there_at_all(jobs_folder: Path, tmp_path: Path) -> None:
    assert run([sys.executable, "-P", "-m", "flcore", "ps"], jobs_folder).returncode == 0
    assert not (tmp_path / "mark").exists()


def test_a_command_works_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"import os, sys; os.rmdir({str(gone)!r}); os.execv(sys.argv[1], sys.argv[1:])"
    gone.mkdir()
    done = run([sys.executable, "-P", "-c", script, *SCRIPT, "completion", "bash"], gone)
    assert (done.returncode, done.stderr) == (0, "")
