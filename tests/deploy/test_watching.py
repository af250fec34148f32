"""The alerts and the dashboard, tried by Prometheus itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from flcore import Site
from flcore.observers import MetricsExporter, ResourceMonitor
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.engines.engine import until

from .needed import need

DEPLOY = Path(__file__).resolve().parents[2] / "configs/deploy"
RULE_TESTS = Path(__file__).with_name("alerts.test.yml")
PANELS: list[dict[str, Any]] = json.loads((DEPLOY / "dashboard.json").read_text())["panels"]
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}
TIMEOUT = 60.0


@pytest.fixture(autouse=True, scope="module")
def _has_prometheus() -> None:
    is_there = shutil.which("promtool") and shutil.which("prometheus")
    need(None if is_there else "prometheus is not installed; 'make test-deploy' does it")


def promtool(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_has_no_complaint_of_the_alerts_and_of_what_prometheus_is_told() -> None:
    promtool("check", "rules", "--lint-fatal", DEPLOY / "alerts.yml")
    promtool("check", "config", DEPLOY / "prometheus.yml")


def test_each_alert_fires_when_it_should_and_says_what_to_type() -> None:
    promtool("test", "rules", RULE_TESTS)


# --- a Prometheus that reads a site ---


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetricsExporter]:
    """The exporter of a site with jobs that run, wait and have failed."""
    runtime, exporter = FakeRuntime(), MetricsExporter(0)
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime)
    components = {"launcher": launcher, "metrics": exporter, "usage": ResourceMonitor(0.2)}
    with Site("site-1", components, tmp_path_factory.mktemp("site-1")) as site:
        for number in range(6):
            site.launch_job({"job_id": f"j{number}"}, {"exe_module": ("-m", "client")})
            runtime.use(f"site-1-j{number}", 1.5, 1 << 20)
        yield exporter
        for number in range(6):
            runtime.exit(f"site-1-j{number}", 0)


@pytest.fixture(scope="module")
def prometheus(site: MetricsExporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that is told what our file says, and looks often."""
    folder = tmp_path_factory.mktemp("prometheus")
    told = (DEPLOY / "prometheus.yml").read_text()
    told = told.replace("15s", "200ms").replace("127.0.0.1:9400", f"127.0.0.1:{site.port}")
    (folder / "prometheus.yml").write_text(told)
    shutil.copy(DEPLOY / "alerts.yml", folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    files = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *files, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def ask(address: str, query: str) -> list[Any]:
    """Return what a query gives; nothing while nobody answers. Raises AssertionError for a query that is none."""
    try:
        with urlopen(f"http://{address}/api/v1/query?{urlencode({'query': query})}", timeout=TIMEOUT) as answer:
            result: list[Any] = json.load(answer)["data"]["result"]
    except ConnectionError:
        return []
    except OSError as error:
        if "Connection refused" in str(error) or "Service Unavailable" in str(error):
            return []
        raise AssertionError(f"{error}: {query}") from error
    return result


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_the_dashboard_has_an_answer(name: str, prometheus: str) -> None:
    query = QUERIES[name].replace("$site", ".*").removesuffix("> 0")  # nothing has failed yet
    until(lambda: ask(prometheus, query), TIMEOUT, query)


def test_the_alerts_are_evaluated_and_silent(prometheus: str) -> None:
    def states() -> list[str]:
        with urlopen(f"http://{prometheus}/api/v1/rules", timeout=TIMEOUT) as answer:
            (group,) = json.load(answer)["data"]["groups"]
        return [f"{rule['name']} {rule['health']} {rule['state']}" for rule in group["rules"]]

    until(lambda: ask(prometheus, 'up{job="flcore"} == 1'), TIMEOUT, "the site is read")
    until(lambda: all(state.endswith(" ok inactive") for state in states()), TIMEOUT, "all alerts are silent")
