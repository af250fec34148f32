"""``flcore approvals``, ``show``, ``approve`` and ``deny``: what waits, what it is, and who lets it run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from flcore.approvals.app_files import files_of
from flcore.approvals.approvals_file import APPROVE, DENY, Approval, ApprovalsFile
from flcore.approvals.fingerprint import digest_of_app, fingerprint_of
from flcore.approvals.kept_requests import KeptRequest, KeptRequests
from flcore.cli import main
from launchers.operator import decide

DAY = 86400.0


class Site:
    """A site's folder, in which jobs have asked to be approved."""

    def __init__(self, folder: Path, name: str = "site-1") -> None:
        self.workspace = folder / "workspace" / name
        self.state = self.workspace / ".flcore"
        self.state.mkdir(parents=True)
        self.app = folder / f"app-of-{name}"
        (self.app / "custom").mkdir(parents=True)
        self.name = name

    def ask(self, text: str | bytes = "print(1)\n", approvers: int = 1, name: str = "hello", **asks: Any) -> str:
        """Have a job ask for something; return the fingerprint."""
        (self.app / "custom/client.py").write_bytes(text if isinstance(text, bytes) else text.encode())
        files = tuple(files_of(self.app))
        app = digest_of_app(files)
        wanted = {"study": "cardio", "image": {"name": "job:1", "id": "sha256:1"}, "site": self.name} | asks
        fingerprint = fingerprint_of(app, wanted)
        about = (name, "alice@hospital", self.name, "hello-1", time.time() - 3600, approvers)
        KeptRequests(self.state).keep(KeptRequest(fingerprint, app, wanted, files, *about), self.app)
        return fingerprint

    def decided(self) -> list[Approval]:
        return ApprovalsFile(self.state).read()

    def say(self, fingerprint: str, verdict: str = APPROVE, uid: int = 1001, user: str = "alice") -> None:
        ApprovalsFile(self.state).add(Approval(verdict, fingerprint, uid, user, 1.0))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path)


class Typed:
    """What a command has printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *argv: str) -> None:
        self.status = main([*argv])
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *argv: Typed(capsys, *argv)


# --- approvals ---


def test_what_waits_is_listed_with_what_is_known_of_it(site: Site, typed: Any) -> None:
    fingerprint = site.ask()
    head, line = typed("approvals").out.splitlines()
    assert head.split() == ["FINGERPRINT", "JOB", "SITE", "STUDY", "SUBMITTER", "ASKED", "STATUS"]
    assert line.split() == [fingerprint[:12], "hello", "site-1", "cardio", "alice@hospital", "60", "min", "waits"]


def test_what_was_decided_is_listed_to_who_asks_for_all(site: Site, typed: Any) -> None:
    site.say(site.ask())
    assert typed("approvals").out == f"nothing waits for approval: looked in {site.workspace}\n"
    assert typed("approvals", "--all").out.splitlines()[1].endswith("approved by alice")


def test_of_two_who_must_approve_it_says_who_has(site: Site, typed: Any) -> None:
    site.say(site.ask(approvers=2))
    assert typed("approvals").out.splitlines()[1].endswith("approved by alice; waits for 1 more")


def test_what_is_listed_can_be_had_as_objects(site: Site, typed: Any) -> None:
    fingerprint = site.ask()
    found = json.loads(typed("approvals", "--json").out)
    assert (found["fingerprint"], found["state"], found["study"]) == (fingerprint, "waiting", "cardio")
    assert (found["workspace"], found["by"], found["approvers"]) == (str(site.workspace), [], 1)


def test_where_there_is_no_site_it_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no site: name one by --site or --workspace" in typed("approvals").out


def test_what_other_parties_have_named_obeys_no_terminal(site: Site, typed: Any) -> None:
    site.ask(name="\x1b[31mred\nrow")
    assert "\x1b" not in typed("approvals").out
    assert len(typed("approvals").out.splitlines()) == 2


# --- approve, deny ---


def test_who_approves_is_whom_the_operating_system_says(
    site: Site, typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    fingerprint = site.ask()
    done = typed("approve", fingerprint[:32], "--note", "read it all")
    (approval,) = site.decided()
    assert (approval.verdict, approval.fingerprint, approval.uid) == (APPROVE, fingerprint, os.getuid())
    assert (approval.note, approval.study, approval.image) == ("read it all", "cardio", "sha256:1")
    assert approval.app == digest_of_app(files_of(site.app))
    assert done.out.startswith(f"approved  {fingerprint[:12]}  hello at site-1, by {approval.user} (uid {os.getuid()})")
    assert typed("approvals").out.startswith("nothing waits")


def test_a_beginning_that_another_request_could_be_made_to_have_approves_nothing(site: Site, typed: Any) -> None:
    fingerprint = site.ask()
    done = typed("approve", fingerprint[:31])
    assert (done.status, site.decided()) == (2, [])
    assert f": flcore approve {fingerprint[:32]}: nothing was approved" in done.err
    assert typed("deny", fingerprint[:6]).status == 0


def test_what_is_denied_does_not_wait_any_more(site: Site, typed: Any) -> None:
    fingerprint = site.ask()
    assert typed("deny", fingerprint, "--note", "no").out.startswith(f"denied  {fingerprint[:12]}")
    assert [one.verdict for one in site.decided()] == [DENY]
    assert typed("approvals").out.startswith("nothing waits")


def test_who_is_one_of_two_is_told_that_another_must(site: Site, typed: Any) -> None:
    out = typed("approve", site.ask(approvers=2)).out
    assert "2 different users must approve it: approved by" in out
    assert out.endswith("waits for 1 more\n")


def test_an_approval_holds_to_the_end_of_the_day_that_is_named(site: Site, typed: Any) -> None:
    out = typed("approve", site.ask(), "--until", "2040-12-31").out
    assert out.endswith(", until 2040-12-31 23:59:59\n")
    (approval,) = site.decided()
    assert approval.until == decide.until("2040-12-31") == decide.until("2040-12-31T23:59:59")


@pytest.mark.parametrize("date", ["yesterday", "2020-01-01", "31.12.2040", "0001-01-01"])
def test_a_date_that_is_none_or_over_is_refused(
    site: Site, typed: Any, date: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        typed("approve", site.ask(), "--until", date)
    assert "must be a date" in capsys.readouterr().err
    assert site.decided() == []


def test_an_approval_for_another_study_than_it_is_of_is_refused(site: Site, typed: Any) -> None:
    done = typed("approve", site.ask(), "--study", "onco")
    assert (done.status, site.decided()) == (2, [])
    assert "is of the study 'cardio', not of 'onco': nothing was approved" in done.err
    assert typed("approve", site.ask(), "--study", "cardio").status == 0


def test_a_note_without_an_end_is_refused(site: Site, typed: Any) -> None:
    assert "--note: must have 1000 characters at most" in typed("approve", site.ask(), "--note", "x" * 1001).err
    assert site.decided() == []


def test_a_whole_fingerprint_can_be_approved_before_anybody_asks(site: Site, typed: Any) -> None:
    assert typed("approve", "a" * 64, "--study", "cardio").status == 0
    (approval,) = site.decided()
    assert (approval.fingerprint, approval.study) == ("a" * 64, "cardio")
    assert "aaaaaaaaaaaa" in typed("approvals", "--all").out


@pytest.mark.parametrize("command", ["approve", "deny", "show"])
def test_a_fingerprint_that_nobody_has_asked_for_is_an_error(site: Site, typed: Any, command: str) -> None:
    fingerprint = site.ask()
    other = ("0" if fingerprint[0] != "0" else "1") + fingerprint[1:6]
    done = typed(command, other)
    assert (done.status, site.decided()) == (2, [])
    assert f"begins with '{other}'" in done.err
    assert f"did you mean {fingerprint[:12]}? list what was asked for by: flcore approvals --all" in done.err


def test_a_beginning_that_several_have_is_an_error_that_lists_them(site: Site, typed: Any) -> None:
    for number in range(20):
        site.ask(f"print({number})\n")
    first = [one.fingerprint for one in KeptRequests(site.state).all()]
    digit = next(each[0] for each in first if sum(other.startswith(each[0]) for other in first) > 1)
    done = typed("approve", digit)
    assert (done.status, site.decided()) == (2, [])
    assert f"fingerprints begin with '{digit}': " in done.err


def test_a_site_is_named_by_its_folder_its_config_or_with_the_fingerprint(site: Site, typed: Any) -> None:
    other = Site(site.workspace.parents[1], "site-2")
    fingerprint = site.ask()
    other.ask()
    config = site.workspace.parents[1] / "site-1.json"
    config.write_text(json.dumps({"site": "site-1", "workspace": str(site.workspace), "components": []}))
    for scope in (["--workspace", str(site.workspace)], ["--site", str(config)], [str(site.workspace)]):
        assert [line.split()[2] for line in typed("approvals", *scope).out.splitlines()] == ["SITE", "site-1"]
    assert typed("approve", f"{site.workspace}/{fingerprint[:32]}").status == 0
    assert [one.fingerprint for one in site.decided()] == [fingerprint]


def test_a_line_that_cannot_be_read_is_told_by_its_number(site: Site, typed: Any) -> None:
    site.ask()
    (site.state / "approvals.jsonl").write_text("oops\n")
    done = typed("approvals")
    assert done.status == 2
    assert "line 1 is no approval" in done.err


# --- show ---


def test_all_of_an_app_is_shown_where_no_version_was_approved_before(site: Site, typed: Any) -> None:
    fingerprint = site.ask("import os\n\nprint(1)\n")
    out = typed("show", fingerprint[:8]).out
    assert "no version of this job was approved before" in out
    for line in (
        fingerprint,
        "image.id                  sha256:1",
        "+import os",
        "+print(1)",
        "20 B  custom/client.py",
    ):
        assert line in out


def test_what_is_new_is_shown_beside_the_last_version_that_was_approved(site: Site, typed: Any) -> None:
    before = site.ask("a = 1\nb = 2\n", env={"EPOCHS": "1"})
    site.say(before)
    (site.app / "custom/extra.py").write_text("new = True\n")
    out = typed("show", site.ask("a = 1\nb = 3\n", env={"EPOCHS": "9"})).out
    assert f"beside {before[:12]}, the last version of this job that was approved" in out
    for line in ("-b = 2", "+b = 3", "+new = True", "~ env.EPOCHS                9  (was 1)"):
        assert line in out.splitlines() or line in out
    assert "\n+         11 B  custom/extra.py" in out
    assert "\n~         12 B  custom/client.py" in out


def test_a_version_that_was_denied_later_hides_nothing_of_the_next(site: Site, typed: Any) -> None:
    site.say(site.ask("print('good')\n"))
    bad = site.ask("print('good')\nsteal()\n")
    site.say(bad)
    site.say(bad, DENY, 1002, "bob")
    assert "+steal()" in typed("show", site.ask("print('good')\nsteal()\n# harmless\n")).out


def test_a_version_that_one_of_two_has_approved_hides_nothing_of_the_next(site: Site, typed: Any) -> None:
    site.say(site.ask("steal()\n", approvers=2))
    assert "+steal()" in typed("show", site.ask("steal()\n# harmless\n", approvers=2)).out


def test_a_file_that_is_too_long_obeys_no_terminal_by_its_name(site: Site, typed: Any) -> None:
    (site.app / "custom/a\x1b[2J").write_text("x\n" * 3000)
    assert "\x1b" not in typed("show", site.ask()).out


def test_what_would_hide_something_is_seen(site: Site, typed: Any) -> None:
    out = typed("show", site.ask("x = 1  # \u202e admin\r\n\x1b[2J")).out
    assert "+x = 1  # \\u202e admin\\r" in out
    assert "+\\x1b[2J" in out


def test_what_is_no_text_is_told_by_what_it_is(site: Site, typed: Any) -> None:
    out = typed("show", site.ask(b"\xff\xfe")).out
    assert "custom/client.py: the new one is no text (2 bytes); its SHA-256 is " in out


def test_what_is_compiled_is_marked(site: Site, typed: Any) -> None:
    (site.app / "custom/client.pyc").write_bytes(b"\xff")
    assert "custom/client.pyc  (compiled Python: it may run in place of its source)" in typed("show", site.ask()).out


def test_an_extension_module_is_marked(site: Site, typed: Any) -> None:
    (site.app / "custom/client.so").write_bytes(b"\x7fELF")
    assert "custom/client.so  (compiled Python: it may run in place of its source)" in typed("show", site.ask()).out


def test_a_right_to_be_run_is_told(site: Site, typed: Any) -> None:
    site.say(site.ask())
    (site.app / "custom/client.py").chmod(0o755)
    assert "custom/client.py: it may be run" in typed("show", site.ask()).out


def test_one_file_is_shown_as_a_whole(site: Site, typed: Any) -> None:
    fingerprint = site.ask("one\ntwo\n")
    assert typed("show", fingerprint, "--file", "custom/client.py").out == "one\ntwo\n"
    done = typed("show", fingerprint, "--file", "custom/clent.py")
    assert (done.status, done.out) == (2, "")
    assert "has no file 'custom/clent.py'; did you mean 'custom/client.py'?" in done.err


def test_a_folder_is_no_file_and_is_not_what_was_meant(site: Site, typed: Any) -> None:
    assert typed("show", site.ask(), "--file", "custom").err.endswith("has no file 'custom'\n")


def test_of_a_large_app_no_more_is_shown_than_can_be_read(site: Site, typed: Any) -> None:
    out = typed("show", site.ask("x = 1\n" * 5000)).out
    assert len(out.splitlines()) < 2100
    assert "and more: look at each file by --file" in out


def test_who_has_decided_and_why_is_shown(site: Site, typed: Any) -> None:
    fingerprint = site.ask(approvers=2)
    typed("approve", fingerprint, "--note", "fine")
    out = typed("show", fingerprint).out
    assert ": fine\n" in out
    assert "2 different users" in out


def test_all_that_is_shown_can_be_had_as_an_object(site: Site, typed: Any) -> None:
    fingerprint = site.ask()
    site.say(fingerprint)
    found = json.loads(typed("show", fingerprint, "--json").out)
    assert (found["fingerprint"], found["state"]) == (fingerprint, "approved")
    assert found["asks"]["image"] == {"name": "job:1", "id": "sha256:1"}
    assert [file["path"] for file in found["files"]] == ["custom", "custom/client.py"]
    assert [one["user"] for one in found["decisions"]] == ["alice"]


def test_what_is_not_kept_any_more_can_still_be_looked_up(site: Site, typed: Any) -> None:
    site.say("b" * 64)
    out = typed("show", "bbb").out
    assert "nothing: nobody has asked for it here yet" in out
    assert "approved by alice" in out
