"""What a parent makes of its kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launchers.flare.kit_layout import KitLayout
from launchers.flare.parent_config import Listener, ParentConfig
from tests.kit_folder import make_kit

OURS = {"id": "docker", "path": "launchers.nvflare_launcher.ClientDockerJobLauncher", "args": {"image": "job:1"}}


def read(folder: Path, **files: Any) -> ParentConfig:
    """Read a kit with more files in its ``local``; in their names, ``_json`` stands for ``.json``."""
    extra = {f"local/{name.removesuffix('_json')}.json": content for name, content in files.items()}
    return ParentConfig.read(KitLayout.of(make_kit(folder, extra=extra)))


def test_a_kit_as_provisioned_has_one_launcher_and_listens_on_localhost(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert [launcher.id for launcher in config.launchers] == ["process_launcher"]
    assert config.own_launchers == []
    assert config.listener == Listener(None, "no file", "tcp", "localhost", None, "clear", None)
    assert config.problems == ()


def test_components_are_read_of_all_files_but_no_disabled_ones(tmp_path: Path) -> None:
    config = read(tmp_path, x__p_resources_json={"components": [OURS, {**OURS, "id": "off", "disabled": True}]})
    assert [launcher.id for launcher in config.launchers] == ["process_launcher", "docker"]
    (own,) = config.own_launchers
    assert (own.args, own.file.name) == ({"image": "job:1"}, "x__p_resources.json")


def test_a_class_of_ours_that_is_not_there_counts_as_a_launcher(tmp_path: Path) -> None:
    config = read(tmp_path, x__p_resources_json={"components": [{"id": "x", "path": "launchers.nvflare_launcher.T"}]})
    assert [launcher.id for launcher in config.own_launchers] == ["x"]


def test_what_else_this_package_has_for_kits_is_no_launcher(tmp_path: Path) -> None:
    manager = {"id": "resource_manager", "path": "launchers.nvflare_resource_manager.FlareResourceManager"}
    config = read(tmp_path, x__p_resources_json={"components": [manager, {"id": "j", "name": "JobJournal"}]})
    assert [launcher.id for launcher in config.launchers] == ["process_launcher"]


def test_where_it_listens_is_what_its_comm_config_says(tmp_path: Path) -> None:
    resources = {"host": "172.30.0.1", "port": 8102, "connection_security": "mtls"}
    said = {"backbone_conn_gen": 2, "internal": {"scheme": "stcp", "resources": resources}}
    config = read(tmp_path, comm_config_json=said)
    expected = Listener(
        tmp_path / "local/comm_config.json", "local/comm_config.json", "stcp", "172.30.0.1", 8102, "mtls", 2
    )
    assert config.listener == expected


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"resources_json": "{\n]"}, "local/resources.json: line 2, column 1: "),
        ({"resources_json": "[]"}, "local/resources.json: must be an object, got []"),
        ({"x__resources_json": {"components": {}}}, "local/x__resources.json: components: must be a list, got {}"),
        ({"x__p_resources_json": {"components": [1]}}, "components[0]: must be an object, got 1"),
        ({"comm_config_json": {"internal": 1}}, "local/comm_config.json: internal: must be an object, got 1"),
        ({"comm_config_json": {"internal": {"resources": []}}}, ""),
        ({"comm_config_json": {"internal": {"resources": [1]}}}, "resources: must be an object, got [1]"),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_the_rest_is_read(
    files: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    config = read(tmp_path, **files)
    assert all(problem in line for line in config.problems)
    assert len(config.problems) == bool(problem)


def test_a_config_that_is_no_json_and_comes_first_is_named(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, extra={"local/resources.conf": ""})
    (line,) = ParentConfig.read(KitLayout.of(kit)).problems
    assert "local/resources.conf: is no JSON, and read before all that is" in line
