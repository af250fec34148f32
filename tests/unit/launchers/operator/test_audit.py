"""What ``flcore audit`` shares: which journals and heads are meant, and how it is told what was found of them."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import pytest

from flcore.disk.journal_check import check_journal, heads_in
from flcore.disk.journal_file import JournalFile
from flcore.errors import ConfigError
from launchers.operator.audit import journals_of, kept_heads


def write(workspace: Path, *sites: str) -> list[str]:
    """Have sites write a line each, and return how their heads are kept."""
    heads = []
    for site in sites:
        folder = workspace / site / ".flcore"
        folder.mkdir(parents=True, exist_ok=True)
        file = JournalFile(folder / "journal.jsonl", 1 << 20, 5, chained=True)
        head = file.write({"event": "opened", "site": site, "time": 1.0, "parent": "p", "user": "u"})
        file.close()
        heads.append(f"flcore audit head of {site}: {head}")
    return heads


def args(**given: str | list[str] | None) -> argparse.Namespace:
    return argparse.Namespace(**{"folder": None, "site": None, "workspace": None, **given})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_the_journals_are_those_of_the_sites_in_the_workspace(folder: Path) -> None:
    write(folder / "workspace", "site-1", "site-2")
    write(folder / "other", "site-3")

    def found(**given: str) -> list[str]:
        return [str(site.journal.relative_to(folder)) for site in journals_of(args(**given))]

    assert found() == [f"workspace/{site}/.flcore/journal.jsonl" for site in ("site-1", "site-2")]
    assert found(workspace="other") == found(folder="other/site-3") == ["other/site-3/.flcore/journal.jsonl"]
    assert found(folder="other/site-3/.flcore/journal.jsonl") == found(workspace="other")


def test_a_sites_config_names_its_journal(folder: Path) -> None:
    config = {"site": "site-1", "components": [{"id": "j", "name": "JobJournal", "args": {"path": str(folder / "j")}}]}
    (folder / "site-1.json").write_text(json.dumps(config))
    (folder / "site-2.json").write_text(json.dumps(config | {"site": "site-2"}))
    for configs in (["site-1.json"], ["site-1.json", "site-2.json"]):  # which write the same one
        assert [site.journal for site in journals_of(args(site=configs))] == [folder / "j"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"there is no site in .*/workspace; name one by --site"),
        ({"folder": "nowhere"}, "nowhere is no kit"),
        ({"folder": "file", "workspace": "."}, "name a journal, --site or --workspace, one of them: file"),
    ],
)
def test_who_means_no_journal_is_told_so(folder: Path, given: dict[str, str], said: str) -> None:
    (folder / "file").touch()
    with pytest.raises(ConfigError, match=said):
        journals_of(args(**given))


def test_heads_are_those_of_a_file_of_standard_input_or_the_one_that_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write(folder, "site-1", "site-2")
    log = "\n".join([f"Nov 29 21:00:00 host {texts[0]}", "else", f"Nov 29 host {texts[1]}", ""])
    (folder / "log").write_text(log)
    monkeypatch.setattr(sys, "stdin", io.StringIO(log))

    assert kept_heads(None, 1) is None
    assert kept_heads("log", 2) == kept_heads("-", 2) == heads_in(texts)
    assert kept_heads(texts[0], 1) == heads_in(texts[:1])
    assert kept_heads("0" * 64, 1) == "0" * 64


@pytest.mark.parametrize(
    ("text", "journals", "said"),
    [
        ("0" * 64, 2, "--head: it is of one journal, and there are 2; name one by --site, or its folder"),
        ("nothing", 1, "--head: nothing is no head, no hash, and no file that is there"),
        ("empty", 1, "--head: there is no head in empty"),
        (".", 1, "--head: Is a directory: ."),
    ],
)
def test_what_is_no_head_is_told(folder: Path, text: str, journals: int, said: str) -> None:
    (folder / "empty").touch()
    with pytest.raises(ConfigError) as raised:
        kept_heads(text, journals)
    assert str(raised.value) == said


def test_a_kits_journal_is_where_its_config_says(folder: Path) -> None:
    for name in ("startup", "local", ".flcore"):
        (folder / "kit" / name).mkdir(parents=True)
    journal = {"id": "j", "path": "flcore.observers.JobJournal", "args": {"path": str(folder / "j")}}
    (folder / "kit/local/flcore__p_resources.json").write_text(json.dumps({"components": [journal]}))
    assert [site.journal for site in journals_of(args(folder="kit"))] == [folder / "j"]


def test_a_journal_that_is_written_meanwhile_holds(folder: Path) -> None:
    write(folder, "site-1")
    journal = folder / "site-1/.flcore/journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"event": "half')
    assert check_journal(journal).holds
