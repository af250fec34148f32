"""What was there before comes back, byte for byte, whatever came in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flcore.errors import ConfigError
from launchers.flare.installation import Installation, diff_of
from launchers.flare.kit_layout import KitLayout
from launchers.flare.wanted_files import WantedFile
from tests.another_user import ANOTHER
from tests.kit_folder import make_kit, snapshot

ODD = '{"a":\r\n  1} \n\n'


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return make_kit(tmp_path / "kit", extra={"local/comm_config.json": ODD})


def file(kit: Path, name: str, text: str) -> WantedFile:
    return WantedFile(kit / "local" / name, text, kit / "local" / name)


def install(kit: Path, **texts: str) -> Installation:
    installation = Installation(KitLayout.of(kit))
    files = [file(kit, name.removesuffix("_json") + ".json", text) for name, text in texts.items()]
    installation.apply(installation.changes(files))
    return installation


def test_files_are_written_and_restored_with_their_modes(kit: Path) -> None:
    (kit / "local/comm_config.json").chmod(0o640)
    before = snapshot(kit)
    installation = install(kit, comm_config_json="{}", new_json="[]")
    assert (kit / "local/new.json").read_text() == "[]"
    assert (kit / "local/comm_config.json").stat().st_mode & 0o777 == 0o640
    assert installation.undo() == [
        f"{kit}/local/comm_config.json: is as it was before",
        f"{kit}/local/new.json: is gone, as it was not there before",
    ]
    assert snapshot(kit) == before
    assert not installation.is_there


def test_what_is_so_already_is_no_change(kit: Path) -> None:
    assert Installation(KitLayout.of(kit)).changes([file(kit, "comm_config.json", ODD)]) == []


def test_a_second_installation_keeps_what_was_there_before_the_first(kit: Path) -> None:
    before = snapshot(kit)
    install(kit, comm_config_json="1", new_json="1")
    installation = install(kit, comm_config_json="2", other_json="2")
    assert installation.edited() == []
    installation.undo()
    assert snapshot(kit) == before


def test_what_somebody_else_has_edited_is_told(kit: Path) -> None:
    installation = install(kit, comm_config_json="1", new_json="1")
    (kit / "local/new.json").write_text("mine")
    (kit / "local/comm_config.json").unlink()
    assert installation.edited() == [kit / "local/comm_config.json", kit / "local/new.json"]


def test_what_was_edited_between_two_installations_is_told(kit: Path) -> None:
    install(kit, comm_config_json="1")
    (kit / "local/comm_config.json").write_text("mine")
    assert install(kit, comm_config_json="2").edited() == [kit / "local/comm_config.json"]


def test_what_was_edited_is_kept_beside_when_all_is_restored(kit: Path) -> None:
    before = snapshot(kit)
    for text in ("mine", "mine again"):
        installation = install(kit, comm_config_json="1")
        (kit / "local/comm_config.json").write_text(text)
        assert "was edited since; that is kept as comm_config.json.edited" in installation.undo()[0]
    asides = {"local/comm_config.json.edited": "mine", "local/comm_config.json.edited-2": "mine again"}
    assert {name: (kit / name).read_text() for name in asides} == asides
    assert {name: content for name, content in snapshot(kit).items() if name not in asides} == before


def test_an_installation_that_was_cut_off_is_finished_by_the_next(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(kit)
    replace, written = Path.replace, 0

    def replace_once(path: Path, target: Path) -> Path:
        nonlocal written
        written += 1
        if written > 2:  # the notes, and one file
            raise OSError(28, "No space left on device", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_once)
    with pytest.raises(ConfigError, match="No space left on device"):
        install(kit, comm_config_json="1", new_json="1")
    monkeypatch.undo()
    installation = install(kit, comm_config_json="1", new_json="1")
    assert installation.edited() == []
    installation.undo()
    assert snapshot(kit) == before


def unlink_nothing(path: Path, missing_ok: bool = False) -> None:
    raise OSError(5, "Input/output error", str(path))


def test_what_was_restored_before_a_cut_is_not_taken_for_edited(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(kit)
    install(kit, comm_config_json="1", new_json="1")
    (kit / "local/comm_config.json").write_text("mine")
    installation = install(kit, comm_config_json="2", new_json="1")
    monkeypatch.setattr(Path, "unlink", unlink_nothing)
    with pytest.raises(ConfigError, match="Input/output error"):
        installation.undo()
    monkeypatch.undo()
    installation.undo()
    assert (kit / "local/comm_config.json.edited").read_text() == "2"
    (kit / "local/comm_config.json.edited").unlink()
    assert snapshot(kit) == before


def test_what_somebody_else_has_put_beside_what_is_kept_stays(kit: Path) -> None:
    installation = install(kit, comm_config_json="1")
    (kit / "local/before-flcore/mine").write_text("mine")
    installation.undo()
    assert [path.name for path in (kit / "local/before-flcore").iterdir()] == ["mine"]
    assert not installation.is_there


def test_a_restoration_that_was_cut_off_is_finished_by_the_next(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(kit)
    installation = install(kit, comm_config_json="1", new_json="1")
    monkeypatch.setattr(Path, "unlink", unlink_nothing)
    with pytest.raises(ConfigError, match="Input/output error"):
        installation.undo()
    monkeypatch.undo()
    assert installation.edited() == []
    installation.undo()
    assert snapshot(kit) == before


def test_a_link_is_not_written_through(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.json").write_text("{}")
    (kit / "local/linked.json").symlink_to(tmp_path / "shared.json")
    with pytest.raises(ConfigError, match=r"linked.json: is a link to .*shared.json; put a file of its own there"):
        install(kit, linked_json="1")
    assert (tmp_path / "shared.json").read_text() == "{}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_what_root_writes_belongs_to_whom_the_kit_does(kit: Path) -> None:
    for path in (kit / "local", *(kit / "local").iterdir()):
        os.chown(path, ANOTHER, ANOTHER)
    installation = install(kit, comm_config_json="1", new_json="1")
    written = [kit / "local/new.json", *(kit / "local/before-flcore").iterdir(), kit / "local/before-flcore"]
    assert {path.stat().st_uid for path in written} == {ANOTHER}
    installation.undo()
    assert (kit / "local/comm_config.json").stat().st_uid == ANOTHER


def test_a_folder_that_takes_nothing_is_told_in_words(kit: Path) -> None:
    (kit / "local/before-flcore").write_text("in the way")
    with pytest.raises(ConfigError, match="before-flcore: "):
        install(kit, new_json="1")


def test_notes_that_are_not_ours_are_named(kit: Path) -> None:
    installation = install(kit, new_json="1")
    (kit / "local/before-flcore/installed.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"installed.json: is not as flcore wrote it; what was there before lies"):
        installation.edited()


def test_nothing_that_is_kept_has_a_name_that_a_parent_looks_for(kit: Path) -> None:
    install(kit, comm_config_json="1", x__p_resources_json="1", resources_json="1")
    installed = KitLayout.of(kit)
    read = [*installed.configs(), *installed.comm_configs()]
    assert [path for path in read if "before-flcore" in path.parts] == []


def test_a_diff_begins_with_what_a_file_is_made_from(kit: Path) -> None:
    changed = WantedFile(kit / "local/new.json", "{}\n", kit / "local/resources.json.default")
    lines = diff_of(changed)
    assert lines[:2] == [f"--- {kit}/local/resources.json.default", f"+++ {kit}/local/new.json"]
    assert diff_of(file(kit, "new.json", "{}"))[:4] == [
        "--- /dev/null",
        f"+++ {kit}/local/new.json",
        "@@ -0,0 +1 @@",
        "+{}",
    ]
