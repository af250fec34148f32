"""Jobs that a client is asked about before NVIDIA FLARE schedules them: what a component puts off waits there.

By NVIDIA FLARE's own engine and executor; the launcher's runtime is a fake.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContextKey
from flcore.approvals.approvals_file import APPROVE, DENY, Approval, ApprovalsFile
from flcore.approvals.kept_requests import KeptRequests
from launchers.flare.job_args import args_ahead, once

from .kit_parent import KitParent, launcher_of

JOB = "11111111-2222-3333-4444-555555555555"
SITE = "site-1"
MANAGER = {"id": "resource_manager", "path": "launchers.nvflare_resource_manager.FlareResourceManager", "args": {}}
CONSENT = {"id": "consent", "path": "flcore.observers.JobApproval", "args": {"wait": 600}}
NEXT = "waits until NVIDIA FLARE schedules it"


@pytest.fixture
def kit(provisioned: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(provisioned[SITE], tmp_path / SITE))


def started(kit: Path, *components: Mapping[str, Any], **args: Any) -> KitParent:
    parent = KitParent(kit, [launcher_of(kit, **args), MANAGER, *components])
    parent.start()
    return parent


def decide(parent: KitParent, verdict: str) -> str:
    """Decide about the one thing that was asked for, and return its fingerprint."""
    [fingerprint] = KeptRequests(parent.kit / ".flcore").fingerprints()
    ApprovalsFile(parent.kit / ".flcore").add(Approval(verdict, fingerprint, 1001, "alice", time.time()))
    return fingerprint


def story(parent: KitParent) -> list[str]:
    return [str(line["event"]) for line in parent.journal() if line.get("job_id") == JOB]


def test_what_a_job_is_launched_with_is_known_ahead(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = started(kit)
    seen: list[dict[str, Any]] = []

    def launch_job(_: Any, fl_ctx: Any) -> None:
        seen.append(dict(fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS)))
        raise RuntimeError("seen")

    monkeypatch.setattr(parent.launcher, "launch_job", launch_job)  # of what NVIDIA FLARE calls, the last
    for _ in range(2):  # up to 2.6 a parent adds to its own options each time
        ahead = args_ahead(parent.engine.new_context(), JOB)
        with pytest.raises(RuntimeError, match="seen"):
            parent.start_app(parent.deploy(JOB))
        flag, options = seen[-1]["options"]
        assert ahead == {**seen[-1], "options": (flag, once(options))}
    assert once(seen[0]["options"][1]) == once(seen[1]["options"][1])


def test_a_job_waits_for_its_approval_and_then_runs_as_it_was_approved(kit: Path) -> None:
    parent = started(kit, CONSENT)
    parent.deploy(JOB)
    has_room, why = parent.has_room(JOB)
    assert not has_room
    assert why == f"job {JOB}: waits for approval"
    [told] = [line["reason"] for line in parent.journal() if line["event"] == "held"]
    assert told.startswith("waits for approval: flcore approve ")
    assert parent.has_room(JOB) == (False, why)
    assert story(parent) == ["launching", "held"]
    assert parent.runtime.list_containers() == []

    fingerprint = decide(parent, APPROVE)
    has_room, token = parent.has_room(JOB)
    assert has_room, token
    assert not (kit / JOB).exists()
    assert parent.has_room(JOB)[0]
    assert story(parent) == ["launching", "held"] * 2
    assert [line["reason"] for line in parent.journal() if line["event"] == "held"][-1] == NEXT
    parent.start_app(parent.deploy(JOB))
    [launched] = [line for line in parent.journal() if line["event"] == "launched"]
    assert launched["fingerprint"] == fingerprint


def test_what_was_denied_is_refused_by_its_launch(kit: Path) -> None:
    parent = started(kit, CONSENT)
    parent.deploy(JOB)
    parent.has_room(JOB)
    decide(parent, DENY)
    assert parent.has_room(JOB)[0]
    with pytest.raises(Exception, match="was denied by alice"):
        parent.start_app(parent.deploy(JOB))
    assert story(parent) == ["launching", "held", "launching", "held", "launching", "aborted"]


def test_another_app_than_was_approved_is_refused_by_its_launch(kit: Path) -> None:
    parent = started(kit, CONSENT)
    parent.deploy(JOB)
    parent.has_room(JOB)
    decide(parent, APPROVE)
    assert parent.has_room(JOB)[0]
    with pytest.raises(Exception, match="nobody has approved what it would run"):
        parent.start_app(parent.deploy(JOB, "import os"))


def test_without_its_app_a_job_is_asked_about_by_its_launch_alone(kit: Path) -> None:
    parent = started(kit, CONSENT)
    assert parent.has_room(JOB)[0]
    with pytest.raises(Exception, match="nobody has approved what it would run"):
        parent.start_app(parent.deploy(JOB))
    assert story(parent) == ["launching", "aborted"]


def test_where_nobody_puts_jobs_off_they_hear_of_a_launch_once(kit: Path) -> None:
    parent = started(kit, {**CONSENT, "args": {}})
    parent.deploy(JOB)
    assert parent.has_room(JOB)[0]
    assert story(parent) == []


def test_what_waits_when_the_site_ends_is_told_as_ended(kit: Path) -> None:
    parent = started(kit, CONSENT)
    parent.deploy(JOB)
    parent.has_room(JOB)
    parent.close()
    assert story(parent) == ["launching", "held", "aborted"]


def test_whether_a_job_sees_the_site_s_private_key_is_approved_with_it(kit: Path, tmp_path: Path) -> None:
    (kit / "startup/signature.json").unlink(missing_ok=True)  # with which all jobs see it: up to 2.7
    seen: dict[bool, Any] = {}
    for sees_key in (False, True):
        parent = started(Path(shutil.copytree(kit, tmp_path / str(sees_key) / SITE)), CONSENT, private_key=sees_key)
        parent.deploy(JOB)
        parent.has_room(JOB)
        [seen[sees_key]] = KeptRequests(parent.kit / ".flcore").all()
    assert seen[False].fingerprint != seen[True].fingerprint
    assert {sees_key: request.asks["private_key"] for sees_key, request in seen.items()} == {False: False, True: True}


@pytest.mark.parametrize("name", ["startup", "local", "..", "a/b", ""])
def test_what_is_no_job_is_not_asked_about_and_nothing_of_it_is_removed(kit: Path, name: str) -> None:
    parent = started(kit, CONSENT)
    (kit / name / f"app_{SITE}").mkdir(parents=True)
    (kit / name / "meta.json").write_text("{}")
    before = sorted(kit.parent.rglob("*"))
    parent.has_room(name)
    assert [path for path in before if not path.exists()] == []
    assert [line["event"] for line in parent.journal() if "job_id" in line] == []


def test_metadata_that_cannot_be_read_holds_nothing_up(kit: Path) -> None:
    parent = started(kit, CONSENT)
    parent.deploy(JOB)
    Path(parent.workspace.get_job_meta_path(JOB)).write_text("{")
    assert parent.has_room(JOB)[0]
