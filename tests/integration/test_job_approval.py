"""Consent on a real engine: the approved bytes run, in the approved image, wherever its tag points by then."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode
from flcore.approvals.approvals_file import APPROVE, Approval, ApprovalsFile
from flcore.errors import JobNotApprovedError
from flcore.observers import JobApproval

from .conftest import IMAGE, Lab

SHOW = "import pathlib; print(pathlib.Path('app_site-1/custom/client.py').read_text())"


class Moving(FLComponent):
    """Has a tag mean another image, and the app say something else, as soon as the launch is looked at."""

    def __init__(self, client: Any, tag: str, app: Path) -> None:
        super().__init__()
        self._client, self._tag, self._app = client, tag, app

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_LAUNCH_PLANNED:
            (self._app / "custom/client.py").write_text("another")
            self._client.images.get(IMAGE).tag(self._tag)


@pytest.fixture
def tag(lab: Lab) -> Iterator[str]:
    """A tag of an image that is like the demo's, with another id."""
    name = f"flcore-approved:{uuid.uuid4().hex[:8]}"
    made = lab.client.containers.create(IMAGE, ["python3"])
    made.commit(*name.split(":"))
    made.remove()
    first = lab.client.images.get(name).id
    yield name
    lab.client.images.remove(name)
    lab.client.images.remove(first)


def test_it_is_the_image_and_the_app_that_were_approved_that_run(lab: Lab, tag: str) -> None:
    app = lab.folder / "app"
    (app / "custom").mkdir(parents=True)
    (app / "custom/client.py").write_text("approved")
    first = lab.client.images.get(tag).id
    components = (JobApproval(), Moving(lab.client, tag, app))
    site = lab.site("python3", "-c", SHOW, components=components, image=tag)
    with pytest.raises(JobNotApprovedError) as raised:
        site.launch_job({"job_id": lab.job_id}, app=app)
    assert lab.left_over() == []
    (app / "custom/client.py").write_text("approved")
    lab.client.images.get(first).tag(tag)
    approval = Approval(APPROVE, raised.value.fingerprint, 1001, "alice", time.time())
    ApprovalsFile(lab.folder / ".flcore").add(approval)
    handle = site.launch_job({"job_id": lab.job_id}, app=app)
    assert handle.wait() is JobReturnCode.SUCCESS
    assert handle.logs() == "approved\n"
    assert lab.client.images.get(tag).id != first
