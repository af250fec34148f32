"""What `flcore init` writes, and that it overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flcore.config.rules import CONFIG_DIR
from flcore.errors import ConfigError
from flcore.site_config import SiteConfig
from launchers.first_site import files
from launchers.first_site.files import SCHEMA, SITE, TEST, WHAT, contents, missing, write
from tests.another_user import as_another
from tests.site_schemas import wrong_in

LAUNCHER = {"name": "ClientProcessJobLauncher", "args": {"datasets": {"measurements": f"${{{CONFIG_DIR}}}/m.csv"}}}
SOME = {"a.txt": "one\n", "b/c.txt": "two\n", "b/d.txt": "three\n"}


def inside(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_each_file_has_something_and_is_told_what_it_is() -> None:
    wanted = contents(LAUNCHER)
    assert [*wanted] == [*WHAT]
    assert all(wanted.values())


def test_the_config_is_good_and_names_the_schema_that_lies_beside_it(tmp_path: Path) -> None:
    wanted = contents(LAUNCHER)
    write(tmp_path, wanted)
    config = json.loads(wanted[SITE])
    assert config["$schema"] == f"./{SCHEMA}"
    assert wrong_in(config) == []
    assert SiteConfig.read(tmp_path / SITE).site == "site-1"


def test_the_schema_knows_the_component_that_lies_beside_it() -> None:
    schema = json.loads(contents(LAUNCHER)[SCHEMA])
    assert (
        schema["$defs"]["audit_log.AuditLog"]["properties"]["path"]["description"] == "the file, as an absolute path."
    )


def test_all_is_missing_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert missing(tmp_path / "new", SOME) == [*SOME]


def test_what_was_written_is_missing_no_more(tmp_path: Path) -> None:
    write(tmp_path / "a/new", SOME)
    assert (tmp_path / "a/new/b/c.txt").read_text() == "two\n"
    assert missing(tmp_path / "a/new", SOME) == []


def test_what_is_there_as_it_would_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    assert missing(tmp_path, SOME) == ["b/c.txt", "b/d.txt"]


def test_each_file_that_is_in_the_way_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.txt").mkdir()
    (tmp_path / "b/d.txt").symlink_to("nowhere")
    with pytest.raises(ConfigError) as raised:
        missing(tmp_path, SOME)
    *told, way_out = str(raised.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == [str(tmp_path / name) for name in SOME]
    assert all(line.endswith("it stays, and nothing was written") for line in told)
    assert way_out.startswith(f"name another folder, as in: flcore init {tmp_path}/first-site")


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder; name one"):
        missing(tmp_path / "file", SOME)


def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path: Path) -> None:
    with as_another(tmp_path), pytest.raises(ConfigError, match="Permission denied"):
        missing(tmp_path, SOME)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").touch()  # where a folder is to be
    with pytest.raises(ConfigError, match=f"nothing was written: File exists: {tmp_path}/b"):
        write(tmp_path, SOME)
    assert inside(tmp_path) == {"b"}


def test_a_file_that_comes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    names = missing(tmp_path, SOME)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.txt").write_text("mine\n")
    with pytest.raises(ConfigError, match="nothing was written: File exists"):
        write(tmp_path, {name: SOME[name] for name in names})
    assert (tmp_path / "b/c.txt").read_text() == "mine\n"
    assert inside(tmp_path) == {"b", "b/c.txt"}


def test_the_component_s_test_is_a_test_of_the_component() -> None:
    wanted = contents(LAUNCHER)
    assert "from audit_log import AuditLog" in wanted[TEST]
    assert "class AuditLog" in wanted["audit_log.py"]


def test_the_templates_are_all_used() -> None:
    folder = Path(files.__file__).with_name("templates")
    texts = {path.read_text() for path in folder.iterdir()}
    assert texts <= set(contents(LAUNCHER).values())
