"""A third party's launcher of ten lines, wired by JSON, in a module of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode, Site
from flcore.testing import EventRecorder

from .conftest import IMAGE, NETWORK

MODULE = '''
from launchers.docker_launcher import DockerJobLauncher


class SleepLauncher(DockerJobLauncher):
    """Runs `sleep`, whatever the job."""

    def __init__(self, seconds, **kwargs):
        super().__init__(**kwargs)
        self.seconds = seconds

    def get_command(self, job_meta, fl_ctx):
        return f"sleep-{job_meta['job_id']}", f"sleep {self.seconds}"
'''


def test_it_needs_no_more_than_get_command(docker_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "third_party.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    args = {"seconds": 1, "image": IMAGE, "network": NETWORK}
    launcher = {"id": "launcher", "path": "third_party.SleepLauncher", "args": args}
    recorder = {"id": "recorder", "path": "flcore.testing.EventRecorder"}
    config = tmp_path / "site-1.json"
    config.write_text(json.dumps({"site": "site-1", "components": [launcher, recorder]}))

    with Site.from_config(config) as site:
        handle = site.launch_job({"job_id": "nap"})
        assert handle.wait() is JobReturnCode.SUCCESS
    recorded = site.get_component("recorder")
    assert isinstance(recorded, EventRecorder)
    assert recorded.states("nap") == ["created", "running", "exited"]
    assert handle.result is not None
    assert handle.result.duration is not None
    assert handle.result.duration >= 0.9  # the engine notes the start a moment after it
