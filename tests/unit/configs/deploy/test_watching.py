"""The alerts and the dashboard ask for what a site's exporter has, and an operator can do what they say."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flcore import Site
from flcore.cli.program import main
from flcore.observers import MetricsExporter, ResourceMonitor
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.operator_lab import until
from tests.promql import names, problems

DEPLOY = Path(__file__).resolve().parents[4] / "configs/deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
(GROUP,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
ALERTS: list[dict[str, Any]] = GROUP["rules"]
SCREEN = 24
"""How many rows of a dashboard a screen of 1080 lines shows; and columns, of any screen."""


@pytest.fixture
def exported(make_site: Callable[..., Site]) -> dict[str, frozenset[str]]:
    """What a real scrape says, once a job was measured: the labels of each series."""
    runtime, exporter = FakeRuntime(), MetricsExporter(0)
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime)
    site = make_site(launcher=launcher, metrics=exporter, usage=ResourceMonitor(0.2))
    site.launch_job({"job_id": "j1"}, {"exe_module": ("-m", "client")})
    runtime.use("site-1-j1", 1.5, 1 << 20)
    until(lambda: {"flcore_jobs_memory_bytes", "flcore_engine_reachable"} <= series_of(exporter).keys())
    return series_of(exporter)


def series_of(exporter: MetricsExporter) -> dict[str, frozenset[str]]:
    with urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {sample.name: frozenset(sample.labels) for family in families for sample in family.samples}


# --- alerts ---


def test_every_alert_asks_for_metrics_and_labels_that_there_are(exported: dict[str, frozenset[str]]) -> None:
    for alert in ALERTS:
        assert list(problems(alert["expr"], exported, alert["annotations"].values())) == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_type(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"\d+m", alert["for"])
    assert set(alert["annotations"]) == {"summary", "runbook"}


def test_the_commands_of_the_runbooks_are_flcore_s_own() -> None:
    runbooks = " ".join(alert["annotations"]["runbook"] for alert in ALERTS)
    typed = set(re.findall(r"\bflcore (\w+)", runbooks))
    assert {"ps", "check", "logs", "stop"} <= typed
    for command in typed:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command


# --- dashboard ---


def test_every_query_of_the_dashboard_asks_for_metrics_and_labels_that_there_are(
    exported: dict[str, frozenset[str]],
) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            legend = target["legendFormat"].replace("__auto", "")
            assert list(problems(target["expr"], exported, [legend])) == [], panel["title"]


def test_the_dashboard_shows_the_sites_that_there_are(exported: dict[str, frozenset[str]]) -> None:
    datasource, site = DASHBOARD["templating"]["list"]
    assert datasource["type"] == "datasource"
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", site["query"]["query"]).groups()  # type: ignore[union-attr]
    assert label in exported[metric]
    assert all('site=~"$site"' in target["expr"] for panel in PANELS for target in panel["targets"])


def test_the_dashboard_is_one_screen_without_gaps_or_overlaps() -> None:
    covered = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    bottom = max(y for _, y in covered) + 1
    assert bottom <= SCREEN
    assert covered == Counter((x, y) for x in range(SCREEN) for y in range(bottom))


def test_a_panel_has_an_id_and_a_title_of_its_own_and_says_what_it_is() -> None:
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"] for panel in PANELS)


def test_what_an_alert_tells_of_is_on_the_dashboard() -> None:
    shown = set().union(*(names(target["expr"]) for panel in PANELS for target in panel["targets"]))
    assert set().union(*(names(alert["expr"]) for alert in ALERTS)) - shown == {"up"}
