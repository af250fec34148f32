"""Which engines the commands ask: those that are named, and those on which sites have launched jobs."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from flcore.cli import main
from launchers.operator.engines import Engines
from launchers.records.known_engines import known_engines, note_engine
from launchers.runtime import docker
from launchers.runtime.base import ContainerSummary, Runtime, Whereabouts
from launchers.runtime.fake import FakeRuntime
from launchers.settings import EngineAddress, EngineTls
from tests.operator_lab import FakeLauncher, OperatorLab

DEFAULT, PRIVATE = EngineAddress("unix:///var/run/docker.sock"), EngineAddress("unix:///run/private/docker.sock")


class Engine(FakeRuntime):
    """One that knows where it is."""

    whereabouts = Whereabouts()


def engine(where: EngineAddress, *, is_guessed: bool = False, reachable: bool = True) -> Engine:
    runtime = Engine()
    runtime.name, runtime.whereabouts = f"engine {where.docker_host}", Whereabouts(where, is_guessed)
    runtime.reachable = reachable
    return runtime


@pytest.fixture
def private(lab: OperatorLab, monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """The engine on which the lab's jobs run; the one by default is not there."""
    lab.runtime = FakeLauncher.engine = engine(PRIVATE)
    absent = engine(DEFAULT, is_guessed=True, reachable=False)
    made = {None: absent, PRIVATE.docker_host: lab.runtime}

    def make(docker_host: str | None = None, *, watched_label: str, tls: EngineTls | None = None) -> FakeRuntime:
        return made[docker_host] if docker_host in made else engine(EngineAddress(str(docker_host)), reachable=False)

    monkeypatch.setattr(docker, "DockerRuntime", make)
    monkeypatch.chdir(lab.folder)
    return lab.runtime


def flcore(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    return (main(list(words)), *capsys.readouterr())


def test_a_job_is_found_on_the_engine_that_it_was_launched_on_whoever_asks(
    lab: OperatorLab, private: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.launch(lab.site())
    lab.records()  # names it, too
    status, out, err = flcore(capsys, "ps")
    assert (status, out.splitlines()[1].split()[:3], err) == (0, ["job-1", "site-1", "running"], "")
    status, out, _ = flcore(capsys, "inspect", "job-1")
    assert (status, f"in engine {PRIVATE.docker_host}" in out) == (0, True)
    assert flcore(capsys, "logs", "job-1")[::2] == (0, "")
    private.exit("site-1-job-1", 3)
    assert flcore(capsys, "stop", "job-1")[0] == 0


def test_a_record_and_the_sites_folder_name_the_engine(lab: OperatorLab, private: FakeRuntime) -> None:
    lab.launch(lab.site())
    assert lab.view().record["engine"] == {"docker_host": PRIVATE.docker_host}
    assert known_engines(lab.workspace() / ".flcore") == [PRIVATE]


def test_a_note_of_engines_that_cannot_be_written_costs_no_launch_and_is_said_once(
    lab: OperatorLab, private: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    path = lab.workspace() / ".flcore/engines.jsonl"
    path.mkdir(parents=True)
    site = lab.site()
    for job_id in ("job-1", "job-2"):
        lab.launch(site, job_id)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [str(path) in message for message in said] == [True]


def test_a_journal_says_on_which_engine_a_job_ran_that_is_over(
    lab: OperatorLab, private: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = lab.launch(lab.site())
    private.exit("site-1-job-1", 0)
    handle.wait()
    lab.close()
    status, out, err = flcore(capsys, "inspect", "job-1")
    assert (status, err) == (0, "")
    assert f"not there any more; it was on {PRIVATE.docker_host}" in out


def test_an_engine_that_is_gone_for_good_is_told_as_long_as_a_job_may_be_there(
    lab: OperatorLab, private: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = lab.launch(lab.site())
    private.set_reachable(False)
    assert flcore(capsys, "ps")[2] == f"flcore: warning: engine {PRIVATE.docker_host} does not answer\n"
    private.set_reachable(True)
    private.exit("site-1-job-1", 0)
    handle.wait()
    lab.close()
    private.set_reachable(False)
    assert flcore(capsys, "ps")[2] == ""
    status, _, err = flcore(capsys, "gc")
    assert (status, err) == (1, f"flcore: warning: engine {PRIVATE.docker_host} does not answer\n")
    private.set_reachable(True)


def test_an_engine_by_default_that_is_not_there_is_told_where_no_other_is_known(
    lab: OperatorLab, private: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    warning, looked = flcore(capsys, "ps")[2].splitlines()
    assert warning == f"flcore: warning: engine {DEFAULT.docker_host} does not answer"
    assert f"; asked engine {DEFAULT.docker_host}; " in looked


def test_a_folder_of_somebody_else_names_no_engine(
    lab: OperatorLab, private: FakeRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = lab.workspace() / ".flcore"
    state.mkdir(parents=True)
    note_engine(state, EngineAddress("ssh://host-of-a-stranger"))
    assert "host-of-a-stranger" in flcore(capsys, "gc")[2]
    if os.geteuid() == 0:
        os.chown(state, 4242, 4242)
    monkeypatch.setattr(os, "geteuid", lambda: 4243)
    assert "host-of-a-stranger" not in flcore(capsys, "gc")[2]


# --- Engines themselves ---


def asked(*named: Runtime, noted: tuple[Engine, ...] = ()) -> tuple[list[str], list[str]]:
    """Ask engines; return what they are, and what could not be found out."""
    by_address = {one.whereabouts.engine: one for one in noted if one.whereabouts.engine}
    engines = Engines([partial(_itself, one) for one in named], lambda where: by_address[where])
    engines.ask(by_address)
    return engines.in_words(), engines.problems([])


def _itself(runtime: Runtime) -> Runtime:
    return runtime


def test_an_engine_is_asked_once_by_whatever_link_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    one, same = (engine(EngineAddress(f"unix://{tmp_path}/{name}/docker.sock")) for name in ("run", "link"))
    words, problems = asked(one, same, noted=(engine(EngineAddress(f"unix://{tmp_path}/run/docker.sock")),))
    assert (words, problems) == ([one.name], [])


def test_what_is_named_is_told_if_it_does_not_answer_and_what_is_only_noted_is_not() -> None:
    named, noted = engine(DEFAULT, reachable=False), engine(PRIVATE, reachable=False)
    assert asked(named, noted=(noted,)) == ([named.name, noted.name], [f"{named.name} does not answer"])


def test_one_engine_that_hangs_holds_up_no_other() -> None:
    others_asked = threading.Event()

    class Hanging(FakeRuntime):
        def list_containers(self) -> list[ContainerSummary]:
            assert others_asked.wait(10)
            return []

    class Quick(FakeRuntime):
        name = "quick"

        def list_containers(self) -> list[ContainerSummary]:
            others_asked.set()
            return []

    assert asked(Hanging(), Quick())[1] == []


def test_what_is_wrong_with_one_engine_is_no_end_of_the_others() -> None:
    class Odd(FakeRuntime):
        name = "odd"

        def list_containers(self) -> list[ContainerSummary]:
            raise ZeroDivisionError

    assert asked(Odd(), engine(PRIVATE))[1] == ["odd: ZeroDivisionError()"]
