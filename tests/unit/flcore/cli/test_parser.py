"""The command line: what nobody knows is answered by what it is like, and help is as wide as the terminal."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import flcore
from flcore.cli import main
from flcore.cli.parser import filled

COMMANDS = ["run", "check", "ps", "logs", "stop", "inspect", "gc", "report", "serve", "completion"]
COMMANDS += ["audit verify", "audit export"]
COMMANDS += ["approvals", "show", "approve", "deny"]


@pytest.fixture(autouse=True)
def _leave_the_path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the last line of what is said of a wrong command line."""
    with pytest.raises(SystemExit) as raised:
        main(argv)
    out, err = capsys.readouterr()
    assert (raised.value.code, out) == (2, "")
    assert err.startswith("usage: flcore")
    return err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["pss"], "flcore: error: there is no command 'pss'; did you mean 'ps'?"),
        (["lgos", "digits"], "flcore: error: there is no command 'lgos'; did you mean 'logs'?"),
        (["fly"], "flcore: error: there is no command 'fly'; see: flcore --help"),
        (["\x1b[2J"], "flcore: error: there is no command '\\x1b[2J'; see: flcore --help"),
        ([], "flcore: error: a COMMAND is required; see: flcore --help"),
        (["nvflare", "instal"], "flcore nvflare: error: there is no command 'instal'; did you mean 'install'?"),
        (["--verison"], "flcore: error: there is no option '--verison'; did you mean '--version'?"),
        (["ps", "--jsno"], "flcore ps: error: there is no option '--jsno'; did you mean '--json'?"),
        (["logs", "digits", "--tial=5"], "flcore logs: error: there is no option '--tial'; did you mean '--tail'?"),
        (["ps", "--nothing-like-it"], "flcore ps: error: there is no option '--nothing-like-it'"),
        (["stop", "one", "two\x1b[2J"], "flcore stop: error: too many words: two\\x1b[2J"),
    ],
)
def test_a_slip_is_answered_by_what_it_is_like(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *argv) == said


@pytest.mark.parametrize("command", ["logs", "stop", "inspect"])
def test_who_names_no_job_is_told_how_to_list_them(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = "the following arguments are required: JOB; list jobs by: flcore ps --all"
    assert refused(capsys, command) == f"flcore {command}: error: {said}"


# --- help ---


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as raised:
        main([*command.split(), "--help"])
    assert raised.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 80, 150])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_as_wide_as_the_terminal_but_for_what_is_to_be_typed(
    command: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = help_of(command, capsys).splitlines()
    assert [line for line in lines if len(line) > columns and not line.startswith("  ")] == []
    prose = [line for line in lines if not line.startswith(" ")]
    assert max(map(len, prose)) > columns * 0.7 or command in ("", "completion")  # which say little


def test_of_a_text_lines_that_begin_with_blanks_and_empty_ones_stay() -> None:
    text = "a b c\nd e\n\nexamples:\n  x --y   z\n  x\nthe end of it, which is long"
    assert filled(text, 20) == "a b c d e\n\nexamples:\n  x --y   z\n  x\nthe end of it, which\nis long"


def test_a_word_that_is_wider_than_the_terminal_is_left_whole() -> None:
    assert filled(f"see {'x' * 30}", 10) == f"see\n{'x' * 30}"


# --- versions ---


def test_the_versions_of_all_that_counts_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    out = capsys.readouterr().out
    python = re.escape(".".join(map(str, sys.version_info[:3])))
    assert re.fullmatch(rf"flcore {version('flcore')} \(Python {python}\S*, Docker SDK {version('docker')}\)\n", out)


@pytest.mark.parametrize("argv", [["--version", "--debug"], ["--debug", "--version"]])
def test_where_they_are_is_said_to_who_asks_for_details(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    _, package, python, sdk = capsys.readouterr().out.splitlines()
    assert package == f"flcore: {Path(flcore.__file__).parent}"
    assert python == f"Python: {sys.executable}"
    assert sdk.startswith("Docker SDK: /")


@pytest.mark.parametrize("argv", [["--debug", "check", "no.json"], ["check", "no.json", "--debug"]])
def test_details_of_an_error_may_be_asked_for_before_the_command_too(
    argv: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")
