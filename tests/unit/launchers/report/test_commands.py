"""``flcore report`` and ``flcore serve`` as an operator calls them."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="of the extra [web]")

from flcore.cli import main
from flcore.extras import how_to_install
from tests.job_views import BEGAN, ParsedPage


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A site's workspace, with a journal of one job that has succeeded; its config is site.json."""
    launcher = {"id": "launcher", "name": "ClientProcessJobLauncher"}
    config = {"site": "site-1", "workspace": "workspace/site-1", "components": [launcher]}
    (tmp_path / "site.json").write_text(json.dumps(config))
    state = {"container_name": "site-1-job-1", "container_id": "abc", "previous": None, "result": None}
    result = {"return_code": "SUCCESS", "exit_code": 0}
    lines: list[dict[str, Any]] = [
        {"event": "launching", "time": BEGAN, "name": "digits", "parent": "p"},
        {"event": "state_change", "time": BEGAN + 1, "state": "running", **state},
        {"event": "state_change", "time": BEGAN + 5, "state": "exited", **state | {"result": result}},
        {"event": "completed", "time": BEGAN + 5, "result": result},
    ]
    folder = tmp_path / "workspace" / "site-1"
    (folder / ".flcore").mkdir(parents=True)
    journal = "".join(json.dumps({"site": "site-1", "job_id": "job-1", **line}) + "\n" for line in lines)
    (folder / ".flcore" / "journal.jsonl").write_text(journal)
    return folder


def test_a_report_is_written_and_its_size_said(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--site", "site.json", "-o", "out.html"]) == 0

    assert ParsedPage(Path("out.html").read_text()).texts("h2", class_="summary") == ["job-1: succeeded after 5.0 s."]
    said = capsys.readouterr().out
    assert said.startswith("out.html: 1 job, ")
    assert said.count("\n") == 1


def test_an_outage_that_no_process_survived_is_not_told_of_a_later_job(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = workspace / ".flcore/journal.jsonl"
    seen = {"event": "engine_unreachable", "site": "site-1", "time": BEGAN - 60, "reason": "it is down"}
    journal.write_text(json.dumps({**seen, "parent": "killed", "launcher": "launcher"}) + "\n" + journal.read_text())

    assert main(["report", "--site", "site.json", "-o", "-", "job-1"]) == 0
    of_the_job = ParsedPage(capsys.readouterr().out)
    assert main(["report", "--site", "site.json", "-o", "-"]) == 0
    of_all = capsys.readouterr().out

    assert of_the_job.attributes("rect", class_="outage") == []
    assert "the engine of site-1 did not answer for 0.0 s at least, and its site&#39;s process has ended" in of_all


def test_a_report_goes_to_standard_output_alone(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--site", "site.json", "-o", "-"]) == 0

    said = capsys.readouterr().out
    assert said.startswith("<!DOCTYPE html>")
    assert said.endswith("</html>\n")


def test_a_job_that_nobody_knows_is_an_error(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--site", "site.json", "nope"]) == 2

    assert "flcore: error: there is no job 'nope'" in capsys.readouterr().err
    assert not Path("report.html").exists()


def test_a_file_that_cannot_be_written_is_an_error(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--site", "site.json", "-o", "missing/out.html"]) == 2

    assert "missing/out.html cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [["report", "--details", "-1"], ["serve", "--port", "70000"], ["serve", "--port", "x"]]
)
def test_a_wrong_number_is_an_error(args: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(args)


def test_a_port_that_is_taken_is_an_error_with_the_way_out(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--site", "site.json", "--port", str(taken.getsockname()[1])]) == 2

    assert "--port 0 takes a free one" in capsys.readouterr().err


def test_a_token_that_is_too_short_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("token").write_text("short")

    assert main(["serve", "--token-file", "token"]) == 2

    assert "must hold one word" in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_extra(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "launchers.report.page", raising=False)

    assert main(["report", "--site", "site.json"]) == 2

    assert f"jinja2 is not installed: {how_to_install('web')}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "serve"])
def test_help_has_an_example_and_the_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])

    said = capsys.readouterr().out
    assert f"\n  flcore {command}" in said
    assert "exit status: 0" in said
