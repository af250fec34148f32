"""Every row of the table of hostile jobs, on a real engine: refused before the engine is asked for anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode
from flcore.errors import JobRejectedError
from launchers.container_spec import LABEL_SITE
from tests.engine_proxy import EngineProxy
from tests.hostile.lab import HostileLab
from tests.hostile.rows import GOOD_ARGS, GOOD_META, IMAGE, SITE, problems_of
from tests.hostile.table import TABLE

from .conftest import NETWORK, until


class EngineLab(HostileLab):
    """The sites of the table on a real engine, and all that they ask of it."""

    def __init__(self, folder: Path, client: Any, proxy: EngineProxy) -> None:
        self._client = client
        self._proxy = proxy
        super().__init__(folder, docker_host=proxy.host, network=NETWORK)

    def containers(self) -> list[str]:
        """Return the ids of this site's containers, ended ones too."""
        listed = self._client.api.containers(all=True, filters={"label": f"{LABEL_SITE}={SITE}"})
        return [entry["Id"] for entry in listed]

    def requests_for_change(self) -> list[str]:
        """Return what the sites have asked the engine to make, change or remove since the last call."""
        kinds = [kind for kind in self._proxy.counts.requests if not kind.startswith(("GET", "HEAD"))]
        self._proxy.reset_counts()
        return kinds

    def traces(self) -> set[object]:
        return super().traces() | set(self.containers())

    def run_a_good_job(self, job_id: str) -> None:
        """Launch a job without a fault, and return when nothing but its folder is left."""
        meta = GOOD_META | {"job_id": job_id}
        assert self.site.launch_job(meta, GOOD_ARGS).wait() is JobReturnCode.SUCCESS
        until(lambda: not self.containers())


@pytest.fixture
def engine_lab(docker_client: Any, tmp_path: Path) -> Iterator[EngineLab]:
    with (
        EngineProxy(os.environ["DOCKER_HOST"], tmp_path / "engine.sock") as proxy,
        EngineLab(tmp_path, docker_client, proxy) as lab,
    ):
        yield lab
    left_over = lab.containers()
    for container in left_over:
        docker_client.api.remove_container(container, v=True, force=True)
    assert left_over == []


def test_every_row_is_refused_nothing_is_made_and_the_site_goes_on(engine_lab: EngineLab) -> None:
    engine_lab.run_a_good_job("good-1")
    before = engine_lab.traces()
    engine_lab.requests_for_change()
    wrong = []
    for row in TABLE:
        try:
            found = problems_of(engine_lab.refusal(row), row.says)
        except (AssertionError, RecursionError) as error:
            found = [repr(error)]
        if asked := engine_lab.requests_for_change():
            found.append(f"the engine was asked to {asked}")
        if left := engine_lab.traces() - before:
            found.append(f"it left {left}")
            before |= left
        wrong += [f"{row.kind}: {row.title}: {problem}" for problem in found]
    assert not wrong, "\n".join(wrong)
    engine_lab.run_a_good_job("good-2")


def test_no_id_of_an_image_that_is_there_is_taken_for_a_name(engine_lab: EngineLab, docker_client: Any) -> None:
    image_id = docker_client.api.inspect_image(IMAGE)["Id"]
    bare = image_id.removeprefix("sha256:")
    for name in (image_id, bare, bare[:12], bare[:4]):
        meta = GOOD_META | {"launcher_spec": {SITE: {"docker": {"image": name}}}}
        with pytest.raises(JobRejectedError, match=name):
            engine_lab.site.launch_job(meta, GOOD_ARGS)
    assert engine_lab.requests_for_change() == []
