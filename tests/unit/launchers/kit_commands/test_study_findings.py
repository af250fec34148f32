"""What is said of a kit's own files of studies."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.flare.kit_layout import KitLayout
from launchers.flare.study_file import take_in_studies
from launchers.kit_commands import study_findings as module
from launchers.kit_commands.study_findings import kit_studies_findings, study_findings
from launchers.runtime.fake import FakeRuntime
from tests.kit_folder import make_kit

TEMPLATE = "# Per-study runtime configuration\n# studies:\n#   default: {}\nformat_version: 2\nstudies: {}\n"
CARDIO = "format_version: 2\nstudies:\n  cardio: {env: {A: b}}\n  default: {}\n"


def findings(folder: Path, text: str, *, taken_in: bool = True) -> list[str]:
    layout = KitLayout.of(make_kit(folder, extra={"local/study_runtime.yaml": text}))
    launcher = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime())
    if taken_in:
        take_in_studies(launcher, layout.root)
    return [found.detail for found in kit_studies_findings(layout, launcher.policy)]


def test_of_a_file_as_nvidia_flare_makes_it_nothing_is_said(tmp_path: Path) -> None:
    assert findings(tmp_path, TEMPLATE) == []


def test_the_studies_of_a_file_are_named(tmp_path: Path) -> None:
    assert findings(tmp_path, CARDIO) == [
        "local/study_runtime.yaml says what jobs see of default, cardio; those of other studies are refused"
    ]


def test_where_nobody_can_read_yaml_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name == "yaml" else importlib.util.find_spec(name)

    monkeypatch.setattr(module, "find_spec", find)
    assert findings(tmp_path, CARDIO, taken_in=False) == [
        "local/study_runtime.yaml is not looked into: that takes PyYAML, which NVIDIA FLARE brings"
    ]


@pytest.mark.parametrize(("text", "count"), [("{}\n", 0), ("# none\n", 0), ("cardio: {hearts: {source: /x}}\n", 1)])
def test_an_older_file_that_names_data_is_for_others(text: str, count: int, tmp_path: Path) -> None:
    layout = KitLayout.of(make_kit(tmp_path, extra={"local/study_data.yaml": text}))
    assert len(list(study_findings(layout))) == count
