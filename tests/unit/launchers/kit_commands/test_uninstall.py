"""``flcore nvflare uninstall``: a kit is as it was before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flcore.cli import main
from tests.kit_folder import make_kit, snapshot

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return make_kit(tmp_path / "kits/site-1", extra={"local/comm_config.json": '{ "x":1}'})


def run(name: str, *words: Any) -> int:
    return main(["nvflare", name, *map(str, words)])


def install(*kits: Path) -> None:
    assert run("install", *kits, "--image", "job:1", "--network", "flare") == 0


def test_a_kit_is_byte_for_byte_as_it_was(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(kit)
    install(kit)
    capsys.readouterr()
    assert run("uninstall", kit) == 0
    assert snapshot(kit) == before
    assert capsys.readouterr().out.splitlines() == [
        f"{kit}/local/resources.json: is gone, as it was not there before",
        f"{kit}/local/flcore__p_resources.json: is gone, as it was not there before",
        f"{kit}/local/comm_config.json: is as it was before",
    ]


def test_where_something_was_edited_nothing_is_changed_and_the_way_out_is_told(
    kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_kit(kit.parent / "site-2")
    install(kit, other)
    (kit / "local/flcore__p_resources.json").write_text("{}")
    before = snapshot(kit.parent)
    assert run("uninstall", other, kit) == 2
    line = f"flcore: error: {kit}/local/flcore__p_resources.json: was edited since it was installed; nothing was"
    assert capsys.readouterr().err.startswith(line)
    assert snapshot(kit.parent) == before
    assert run("uninstall", other, kit, "--force") == 0
    assert (kit / "local/flcore__p_resources.json.edited").read_text() == "{}"


def test_a_trial_changes_nothing(kit: Path) -> None:
    install(kit)
    before = snapshot(kit)
    assert run("uninstall", kit, "--dry-run") == 0
    assert snapshot(kit) == before


def test_a_kit_in_which_nothing_was_installed_is_told(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("uninstall", kit) == 2
    assert f"{kit}: nothing was installed here by flcore, so there is nothing to restore" in capsys.readouterr().err
