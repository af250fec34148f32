"""Components of flcore's kind in a kit: built by NVIDIA FLARE, in its own engines, and told by the launcher."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_component import FLComponent as FlareComponent
from nvflare.apis.job_def import RunStatus
from nvflare.private.fed.app.fl_conf import FLClientStarterConfiger

from flcore import EventType, FLComponent, FLContextKey, JobReturnCode
from flcore.approvals.approvals_file import APPROVE, Approval, ApprovalsFile
from flcore.errors import JobNotApprovedError, JobRejectedError
from flcore.testing import EventRecorder

from .kit_parent import SERVER, KitParent, job_arguments, launcher_of

JOB = "11111111-2222-3333-4444-555555555555"
JOURNAL = {"id": "journal", "path": "flcore.observers.JobJournal", "args": {}}
RECORDER = {"id": "recorder", "path": "flcore.testing.EventRecorder", "args": {}}
MONITOR = {"id": "monitor", "path": "flcore.observers.ResourceMonitor", "args": {"interval": 0.2}}
WHOLE_LIFE = ["launching", "launched", "state_change", "state_change", "state_change", "completed"]


class Refusing(FLComponent):
    """Of a third party: one that lets no job in, and can do nothing else."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            raise JobRejectedError(f"no consent for {fl_ctx.get_prop(FLContextKey.JOB_META)['name']}")


class Broken(FLComponent):
    """Of a third party: one that cannot handle anything."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        raise KeyError(f"nothing is done about {event_type} of {fl_ctx.get_job_id()}")


class FlareListener(FlareComponent):  # type: ignore[misc]  # its base is of a package without types
    """Of NVIDIA FLARE's kind."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str]] = []
        self.has_heard = threading.Condition()

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        with self.has_heard:
            self.heard.append((event_type, fl_ctx.get_job_id()))
            self.has_heard.notify_all()


REFUSING = {"id": "gate", "path": f"{__name__}.Refusing", "args": {}}
BROKEN = {"id": "broken", "path": f"{__name__}.Broken", "args": {}}
CONSENT = {"id": "consent", "path": "flcore.observers.JobApproval", "args": {}}
LISTENER = {"id": "listener", "path": f"{__name__}.FlareListener", "args": {}}


@pytest.fixture
def kits(provisioned: Mapping[str, Path], tmp_path: Path) -> Mapping[str, Path]:
    return {site: shutil.copytree(kit, tmp_path / site) for site, kit in provisioned.items()}


@pytest.fixture(params=["site-1", SERVER])
def kit(kits: Mapping[str, Path], request: pytest.FixtureRequest) -> Path:
    return kits[request.param]


def run_job(parent: KitParent, exit_code: int = 0) -> Any:
    """Have a parent run a job, and return its handle when all have heard of its end."""
    handle = parent.launch(JOB)
    parent.runtime.exit(parent.container(JOB), exit_code)
    handle.wait()
    parent.close()
    return handle


def told(parent: KitParent) -> list[str]:
    """Return what the journal tells of jobs. Another thread tells of changes, perhaps before the launch is told."""
    events = [line["event"] for line in parent.journal() if "job_id" in line]
    return sorted(events, key=["launching", "launched", "state_change", "recovered", "completed", "aborted"].index)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_journal_that_a_kit_names_tells_a_jobs_whole_life(kit: Path, is_first: bool) -> None:
    launcher = launcher_of(kit)
    parent = KitParent(kit, [JOURNAL, launcher] if is_first else [launcher, JOURNAL])
    parent.start()
    run_job(parent)
    assert told(parent) == WHOLE_LIFE
    opened, *of_job = parent.journal()
    assert opened["event"] == "opened"
    assert {line["job_id"] for line in of_job} == {JOB}
    assert {line["site"] for line in parent.journal()} == {kit.name}
    assert of_job[0]["name"] == "hello"
    assert [line["request"]["image"] for line in parent.journal() if line["event"] == "launched"] == ["job:1"]
    assert parent.journal()[-1]["result"]["return_code"] == "SUCCESS"


def test_a_kit_that_names_no_journal_has_one(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit)])
    parent.start()
    run_job(parent)
    assert told(parent) == WHOLE_LIFE


def test_a_kit_that_wants_no_journal_has_none(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit, journal=False)])
    parent.start()
    run_job(parent)
    assert not (kit / ".flcore/journal.jsonl").exists()


def test_a_component_hears_of_a_launch_and_an_end_once_whatever_nvidia_flare_tells_of_the_same_names(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit), RECORDER])
    parent.start()
    handle = parent.launch(JOB)
    parent.runtime.exit(parent.container(JOB), 3)
    handle.wait()
    recorder: EventRecorder = parent.components["recorder"]
    end = recorder.wait_for(EventType.JOB_COMPLETED)
    parent.fire(EventType.JOB_COMPLETED, **{FLContextKey.JOB_META: {"job_id": JOB}})
    parent.fire(EventType.JOB_ABORTED)
    heard = recorder.event_types
    assert heard[:2] == [EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START]
    assert heard.count(EventType.BEFORE_JOB_LAUNCH) == heard.count(EventType.AFTER_JOB_LAUNCH) == 1
    assert heard.count(EventType.JOB_COMPLETED) + heard.count(EventType.JOB_ABORTED) == 1
    assert (end.job_id, end.site) == (JOB, kit.name)
    assert end.result
    assert (end.result.return_code, end.result.exit_code) == (JobReturnCode.EXECUTION_ERROR, 3)
    parent.close()
    assert recorder.event_types[-1] == EventType.SYSTEM_END


def test_a_servers_component_knows_which_job_has_started(kits: Mapping[str, Path]) -> None:
    parent = KitParent(kits[SERVER], [launcher_of(kits[SERVER]), RECORDER])
    parent.start()
    parent.fire(EventType.JOB_STARTED, **{FLContextKey.EVENT_DATA: {"job_id": JOB}})
    assert parent.components["recorder"].wait_for(EventType.JOB_STARTED).job_id == JOB


@pytest.mark.parametrize("status", RunStatus)
def test_a_servers_journal_tells_of_a_job_of_all_sites_that_has_not_ended_well(
    kits: Mapping[str, Path], status: RunStatus
) -> None:
    parent = KitParent(kits[SERVER], [launcher_of(kits[SERVER])])
    parent.start()
    job_id = parent.submitted()
    handle = parent.launch(job_id)
    parent.runtime.exit(parent.container(job_id))
    handle.wait()
    parent.end_federated(job_id, status)
    parent.close()
    failed = [line for line in parent.journal() if line["event"] == "federated_failure"]
    is_bad = status.value.startswith("FINISHED:") and status is not RunStatus.FINISHED_COMPLETED
    assert [(line["job_id"], line["status"]) for line in failed] == ([(job_id, status.value)] if is_bad else [])


def test_a_component_refuses_a_job_and_all_hear_why(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit), REFUSING, RECORDER])
    parent.start()
    with pytest.raises(JobRejectedError, match=f"job {JOB}: refused by the component gate: no consent for hello"):
        parent.launch(JOB)
    assert parent.runtime.list_containers() == []
    result = parent.components["recorder"].wait_for(EventType.JOB_ABORTED).result
    assert "no consent for hello" in result.error
    assert told(parent) == ["launching", "aborted"]


def test_what_nobody_has_approved_is_refused_and_runs_when_somebody_has(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit), CONSENT, RECORDER])
    parent.start()
    with pytest.raises(JobNotApprovedError, match=f"job {JOB}: refused by the component consent: nobody has") as raised:
        parent.launch(JOB)
    assert parent.runtime.list_containers() == []
    fingerprint = raised.value.fingerprint
    ApprovalsFile(kit / ".flcore").add(Approval(APPROVE, fingerprint, 1001, "alice", 1.0))
    assert run_job(parent).poll() == 0
    (launched,) = (line for line in parent.journal() if line["event"] == "launched")
    assert launched["fingerprint"] == fingerprint
    assert launched["approved_by"] == ["alice (uid 1001)"]


def test_a_changed_app_of_a_kits_job_asks_again(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit), CONSENT])
    parent.start()
    asked = []
    for text in ("print(1)", "print(1)", "print(2)"):
        custom = kit / JOB / f"app_{kit.name}" / "custom"
        custom.mkdir(parents=True, exist_ok=True)
        (custom / "trainer.py").write_text(text)
        with pytest.raises(JobNotApprovedError) as raised:
            parent.launch(JOB)
        asked.append(raised.value.fingerprint)
    assert asked[0] == asked[1] != asked[2]


def test_two_runs_of_a_kits_job_have_one_fingerprint(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit), CONSENT])
    parent.start()
    asked = set()
    for number in (1, 2):
        with pytest.raises(JobNotApprovedError) as raised:
            parent.launch(f"{number}{JOB[1:]}")
        asked.add(raised.value.fingerprint)
    assert len(asked) == 1


def test_a_component_that_raises_stops_no_job_and_no_other(kit: Path, caplog: pytest.LogCaptureFixture) -> None:
    parent = KitParent(kit, [BROKEN, launcher_of(kit), RECORDER])
    parent.start()
    assert run_job(parent).poll() == 0
    assert told(parent) == WHOLE_LIFE
    assert parent.components["recorder"].event_types[-1] == EventType.SYSTEM_END
    assert "broken failed to handle the event _before_job_launch" in caplog.text


def test_what_jobs_use_is_measured_and_told_to_components_of_either_kind(kit: Path) -> None:
    parent = KitParent(kit, [launcher_of(kit), MONITOR, RECORDER, LISTENER])
    parent.start()
    handle = parent.launch(JOB)
    parent.runtime.use(parent.container(JOB), cpu_seconds=2.0, memory=1 << 20)
    assert parent.components["recorder"].wait_for(EventType.JOB_USAGE).job_id == JOB
    listener: FlareListener = parent.components["listener"]
    with listener.has_heard:
        assert listener.has_heard.wait_for(lambda: (EventType.JOB_USAGE, JOB) in listener.heard, 10)
    parent.runtime.exit(parent.container(JOB))
    handle.wait()
    parent.close()
    assert {line["job_id"] for line in parent.journal() if line["event"] == "usage"} == {JOB}


def test_the_journal_goes_on_when_a_parent_was_killed(kit: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = KitParent(kit, [launcher_of(kit)])
    killed.start()
    killed.launch(JOB)
    killed.die()
    again = KitParent(kit, [launcher_of(kit), RECORDER])
    again.start()
    again.components["recorder"].wait_for(EventType.JOB_ABORTED)
    again.close()
    lines = again.journal()
    assert told(again) == ["launching", "launched", *["state_change"] * 3, "recovered", "aborted"]
    (recovered,) = (line for line in lines if line["event"] == "recovered")
    assert recovered["parent"] != lines[0]["parent"]
    assert lines[-1]["result"]["ended_by"] == "the site, which was started anew"


def test_two_kits_of_one_machine_have_a_journal_each(kits: Mapping[str, Path]) -> None:
    parents = [KitParent(kits[site], [launcher_of(kits[site])]) for site in ("site-1", "site-2")]
    for parent in parents:
        parent.start()
    for parent in parents:
        run_job(parent)
    assert [{line["site"] for line in parent.journal()} for parent in parents] == [{"site-1"}, {"site-2"}]
    assert [told(parent) for parent in parents] == [WHOLE_LIFE, WHOLE_LIFE]


def test_who_hears_is_said_at_the_start(kit: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    KitParent(kit, [launcher_of(kit), MONITOR, RECORDER]).start()
    hearing = "journal (JobJournal), monitor (ResourceMonitor), recorder (EventRecorder)"
    assert f"components of flcore's kind that hear of site {kit.name}: {hearing}" in caplog.text


def test_a_launcher_of_flcores_own_sites_would_be_deaf_and_is_told_of_at_the_start(
    kit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"id": "wrong", "path": "launchers.docker_launcher.ClientDockerJobLauncher", "args": {"image": "job:1"}}
    parent = KitParent(kit, [wrong, launcher_of(kit)])
    parent.start()
    assert "component 'wrong' hears nothing, and launches nothing" in caplog.text
    assert "name a launcher of launchers.nvflare_launcher in its place" in caplog.text
    assert run_job(parent).poll() == 0


def test_a_component_in_the_file_that_jobs_read_too_is_told_of_at_the_start(
    kit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parent = KitParent(kit, [launcher_of(kit)], shared=[JOURNAL])
    parent.start()
    assert "component 'journal' is in local/resources.json, which jobs' processes build, too" in caplog.text
    run_job(parent)
    assert told(parent) == WHOLE_LIFE


def test_in_a_jobs_process_the_same_components_do_nothing(kits: Mapping[str, Path]) -> None:
    kit = kits["site-1"]
    parent = KitParent(kit, [], shared=[launcher_of(kit), JOURNAL, MONITOR])
    threads = threading.active_count()
    arguments = job_arguments(kit, JOB)
    job = FLClientStarterConfiger(workspace=parent.workspace, args=arguments, kv_list=arguments.set)
    job.configure()
    for event_type in (EventType.ABOUT_TO_START_RUN, EventType.START_RUN, EventType.END_RUN):
        job.components["launcher"].handle_event(event_type, parent.engine.new_context())
    assert not (kit / ".flcore").exists()
    assert threading.active_count() == threads


def test_of_two_launchers_of_a_kit_one_tells(kit: Path) -> None:
    second = {**launcher_of(kit), "id": "another"}
    parent = KitParent(kit, [launcher_of(kit), second, RECORDER])
    parent.start()
    assert parent.components["recorder"].event_types == [EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START]
