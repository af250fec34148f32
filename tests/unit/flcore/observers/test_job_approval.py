"""No job is launched that nobody has approved: to the last byte of its app, its image and what it asks for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, Site, held_launch
from flcore.approvals.approvals_file import APPROVE, DENY, Approval, ApprovalsFile
from flcore.approvals.kept_requests import KeptRequest, KeptRequests
from flcore.errors import JobAbortedError, JobLaunchError, JobNotApprovedError, JobRejectedError
from flcore.observers import JobApproval
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import Launcher, PlainHandle

ARGS = {"exe_module": ("-m", "client")}
TIMEOUT = 10.0
ALICE, BOB = 1001, 1002


class Lab:
    """A site that asks for approval, and whoever gives it."""

    def __init__(self, folder: Path, make_site: Callable[..., Site]) -> None:
        self.state = folder / ".flcore"
        self.app = folder.parent / f"{folder.name}-app"
        (self.app / "custom").mkdir(parents=True)
        self.write("print(1)\n")
        self.runtime = FakeRuntime()
        self.runtime.image_ids["job:1"] = "sha256:1"
        self._make_site = make_site
        self._runs = 0

    def write(self, text: str) -> None:
        (self.app / "custom/client.py").write_text(text)

    def site(self, *others: FLComponent, launcher: dict[str, Any] | None = None, **how: Any) -> Site:
        site = {"image": "job:1", "job_env_prefixes": ["EPOCHS"], **(launcher or {})}
        more = {f"other{number}": other for number, other in enumerate(others)}
        docker = ClientDockerJobLauncher(runtime=self.runtime, **site)
        return self._make_site(approval=JobApproval(**how), docker=docker, **more)

    def launch(self, site: Site, **meta: Any) -> str:
        """Launch the job once more; return the name of its container."""
        self._runs += 1
        job_id = f"hello-{self._runs}"
        site.launch_job({"job_id": job_id, "name": "hello", **meta}, ARGS, self.app)
        return f"site-1-{job_id}"

    def refused(self, site: Site, **meta: Any) -> str:
        """Launch, be refused, and return the fingerprint."""
        with pytest.raises(JobNotApprovedError) as raised:
            self.launch(site, **meta)
        return raised.value.fingerprint

    def say(self, verdict: str, fingerprint: str, uid: int = ALICE, **more: Any) -> None:
        kept = KeptRequests(self.state).find(fingerprint)
        about = {"app": kept.app, "image": kept.image} if kept else {}
        user = {ALICE: "alice", BOB: "bob"}[uid]
        ApprovalsFile(self.state).add(Approval(verdict, fingerprint, uid, user, time.time(), **about | more))

    def approve(self, fingerprint: str, uid: int = ALICE, **more: Any) -> None:
        self.say(APPROVE, fingerprint, uid, **more)

    def kept(self) -> list[KeptRequest]:
        return KeptRequests(self.state).all()


@pytest.fixture
def lab(tmp_path: Path, make_site: Callable[..., Site]) -> Lab:
    return Lab(tmp_path, make_site)


# --- what is approved runs, and nothing else ---


def test_what_nobody_has_approved_is_refused_with_the_commands_that_decide(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(JobNotApprovedError) as raised:
        lab.launch(lab.site())
    short, sure = raised.value.fingerprint[:12], raised.value.fingerprint[:32]
    assert str(raised.value) == (
        f"job hello-1: refused by the component approval: nobody has approved what it would run ({short}): look at it "
        f"by `flcore show {short} --workspace {tmp_path}`, then `flcore approve {sure} --workspace {tmp_path}`"
    )
    assert lab.runtime.list_containers() == []
    assert not (tmp_path / "hello-1").exists()


def test_what_somebody_has_approved_runs_as_often_as_it_likes(lab: Lab) -> None:
    site = lab.site()
    lab.approve(lab.refused(site))
    assert lab.runtime.container(lab.launch(site)).spec.image == "sha256:1"
    lab.launch(site)


@pytest.mark.parametrize(
    "change",
    [
        lambda lab: lab.write("print(2)\n"),
        lambda lab: (lab.app / "custom/client.py").chmod(0o755),
        lambda lab: (lab.app / "custom/client.py").rename(lab.app / "custom/client2.py"),
        lambda lab: (lab.app / "custom/json.py").touch(),
        lambda lab: lab.runtime.image_ids.update({"job:1": "sha256:2"}),
    ],
)
def test_one_change_in_app_or_image_asks_again(lab: Lab, change: Callable[[Lab], None]) -> None:
    site = lab.site()
    lab.approve(lab.refused(site))
    change(lab)
    lab.refused(site)


@pytest.mark.parametrize(
    "meta",
    [
        {"study": "cardio"},
        {"resource_spec": {"site-1": {"num_of_cpus": 1}}},
        {"launcher_spec": {"default": {"docker": {"env": {"EPOCHS": "9"}}}}},
    ],
)
def test_one_change_in_what_is_asked_for_asks_again(lab: Lab, meta: dict[str, Any]) -> None:
    site = lab.site()
    lab.approve(lab.refused(site))
    lab.refused(site, **meta)


def test_what_was_approved_once_may_be_denied_later(lab: Lab) -> None:
    site = lab.site()
    fingerprint = lab.refused(site)
    lab.approve(fingerprint)
    lab.say(DENY, fingerprint, BOB, note="sends data\nhome")
    with pytest.raises(JobNotApprovedError, match="was denied by bob: sends data"):
        lab.launch(site)


def test_an_approval_is_over_when_its_time_is(lab: Lab) -> None:
    site = lab.site()
    fingerprint = lab.refused(site)
    lab.approve(fingerprint, until=time.time() - 1)
    lab.refused(site)
    lab.approve(fingerprint, until=time.time() + 60)
    lab.launch(site)


def test_two_users_must_approve_where_the_site_says_so(lab: Lab) -> None:
    site = lab.site(approvers=2)
    fingerprint = lab.refused(site)
    lab.approve(fingerprint)
    lab.approve(fingerprint)
    with pytest.raises(JobNotApprovedError, match="is approved by alice only, and 2 users must"):
        lab.launch(site)
    lab.approve(fingerprint, BOB)
    lab.launch(site)


def test_it_is_the_approved_bytes_that_run_whatever_the_author_does_meanwhile(lab: Lab, tmp_path: Path) -> None:
    class Changing(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_LAUNCH_PLANNED:
                lab.write("print('something else')\n")
                lab.runtime.image_ids["job:1"] = "sha256:moved"

    fingerprint = lab.refused(lab.site())
    lab.approve(fingerprint)
    name = lab.launch(lab.site(Changing()))
    assert (tmp_path / "hello-2/app_site-1/custom/client.py").read_text() == "print(1)\n"
    assert lab.runtime.container(name).spec.image == "sha256:1"


def test_the_copy_that_is_hashed_is_closed_to_all_but_the_site(lab: Lab) -> None:
    class Looking(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_LAUNCH_PLANNED:
                app = Path(fl_ctx.get_prop(FLContextKey.APP_ROOT))
                modes.extend(path.stat().st_mode & 0o077 for path in (app, app.parent, app.parent.parent))

    modes: list[int] = []
    lab.refused(lab.site(Looking()))
    assert modes == [0, 0, 0]


def test_an_app_with_a_link_is_refused_by_its_name(lab: Lab) -> None:
    (lab.app / "odd").symlink_to("/etc/passwd")
    with pytest.raises(JobRejectedError, match="its app cannot be approved: 'odd' is a link"):
        lab.launch(lab.site())


# --- without a person ---


@pytest.mark.parametrize(
    ("rule", "meta", "runs"),
    [
        ({"study": "cardio"}, {"study": "cardio"}, True),
        ({"study": "cardio"}, {"study": "onco"}, False),
        ({"study": "cardio", "submitter": "alice"}, {"study": "cardio", "submitter_name": "alice"}, True),
        ({"study": "cardio", "submitter": "alice"}, {"study": "cardio", "submitter_name": "mallory"}, False),
    ],
)
def test_a_rule_approves_what_it_says_and_no_more(lab: Lab, rule: Any, meta: Any, runs: bool) -> None:
    site = lab.site(rules=[rule])
    if runs:
        lab.launch(site, **meta)
    else:
        lab.refused(site, **meta)


def test_an_app_that_was_approved_may_ask_for_other_things_where_a_rule_says_so(lab: Lab) -> None:
    site = lab.site(rules=[{"same_app": True}])
    lab.approve(lab.refused(site))
    lab.launch(site, resource_spec={"site-1": {"num_of_cpus": 1}})
    lab.refused(site, study="another")
    lab.write("print(2)\n")
    lab.refused(site)


def test_an_app_that_was_approved_for_a_study_sees_no_other_by_a_rule(lab: Lab) -> None:
    site = lab.site(rules=[{"same_app": True}])
    lab.approve(lab.refused(site, study="cardio"), study="cardio")
    lab.launch(site, study="cardio", resource_spec={"site-1": {"num_of_cpus": 1}})
    lab.refused(site, study="onco")


def test_what_somebody_has_denied_no_rule_approves(lab: Lab) -> None:
    fingerprint = lab.refused(lab.site(), study="cardio")
    lab.say(DENY, fingerprint)
    lab.refused(lab.site(rules=[{"study": "cardio"}]), study="cardio")


# --- where nothing can be found out, nothing runs ---


def test_a_line_that_cannot_be_read_stops_all_launches(lab: Lab) -> None:
    site = lab.site()
    lab.approve(lab.refused(site))
    with (lab.state / "approvals.jsonl").open("a") as file:
        file.write("oops\n")
    with pytest.raises(JobLaunchError, match=r"whether it is approved cannot be found out: .*line 2 is no approval"):
        lab.launch(site)


def test_whatever_goes_wrong_while_it_looks_refuses_the_job(lab: Lab) -> None:
    (lab.state / "approvals.jsonl").mkdir(parents=True)
    with pytest.raises(JobLaunchError, match=r"whether it is approved cannot be found out: .*Is a directory"):
        lab.launch(lab.site())


def test_a_launcher_that_does_not_tell_what_it_runs_launches_nothing(make_site: Callable[..., Site]) -> None:
    launcher = Launcher()
    with pytest.raises(JobRejectedError, match="the component approval must know what will run"):
        make_site(approval=JobApproval(), launcher=launcher).launch_job({"job_id": "j1"})
    assert launcher.launched == []


class Deaf(Launcher):
    """Says that it tells what it runs, and does not."""

    tells_plan = True


def test_what_was_launched_without_a_word_is_ended(make_site: Callable[..., Site]) -> None:
    handle = PlainHandle()
    with pytest.raises(JobRejectedError, match="must know what will run, which launcher does not tell"):
        make_site(approval=JobApproval(), launcher=Deaf(lambda: handle)).launch_job({"job_id": "j1"})
    assert handle.ended_by


def test_what_cannot_be_kept_can_still_be_approved(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    lab.state.mkdir()
    (lab.state / "approvals").touch()
    site = lab.site()
    lab.approve(lab.refused(site))
    assert "what it asks for cannot be kept to be looked at" in caplog.text
    lab.launch(site)


# --- what is kept and told ---


def test_what_was_asked_for_is_kept_for_who_approves(lab: Lab) -> None:
    fingerprint = lab.refused(lab.site(approvers=2), submitter_name="alice", study="cardio")
    (kept,) = lab.kept()
    assert (kept.fingerprint, kept.name, kept.submitter, kept.study) == (fingerprint, "hello", "alice", "cardio")
    assert (kept.site, kept.job_id, kept.approvers) == ("site-1", "hello-1", 2)
    assert [file.path for file in kept.files] == ["custom", "custom/client.py"]


def test_who_has_approved_it_is_told_with_the_launch(lab: Lab) -> None:
    class Listening(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.AFTER_JOB_LAUNCH:
                told.append(fl_ctx.get_prop(FLContextKey.LAUNCH_APPROVAL))

    told: list[Any] = []
    site = lab.site(Listening(), rules=[{"study": "free"}])
    fingerprint = lab.refused(site)
    lab.approve(fingerprint)
    lab.launch(site)
    lab.launch(site, study="free")
    assert [(one["fingerprint"] == fingerprint, one["approved_by"]) for one in told] == [
        (True, ["alice (uid 1001)"]),
        (False, ["rules[0] of approval"]),
    ]


# --- waiting ---


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_launch, "LOOK_EVERY", 0.01)


class Reasons(FLComponent):
    """Hears what jobs wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._told: SimpleQueue[str] = SimpleQueue()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_HELD:
            self._told.put(fl_ctx.get_prop(FLContextKey.EVENT_DATA))

    def next(self) -> str:
        return self._told.get(timeout=TIMEOUT)


@pytest.mark.usefixtures("quick")
def test_a_job_waits_to_be_approved_and_takes_no_place(lab: Lab, pool: ThreadPoolExecutor) -> None:
    site = lab.site(reasons := Reasons(), wait=60)
    future = pool.submit(lab.launch, site)
    assert reasons.next().startswith("waits for approval: flcore approve ")
    assert site.load == (0, 0, 0)
    lab.approve(lab.kept()[0].fingerprint)
    assert future.result(TIMEOUT) == "site-1-hello-1"


@pytest.mark.usefixtures("quick")
def test_a_job_that_waits_is_refused_when_it_is_denied(lab: Lab, pool: ThreadPoolExecutor) -> None:
    future = pool.submit(lab.launch, lab.site(reasons := Reasons(), wait=60))
    reasons.next()
    lab.say(DENY, lab.kept()[0].fingerprint, BOB)
    with pytest.raises(JobNotApprovedError, match="was denied by bob"):
        future.result(TIMEOUT)


@pytest.mark.usefixtures("quick")
def test_an_app_that_changes_between_its_approval_and_its_start_waits_anew(lab: Lab, pool: ThreadPoolExecutor) -> None:
    site = lab.site(reasons := Reasons(), wait=60)
    future = pool.submit(lab.launch, site)
    before = reasons.next()
    first = lab.kept()[0].fingerprint
    lab.write("print('not what you have seen')\n")
    lab.approve(first)
    assert reasons.next() != before
    assert lab.runtime.list_containers() == []
    assert {kept.fingerprint for kept in lab.kept()} > {first}
    site.abort_job("hello-1")
    with pytest.raises(JobAbortedError):
        future.result(TIMEOUT)


@pytest.mark.usefixtures("quick")
def test_what_a_job_waits_for_is_told_anew_when_one_of_two_has_approved(
    lab: Lab, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    future = pool.submit(lab.launch, lab.site(reasons := Reasons(), wait=60, approvers=2))
    told = []
    for uid in (ALICE, BOB):
        told.append(reasons.next())
        lab.approve(lab.kept()[0].fingerprint, uid)
    future.result(TIMEOUT)
    command = f"flcore approve {lab.kept()[0].fingerprint[:32]} --workspace {tmp_path}"
    assert told == [
        f"waits for approval by 2 users: {command}",
        f"approved by alice; waits for one more user's approval: {command}",
    ]


def test_a_job_that_nobody_approves_in_time_is_refused(lab: Lab) -> None:
    lab.refused(lab.site(wait=0.05))


@pytest.mark.parametrize("how", [{"approvers": 0}, {"approvers": "2"}, {"rules": {}}, {"rules": [{}]}, {"wait": -1}])
def test_an_argument_that_is_none_is_refused_by_its_name(how: dict[str, Any]) -> None:
    (name,) = how
    with pytest.raises(ValueError, match=rf"^{name}"):
        JobApproval(**how)


def test_several_that_are_none_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)approvers.*\n.*wait"):
        JobApproval(approvers=0, wait="long")  # type: ignore[arg-type]


def test_a_kept_request_says_all_that_an_approval_needs(lab: Lab) -> None:
    lab.refused(lab.site())
    (kept,) = lab.kept()
    assert kept.image == "sha256:1"
    assert replace(kept, asks={}).image == ""
