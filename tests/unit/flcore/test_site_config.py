"""A site as its config says: built anew each time, in its own workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flcore import FLComponent, Site
from flcore.errors import SiteBusyError
from flcore.site_config import SiteConfig


class Box(FLComponent):
    """A component that holds what it is given."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.content = content


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    config = {
        "site": "site-1",
        "workspace": "work",
        "strict": True,
        "admission": {"running": 8},
        "at_end": "end",
        "components": [{"id": "box", "path": f"{__name__}.Box", "args": {"content": "${CONFIG_DIR}/data"}}],
    }
    path = tmp_path / "site-1.json"
    path.write_text(json.dumps(config))
    return path


def test_a_site_is_built_from_its_config(config_file: Path) -> None:
    site = Site.from_config(config_file)
    component = site.get_component("box")
    assert (site.name, site.strict, site.at_end, list(site.components())) == ("site-1", True, "end", ["box"])
    assert site.workspace.get_root_dir() == f"{config_file.parent}/work"
    assert isinstance(component, Box)
    assert component.content == f"{config_file.parent}/data"


def test_the_workspace_of_a_config_can_be_overridden(config_file: Path, tmp_path: Path) -> None:
    site = Site.from_config(config_file, workspace=tmp_path / "elsewhere")
    assert site.workspace.get_root_dir() == f"{tmp_path}/elsewhere"


def test_a_config_builds_its_components_anew_each_time(config_file: Path) -> None:
    config = SiteConfig.read(config_file)
    assert config.build()["box"] is not config.build()["box"]


def test_a_site_that_says_no_more_than_its_name_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"format_version": 1, "site": "s", "components": []}')
    config = SiteConfig.read(path)
    assert (config.strict, config.workspace) == (False, tmp_path / "workspace")
    assert (config.admission, config.at_end) == ({}, "leave")


def test_the_limits_of_a_config_hold(tmp_path: Path) -> None:
    config: dict[str, Any] = {"site": "s", "admission": {"running": 1, "queued": 0}, "components": []}
    config["components"].append({"id": "launcher", "path": "tests.conftest.Launcher"})
    (tmp_path / "s.json").write_text(json.dumps(config))
    site = Site.from_config(tmp_path / "s.json")
    site.launch_job({"job_id": "j1"})
    with pytest.raises(SiteBusyError, match=r"admission\.running \(1\)"):
        site.launch_job({"job_id": "j2"})
    site.close(end_jobs=True)


def test_a_relative_config_path_gives_an_absolute_workspace(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config_file.parent)
    assert Site.from_config("site-1.json").workspace.get_root_dir() == f"{config_file.parent}/work"
