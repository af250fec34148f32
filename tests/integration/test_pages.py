"""The code of README and docs is run: files are written, scripts executed, commands typed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit_folder import make_kit
from tests.pages import BLOCKS, README, ROOT, TUTORIALS, Block, save_files

TWO_COMMANDS = ("make demo", "make test")
SCRIPTS = [block for block in BLOCKS if block.language == "python" and not block.name]
COMMANDS = [
    line
    for block in BLOCKS
    if block.language == "console" and block.page not in {page.stem for page in TUTORIALS}
    for line in block.text.splitlines()
    if not block.text.startswith("$ ")  # a prompt stands before what was typed with what it printed
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all the files that the pages say to save."""
    save_files(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Path:
    """The README's config, with the component that the README adds to it."""
    (added,) = [json.loads(block.text) for block in BLOCKS if block[:3] == ("README", "json", "")]
    path = folder / "site-1.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "components": [*config["components"], added]}))
    return path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.page)
def test_scripts_run(script: Block, folder: Path, docker_client: Any) -> None:
    run([sys.executable, "-W", "error", "-c", script.text], folder)


def test_code_is_well_typed(folder: Path) -> None:
    """A launch of the README's, say: by the types that it gets where flcore is installed."""
    for number, script in enumerate(SCRIPTS):
        (folder / f"{script.page.lower()}_{number}.py").write_text(script.text)
    names = sorted(path.name for path in folder.glob("*.py"))
    config = "--config-file=", "--no-incremental", "--check-untyped-defs"
    run([sys.executable, "-m", "mypy", *config, *names], folder)


def test_the_unit_test_passes(folder: Path) -> None:
    run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_audit_log.py"], folder)


@pytest.mark.parametrize("line", [line for line in COMMANDS if not line.startswith(TWO_COMMANDS)])
def test_commands_work(line: str, folder: Path, docker_client: Any) -> None:
    command = line.removeprefix(".venv/bin/").replace("flcore", f"{shlex.quote(sys.executable)} -m flcore", 1)
    if "configs/" in command and " run " in command:
        command += " --workspace workspace"
    run(["bash", "-c", command], folder)


def test_the_readmes_component_hears_of_the_readmes_job(config: Path, docker_client: Any) -> None:
    run([sys.executable, "-m", "flcore", "run", "hello", "--site", config.name], config.parent)
    states = [line.split(maxsplit=1)[1] for line in (config.parent / "audit.log").read_text().splitlines()]
    assert states == ["None -> created", "created -> running", "running -> exited"]
    told = subprocess.run([sys.executable, "-m", "flcore", "ps"], cwd=config.parent, capture_output=True, text=True)
    assert re.search(r"^hello-\w+ +site-1 +SUCCESS", told.stdout, re.MULTILINE), told.stderr


def test_a_kit_can_be_set_up_as_the_readme_says(tmp_path: Path, docker_client: Any) -> None:
    make_kit(tmp_path / "prod_00/site-1")
    (line,) = [
        line
        for block in BLOCKS
        if (block.page, block.language) == ("README", "sh")
        for line in block.text.splitlines()
        if "install" in line
    ]
    run([sys.executable, "-m", *shlex.split(line), "--dry-run"], tmp_path)


def test_two_commands_are_promised() -> None:
    assert tuple(line.partition("  ")[0] for line in COMMANDS if line.startswith("make")) == TWO_COMMANDS


def test_a_broken_config_gives_the_errors_that_the_readme_shows(config: Path) -> None:
    config.write_text(config.read_text().replace('"image"', '"imgae"').replace('"path": "$', '"paht": "$'))
    command = [sys.executable, "-m", "flcore", "check", config.name]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr in README.read_text()


def run(command: list[str], folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
