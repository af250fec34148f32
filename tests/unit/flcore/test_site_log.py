"""A site's own log: one line per record, which says what it is about, in this site's log and in no other's."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flcore import EventType, FLComponent, FLContext, Site
from flcore.cli import program as cli
from flcore.errors import ConfigError
from flcore.site_config import SiteConfig
from flcore.site_log import LogSettings, SiteLog
from flcore.testing import EventRecorder, FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.records.job_record import JobIdentity
from launchers.runtime.fake import FakeRuntime

ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}
NAME = "innocent\n2026-01-01 ERROR flcore: a fake line\r\x1b[2J\x9b\u202e\u2028<script>"
HOSTILE = NAME + "\ud800"
logger = logging.getLogger("some.library")


class Talker(FLComponent):
    """Says something at each launch."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            self.log_warning(fl_ctx, f"launching {fl_ctx.get_prop('__job_meta__')['name']}")


def fail() -> NoReturn:
    raise ValueError(HOSTILE)


class Open:
    """Opens logs, and reads them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def __call__(self, site: str = "site-1", file: str = "", **settings: str) -> SiteLog:
        where = {"file": str(self.folder / file)} if file else {}
        log = SiteLog(site, LogSettings.read({"format": "json", **where, **settings}, "logging"))
        log.open()
        self._stack.callback(log.close)
        return log

    def read(self, file: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.folder / file).read_text().split("\n")[:-1]]

    def messages(self, file: str) -> list[str]:
        return [line["message"] for line in self.read(file)]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:
        yield Open(tmp_path, stack)


# --- lines ---


def test_a_line_says_when_how_grave_who_and_what(opened: Open) -> None:
    opened(file="log")
    before = datetime.now(UTC)
    logger.warning("%d apples", 5)
    (line,) = opened.read("log")
    time = datetime.fromisoformat(line.pop("time"))
    assert time.utcoffset() is not None
    assert abs((time - before).total_seconds()) < 5
    assert line == {"level": "WARNING", "logger": "some.library", "message": "5 apples"}


def test_a_line_about_a_job_says_which_one_and_in_which_container(opened: Open) -> None:
    opened(file="log")
    logger.info("%s: %s", JobIdentity("j1", "site-1", "site-1-j1", "c0ffee" * 10), "fine")
    (line,) = opened.read("log")
    assert (line["site"], line["job_id"], line["container_name"]) == ("site-1", "j1", "site-1-j1")
    assert line["container_id"] == "c0ffee" * 10


def test_what_is_not_known_is_left_out(opened: Open) -> None:
    opened(file="log")
    logger.info("%s", JobIdentity("j1", "site-1", "site-1-j1"))
    logger.info("nothing", extra={"site": "site-1", "job_id": None})
    with_id, without = opened.read("log")
    assert "container_id" not in with_id
    assert set(without) == {"time", "level", "logger", "message", "site"}


def test_an_exception_is_a_field(opened: Open) -> None:
    opened(file="log")
    try:
        fail()
    except ValueError:
        logger.exception("it failed")
    (line,) = opened.read("log")
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith(f"ValueError: {HOSTILE}")


@pytest.mark.parametrize("arg", [HOSTILE, JobIdentity(HOSTILE, "site-1", HOSTILE, HOSTILE)])
def test_what_others_have_made_up_is_one_line_of_ascii(opened: Open, arg: Any) -> None:
    opened(file="log")
    logger.warning("job %s", arg, extra={"job_id": HOSTILE})
    written = (opened.folder / "log").read_bytes()
    assert re.fullmatch(rb"[ -~]+\n", written)
    assert HOSTILE in json.loads(written)["message"]
    assert json.loads(written)["job_id"] == HOSTILE


def test_a_line_of_text_does_nothing_to_a_terminal(opened: Open) -> None:
    opened(file="log", format="text")
    try:
        fail()
    except ValueError:
        logger.exception("job %s", HOSTILE, extra={"site": "site-1", "job_id": "j1"})
    written = (opened.folder / "log").read_text(encoding="utf-8")
    first, *rest = written.removesuffix("\n").split("\n")
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 ERROR some\.library \[site-1 j1\]: job innocent\\n2026-", first)
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in written.splitlines())
    assert "\\x1b[2J" in first


# --- whose ---


def test_a_record_of_a_site_is_in_its_log_alone(opened: Open) -> None:
    for site in ("site-1", "site-2"):
        opened(site, site)
    logger.warning("of one", extra={"site": "site-1"})
    logger.warning("%s", JobIdentity("j2", "site-2", "site-2-j2"))
    logger.warning("of a site without a log", extra={"site": "site-3"})
    assert opened.messages("site-1") == ["of one"]
    assert opened.messages("site-2") == ["job j2 in container site-2-j2 (not made yet)"]


def test_a_record_of_no_site_is_in_all_logs_but_once_in_each_place(
    opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    opened("site-1", "both")
    opened("site-2", "both")
    opened("site-3", "own")
    opened("site-4")
    opened("site-5")
    logger.warning("of a library")
    assert opened.messages("both") == opened.messages("own") == ["of a library"]
    assert capsys.readouterr().err.count("of a library") == 1


def test_sites_that_write_to_one_place_both_do(opened: Open) -> None:
    opened("site-1", "both", level="ERROR")
    opened("site-2", "both")
    for level in (logging.INFO, logging.ERROR):
        for site in ("site-1", "site-2", None):
            logger.log(level, "%s %s", level, site, extra={"site": site})
    assert opened.messages("both") == ["20 site-2", "20 None", "40 site-1", "40 site-2", "40 None"]


def test_each_log_has_its_own_level_and_the_root_loggers_is_as_it_was(opened: Open) -> None:
    root = logging.getLogger()
    before = root.level
    talkative, grave = opened(file="talkative", level="DEBUG"), opened(file="grave", level="ERROR")
    logger.debug("a detail")
    logger.error("a fault")
    talkative.close()
    logger.debug("nobody cares")
    grave.close()
    assert opened.messages("talkative") == ["a detail", "a fault"]
    assert opened.messages("grave") == ["a fault"]
    assert root.level == before


def test_nothing_is_written_after_the_closing(opened: Open) -> None:
    handlers = list(logging.getLogger().handlers)
    log = opened(file="log")
    log.open()
    logger.warning("once")
    log.close()
    log.close()
    logger.warning("late")
    assert opened.messages("log") == ["once"]
    assert logging.getLogger().handlers == handlers


def test_a_pipe_that_nobody_reads_in_place_of_a_file_hangs_no_start(opened: Open) -> None:
    os.mkfifo(opened.folder / "log")
    with pytest.raises(ConfigError, match=r"logging.file: .*/log cannot be written: No such device or address"):
        opened(file="log")


def test_a_pipe_that_somebody_reads_is_written_to_as_a_file_is(opened: Open) -> None:
    os.mkfifo(opened.folder / "log")
    with os.fdopen(os.open(opened.folder / "log", os.O_RDONLY | os.O_NONBLOCK)) as reader:
        log = opened(file="log")
        logger.error("hello")
        log.close()
        assert json.loads(reader.readline())["message"] == "hello"


def test_a_file_that_was_moved_away_is_made_anew(opened: Open) -> None:
    opened(file="log")
    logger.warning("old")
    (opened.folder / "log").rename(opened.folder / "log.1")
    logger.warning("new")
    assert (opened.messages("log.1"), opened.messages("log")) == (["old"], ["new"])


def test_others_cannot_read_it(opened: Open) -> None:
    opened(file="deep/log")
    assert stat.S_IMODE((opened.folder / "deep/log").stat().st_mode) & 0o137 == 0


# --- sites ---


def test_a_sites_log_tells_of_its_jobs_from_its_start_to_its_end(
    tmp_path: Path, event_recorder: EventRecorder, opened: Open
) -> None:
    runtime = FakeRuntime()
    parts = {"launcher": ClientDockerJobLauncher(image="job:1", runtime=runtime), "recorder": event_recorder}
    with Site("site-1", parts, tmp_path / "ws", logging={"format": "json", "file": str(tmp_path / "log")}) as site:
        site.launch_job({"job_id": "j1"}, ARGS)
        runtime.exit("site-1-j1", 3)
        event_recorder.wait_for(EventType.JOB_COMPLETED)
    lines = [line for line in opened.read("log") if line["logger"] == "launchers.tracking.job_watcher"]
    assert [line["message"].rpartition(": ")[2] for line in lines[:3]] == [
        "new -> created",
        "created -> running",
        "running -> exited",
    ]
    assert all(
        (line["site"], line["job_id"], line["container_name"]) == ("site-1", "j1", "site-1-j1") for line in lines
    )
    assert all(len(line["container_id"]) == 64 for line in lines)
    logging.getLogger("launchers").error("late", extra={"site": "site-1"})
    assert "late" not in opened.messages("log")


def test_two_sites_of_one_process_have_a_log_each(tmp_path: Path, opened: Open) -> None:
    sites = []
    for name in ("site-1", "site-2"):
        launcher = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime())
        log = {"format": "json", "file": str(tmp_path / name)}
        sites.append(Site(name, {"talker": Talker(), "launcher": launcher}, tmp_path / f"ws-{name}", logging=log))
    with sites[0], sites[1]:
        for site in sites:
            site.launch_job({"job_id": f"of-{site.name}", "name": NAME}, ARGS)
    for site in sites:
        lines = opened.read(site.name)
        assert {(line["site"], line["job_id"]) for line in lines} == {(site.name, f"of-{site.name}")}
        assert any(NAME in line["message"] for line in lines)


def test_an_engine_that_does_not_answer_is_in_the_log_of_its_site(
    tmp_path: Path, event_recorder: EventRecorder, opened: Open
) -> None:
    opened("site-2", "other")
    runtime = FakeRuntime()
    parts = {"launcher": ClientDockerJobLauncher(image="job:1", runtime=runtime), "recorder": event_recorder}
    with Site("site-1", parts, tmp_path / "ws", logging={"format": "json", "file": str(tmp_path / "log")}) as site:
        site.launch_job({"job_id": "j1"}, ARGS)
        runtime.set_reachable(False)
        event_recorder.wait_for(EventType.ENGINE_UNREACHABLE)
        runtime.set_reachable(True)
    (line,) = [line for line in opened.read("log") if "jobs are not affected" in line["message"]]
    assert (line["site"], line["level"]) == ("site-1", "WARNING")
    assert opened.messages("other") == []


def test_a_component_that_logs_by_a_context_says_of_which_job(opened: Open) -> None:
    opened(file="log")
    FLComponent().log_error(FakeFLContext("site-1", "j1"), "oops")
    (line,) = opened.read("log")
    assert (line["site"], line["job_id"]) == ("site-1", "j1")


def test_a_handler_that_raises_is_in_the_log_of_its_site(tmp_path: Path, opened: Open) -> None:
    log = {"format": "json", "file": str(tmp_path / "log")}
    with (
        Site("site-1", {"talker": Talker()}, tmp_path / "ws", logging=log) as site,
        pytest.raises(Exception, match="no launcher"),
    ):
        site.launch_job({"job_id": "j1"})  # it has no name, so the talker fails
    (line,) = [line for line in opened.read("log") if "exception" in line]
    assert (line["site"], line["job_id"]) == ("site-1", "j1")
    assert "KeyError: 'name'" in line["exception"]


def test_a_log_that_cannot_be_written_lets_no_site_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    site = Site("site-1", {}, tmp_path / "ws", logging={"file": str(tmp_path / "file" / "log")})
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^site site-1: logging\.file: .*/file/log cannot be written: "):
            site.start()
    site.close()


def test_flcore_run_does_not_say_what_a_site_says_on_standard_error(
    opened: Open, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    cli.log_to_stderr(logging.WARNING)
    log = opened()
    logger.info("a detail", extra={"site": "site-1"})
    logger.warning("of a library")
    logger.warning("of the site", extra={"site": "site-1"})
    logger.warning("of another", extra={"site": "site-2"})
    log.close()
    logger.warning("after the end")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines[:3]] == ["a detail", "of a library", "of the site"]
    assert lines[3:] == ["WARNING some.library: of another", "WARNING some.library: after the end"]


# --- configs ---


@pytest.fixture
def config(tmp_path: Path) -> Callable[[Any], Path]:
    def write(value: Any) -> Path:
        path = tmp_path / "site.json"
        path.write_text(json.dumps({"site": "site-1", "components": [], "logging": value}))
        return path

    return write


def test_a_site_has_no_log_unless_its_config_says_so(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps({"site": "site-1", "components": []}))
    handlers = list(logging.getLogger().handlers)
    with Site.from_config(path):
        assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize("file", ["logs/site.log", "${CONFIG_DIR}/logs/site.log"])
def test_a_configs_log_is_found_from_the_config(config: Callable[[Any], Path], tmp_path: Path, file: str) -> None:
    with Site.from_config(config({"format": "json", "file": file})):
        logger.warning("here")
    assert json.loads((tmp_path / "logs/site.log").read_text())["message"] == "here"


def test_without_a_file_it_is_standard_error_and_without_a_format_text(
    config: Callable[[Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with Site.from_config(config({})):
        logger.debug("a detail")
        logger.info("here", extra={"site": "site-1"})
    assert re.fullmatch(r"[\d:.T+-]+ INFO some\.library \[site-1\]: here\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (5, "logging: must be an object, got 5"),
        (None, "logging: must be an object, got None"),
        ({"fromat": "json"}, "logging: unknown key 'fromat'; did you mean 'format'?"),
        ({"format": "xml"}, "logging.format: must be one of text, json, got 'xml'"),
        ({"level": "info"}, "logging.level: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, got 'info'"),
        ({"level": ["INFO"]}, "logging.level: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, got ['INFO']"),
        ({"file": ""}, "logging.file: must be the path of a file, got ''"),
        ({"file": 5}, "logging.file: must be the path of a file, got 5"),
    ],
)
def test_an_error_names_the_file_and_the_key(config: Callable[[Any], Path], value: Any, complaint: str) -> None:
    path = config(value)
    with pytest.raises(ConfigError) as raised:
        SiteConfig.read(path)
    assert str(raised.value) == f"{path}: {complaint}"
