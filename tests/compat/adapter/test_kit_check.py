"""``flcore check KIT`` where NVIDIA FLARE is installed: by the launcher itself, and the interpreter that starts it."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import ConfigError
from launchers.flare.kit_layout import KitLayout
from launchers.flare.parent_config import KIT_ARGUMENTS, OURS, KitComponent, ParentConfig
from launchers.kit_commands.kit_check import build, manager_problems
from launchers.kit_commands.launcher_findings import CLASSES
from launchers.kit_commands.parent_python import python_findings, without_nvflare
from launchers.nvflare_launcher import KitLauncher
from tests.kit_folder import make_kit


def component(role: str, **args: Any) -> KitComponent:
    return KitComponent("docker", f"{OURS}.{CLASSES[role]}", args, Path("local/x.json"), "local/x.json")


@pytest.mark.parametrize("role", CLASSES)
def test_the_launcher_of_kits_itself_is_made(role: str) -> None:
    launcher = build(component(role, image="job:1", private_key=True), role)
    assert isinstance(launcher, KitLauncher)
    assert launcher.private_key


def test_the_arguments_that_only_kits_launchers_have_are_known_where_nvidia_flare_is_not() -> None:
    named = inspect.signature(KitLauncher.__init__).parameters.values()
    own = {parameter.name for parameter in named if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    assert own == set(KIT_ARGUMENTS)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"private_key": "yes"}, "component 'docker': args: ClientKitLauncher: private_key must be true or false"),
        ({"pyhton": "python3"}, "component 'docker': args: unknown key 'pyhton'; did you mean 'python'?"),
    ],
)
def test_what_is_wrong_with_them_is_told(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build(component("client", image="job:1", **args), "client")
    assert said in str(raised.value)


def test_the_interpreter_in_path_tells_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    (found,) = python_findings(KitLayout.of(make_kit(tmp_path)))
    assert (found.ok, found.warning) == (True, False)
    assert found.detail.startswith(f"{Path(sys.executable).parent}/python3: NVIDIA FLARE ")


def test_one_without_is_told_the_path_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "bin/python3"
    system.parent.mkdir()
    system.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without its packages
    system.chmod(0o755)
    monkeypatch.setenv("PATH", str(system.parent), prepend=os.pathsep)
    (found,) = python_findings(KitLayout.of(make_kit(tmp_path / "kit")))
    here = Path(sys.executable).parent
    assert found.detail.endswith(f"has no NVIDIA FLARE: start it as PATH={here}:$PATH startup/start.sh")


def test_what_is_wrong_with_the_resource_manager_is_told(tmp_path: Path) -> None:
    path = "launchers.nvflare_resource_manager.FlareResourceManager"
    args = {"max_jobs": 0, "expiration_period": "soon"}
    listed = {"components": [{"id": "resource_manager", "path": path, "args": args}]}
    kit = make_kit(tmp_path, extra={"local/flcore__p_resources.json": listed})
    problems = list(manager_problems(ParentConfig.read(KitLayout.of(kit))))
    assert len(problems) == 2
    assert problems[0].startswith(
        f"{kit}/local/flcore__p_resources.json: component 'resource_manager': args: max_jobs "
    )


def test_nothing_is_left_out() -> None:
    assert list(without_nvflare()) == []
