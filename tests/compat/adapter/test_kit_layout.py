"""Which files a parent reads, and what it makes of them: as NVIDIA FLARE itself finds and reads them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.config_factory import ConfigFactory
from nvflare.private.json_configer import JsonConfigurator

from launchers.flare.kit_layout import KitLayout
from launchers.flare.parent_config import ParentConfig
from tests.kit_folder import make_kit, write

FOLDERS = ("startup", "local", "local/custom", "local/before-flcore", "job-1/app_site-1/config", "")
NAMES = ("resources", "comm_config", "fed_client", "a__resources", "b__p_resources", "c__j_resources", "d")
ENDINGS = (".json", ".json.default", ".json.bak", ".json.before", ".conf", ".yml", ".YML", "")


def made_up(folder: Path, seed: int) -> Path:
    """Make a kit with files that may have a say, or look as if."""
    chance = random.Random(seed)
    kit = make_kit(folder, chance.choice(["client", "server"]))
    if chance.random() < 0.3:
        (kit / "local/resources.json.default").rename(kit / "local/resources.json")
    for number in range(chance.randint(0, 12)):
        name = chance.choice(NAMES) + chance.choice(ENDINGS)
        write(kit / chance.choice(FOLDERS) / name, {"components": [{"id": f"{number}", "path": "a.B"}]})
    return kit


def read_by_nvidia_flare(kit: Path, role: str) -> list[Any]:
    files = Workspace(str(kit), "site-1").get_config_files_for_startup(role == "server", for_job=False)
    return [ConfigFactory.search_config_format(file) for file in files]


@pytest.mark.parametrize("seed", range(200))
def test_a_parent_reads_these_files_in_this_order(seed: int, tmp_path: Path) -> None:
    layout = KitLayout.of(made_up(tmp_path, seed))
    assert [str(path) for path in layout.configs()] == [path for _, path in read_by_nvidia_flare(tmp_path, layout.role)]
    _, first = ConfigFactory.search_config_format("comm_config.json", [str(tmp_path)])
    assert [str(path) for path in layout.comm_configs()][:1] == ([first] if first else [])


@pytest.mark.parametrize("seed", range(200, 300))
def test_a_parent_has_these_components(seed: int, tmp_path: Path) -> None:
    layout = KitLayout.of(made_up(tmp_path, seed))
    config = ParentConfig.read(layout)
    files = Workspace(str(tmp_path), "site-1").get_config_files_for_startup(layout.role == "server", for_job=False)
    if config.problems:  # a file in another form than JSON comes first
        assert any("is no JSON" in problem for problem in config.problems)
        return
    components = JsonConfigurator(files, ["nvflare"], ["private"]).config_data["components"]
    assert [component.id for component in config.components] == [component["id"] for component in components]


def test_what_is_installed_is_what_a_parent_reads(tmp_path: Path) -> None:
    kit = make_kit(tmp_path)
    write(kit / "local/flcore__p_resources.json", {"components": []})
    write(kit / "local/resources.json", json.loads((kit / "local/resources.json.default").read_text()))
    names = [Path(path).name for _, path in read_by_nvidia_flare(kit, "client")]
    assert names == ["fed_client.json", "resources.json", "flcore__p_resources.json"]
