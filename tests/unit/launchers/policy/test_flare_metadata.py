"""NVIDIA FLARE's metadata works unchanged where it asks for what a site allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from flcore.submitted_job import SubmittedJob
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from tests.hostile.good import GOOD, SITE_KEYS, Good


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.title)
def test_it_works_unchanged(good: Good) -> None:
    fl_ctx = FakeFLContext("site-1", job_args={"exe_module": ("-m", "client")})
    spec = ClientDockerJobLauncher(**SITE_KEYS).plan({"job_id": "job-1", **good.meta}, fl_ctx).spec
    assert (spec.image, spec.cpus, spec.memory, spec.shm_size) == (good.image, good.cpus, good.memory, good.shm_size)
    assert spec.environment == good.env


def test_a_folder_with_more_than_an_app_is_read(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"name": "x", "deploy_map": {"app": ["@ALL"]}, "min_clients": 2}')
    (tmp_path / "app").mkdir()
    (tmp_path / "README.md").touch()
    assert SubmittedJob.read(tmp_path).name == "x"
