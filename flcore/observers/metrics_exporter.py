"""Figures of a site for Prometheus. Needs the extra ``flcore[metrics]``.

Each metric has the label ``site``, and:

=====================================  =========  ===========  ======================================================
metric                                 type       labels       what
=====================================  =========  ===========  ======================================================
flcore_jobs                            gauge      state        Jobs that are launched or run now.
flcore_launches_waiting                gauge                   Launches that wait for their turn.
flcore_launches_total                  counter    outcome      Launches that have succeeded or failed.
flcore_launch_duration_seconds         histogram               Time from BEFORE_JOB_LAUNCH to AFTER_JOB_LAUNCH.
flcore_job_ends_total                  counter    return_code  Jobs that have ended or could not be launched.
flcore_job_failures_total              counter    reason       Jobs that did not succeed, or could not be launched.
flcore_study_jobs                      gauge      study        Jobs of a study that are launched or run now.
flcore_study_job_ends_total            counter    study        Jobs of a study that have ended, launched or not.
flcore_study_job_failures_total        counter    study        Jobs of a study that did not succeed.
flcore_exit_detection_seconds          histogram               Time from the end of a process to the event of it.
flcore_jobs_cpu_seconds_total          counter                 Processor time of jobs, if a ResourceMonitor measures.
flcore_jobs_memory_bytes               gauge                   Memory that jobs use, if a ResourceMonitor measures.
flcore_engine_reachable                gauge      launcher     Whether the engine of a launcher answers.
flcore_engine_outages_total            counter    launcher     How often the engine of a launcher stopped answering.
flcore_event_stream_reconnects_total   counter    launcher     How often an engine's event stream was opened again.
flcore_missed_changes_total            counter    launcher     State changes that a list found before any event.
flcore_untold_events                   gauge      launcher     Events that wait for slow components.
=====================================  =========  ===========  ======================================================

All labels have a few values only, whatever jobs there are. ``state``: launching, created, running, paused, restarting,
removing, other. ``outcome``: launched, failed. ``return_code``: as in a ``JobResult``. ``reason``: exit_code, signal,
out_of_memory, timeout, disk, lost, refused, busy, image, not_started, aborted, engine, other. ``study``: those that
the site's launchers list (``studies``), empty for jobs of none, and other for a word that no launcher lists, whoever
made it up. Counts begin with the site's process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..admission import Load
from ..config.problems import Problems
from ..config.rules import checks_by_rules, rule
from ..errors import ConfigError
from ..event_type import EventType
from ..extras import how_to_install
from ..fl_component import FLComponent
from ..fl_constant import FLContextKey
from ..fl_context import FLContext
from ..job_launcher_spec import JobHandleSpec, JobResult, JobStateChange, JobUsage
from ..job_meta import study_in
from ..launcher_choice import launchers_among
from ..threads import no_thread
from .job_tally import NO_STUDY, OTHER, Distribution, JobTally, Values

__all__ = ["Collector", "MetricsExporter"]

CLOSE_TIMEOUT = 10.0
"""Seconds that closing waits for the server's thread."""
_PORTS = 1 << 16


class Metric(NamedTuple):
    """One metric, as Prometheus is told of it."""

    name: str
    kind: str
    what: str
    labels: tuple[str, ...] = ()
    """Beside the site."""


METRICS: Mapping[str, Metric] = {
    "jobs": Metric("flcore_jobs", "gauge", "Jobs that are launched or run now.", ("state",)),
    "waiting": Metric("flcore_launches_waiting", "gauge", "Launches that wait for their turn."),
    "launches": Metric("flcore_launches_total", "counter", "Launches that have succeeded or failed.", ("outcome",)),
    "launch_seconds": Metric(
        "flcore_launch_duration_seconds", "histogram", "Time from BEFORE_JOB_LAUNCH to AFTER_JOB_LAUNCH."
    ),
    "ends": Metric(
        "flcore_job_ends_total", "counter", "Jobs that have ended or could not be launched.", ("return_code",)
    ),
    "failures": Metric(
        "flcore_job_failures_total", "counter", "Jobs that did not succeed, or could not be launched.", ("reason",)
    ),
    "study_jobs": Metric("flcore_study_jobs", "gauge", "Jobs of a study that are launched or run now.", ("study",)),
    "study_ends": Metric(
        "flcore_study_job_ends_total", "counter", "Jobs of a study that have ended, launched or not.", ("study",)
    ),
    "study_failures": Metric(
        "flcore_study_job_failures_total", "counter", "Jobs of a study that did not succeed.", ("study",)
    ),
    "exit_seconds": Metric(
        "flcore_exit_detection_seconds", "histogram", "Time from the end of a process to the event of it."
    ),
    "cpu_seconds": Metric(
        "flcore_jobs_cpu_seconds_total", "counter", "Processor time of jobs, if a ResourceMonitor measures."
    ),
    "memory": Metric("flcore_jobs_memory_bytes", "gauge", "Memory that jobs use, if a ResourceMonitor measures."),
    "reachable": Metric("flcore_engine_reachable", "gauge", "Whether the engine of a launcher answers.", ("launcher",)),
    "outages": Metric(
        "flcore_engine_outages_total", "counter", "How often the engine of a launcher stopped answering.", ("launcher",)
    ),
    "reconnects": Metric(
        "flcore_event_stream_reconnects_total",
        "counter",
        "How often an engine's event stream was opened again.",
        ("launcher",),
    ),
    "missed_changes": Metric(
        "flcore_missed_changes_total",
        "counter",
        "State changes that a list found before any event.",
        ("launcher",),
    ),
    "untold": Metric("flcore_untold_events", "gauge", "Events that wait for slow components.", ("launcher",)),
}
"""By what it shows: of a ``JobTally``, a site's load, or a launcher's figures."""


@runtime_checkable
class Asked(Protocol):
    """An engine that tells figures of its own, as a ``Site`` does."""

    @property
    def load(self) -> Load:
        """How much it is at."""

    def components(self) -> Mapping[str, FLComponent]:
        """Return what it has, by id."""


@rule({"type": "integer", "minimum": 0, "maximum": _PORTS - 1})
def _port(key: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < _PORTS:
        raise ValueError(f"{key} must be a number from 0 to {_PORTS - 1}, got {value!r}")
    return value


@rule({"type": "string", "pattern": r"\S"})
def _address(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} must be an address of this machine, such as '127.0.0.1', got {value!r}")
    return value


@checks_by_rules
class MetricsExporter(FLComponent):
    """Serves figures of its site at ``http://<host>:<port>/metrics``, from the system's start to its end.

    What events tell is counted as they come; a site's load and its launchers' figures are asked for at each scrape, and
    no engine ever is. In an FL engine that cannot be ``Asked`` there are the figures that events tell. Where the port
    cannot be had, that is one line in the log, and jobs go on.

    Args:
        port: to listen on; 0 is any that is free.
        host: the address to listen on. Who can reach it can read the figures, so by default nobody else than this
            machine can.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        super().__init__()
        problems = Problems()
        checked = problems.attempt
        self._host = checked(_address, "host", host)
        self._port = checked(_port, "port", port)
        problems.raise_all(ValueError)
        if find_spec("prometheus_client") is None:
            raise ConfigError(f"a MetricsExporter needs prometheus-client; install it: {how_to_install('metrics')}")
        self.port: int | None = None
        """On which it listens; None while it does not."""
        self._tally = JobTally()
        self._stop: Callable[[], None] | None = None
        self._takers: Mapping[str, Callable[[FLContext], None]] = {
            EventType.SYSTEM_START: self._open,
            EventType.BEFORE_JOB_LAUNCH: self._launching,
            EventType.AFTER_JOB_LAUNCH: lambda fl_ctx: self._tally.launched(fl_ctx.get_job_id()),
            EventType.JOB_RECOVERED: self._recovered,
            EventType.JOB_STATE_CHANGED: lambda fl_ctx: self._tally.changed(JobStateChange.of(fl_ctx), _origin(fl_ctx)),
            EventType.JOB_COMPLETED: self._ended,
            EventType.JOB_ABORTED: self._ended,
            EventType.JOB_USAGE: lambda fl_ctx: self._tally.measured(JobUsage.of(fl_ctx)),
            EventType.ENGINE_UNREACHABLE: lambda fl_ctx: self._tally.engine(_origin(fl_ctx), reachable=False),
            EventType.ENGINE_REACHABLE: lambda fl_ctx: self._tally.engine(_origin(fl_ctx), reachable=True),
        }

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Count what happens to jobs. Raises ConfigError at the system's start if the port cannot be had."""
        if event_type == EventType.SYSTEM_END:
            self.close()
        elif taker := self._takers.get(event_type):
            taker(fl_ctx)

    def close(self) -> None:
        """Serve nobody any more; takes half a second. Idempotent."""
        stop, self._stop, self.port = self._stop, None, None
        if stop:
            stop()

    def collector(self, site: str, engine: Any = None) -> Collector:
        """Return what a registry of prometheus-client takes, for whoever serves it himself."""
        return Collector(site, self._tally, engine if isinstance(engine, Asked) else None)

    def _open(self, fl_ctx: FLContext) -> None:
        if self._stop:
            return
        from prometheus_client import CollectorRegistry, start_http_server  # an extra, and slow to import

        site = fl_ctx.get_identity_name()
        registry = CollectorRegistry()
        registry.register(self.collector(site, fl_ctx.get_engine()))
        try:
            server, thread = start_http_server(self._port, self._host, registry)
        except OSError as error:
            where, way_out = f"{self._host}:{self._port}", f"set another 'port' (or 'host') of {self.name}"
            raise ConfigError(f"nobody can read the metrics of {site}: {where}: {error.strerror}; {way_out}") from error
        except RuntimeError as error:
            raise ConfigError(f"nobody can read the metrics of {site}: {no_thread(error)}") from error
        self._stop = lambda: _stop(server, thread)
        self.port = server.server_port
        if not _is_loopback(self._host):
            self.log_warning(fl_ctx, f"whoever can reach {self._host}:{self.port} can read the metrics of {site}")

    def _launching(self, fl_ctx: FLContext) -> None:
        study = study_in(fl_ctx.get_prop(FLContextKey.JOB_META) or {})
        self._tally.launching(fl_ctx.get_job_id(), _one_of_few(study, fl_ctx.get_engine()))

    def _recovered(self, fl_ctx: FLContext) -> None:
        handle = fl_ctx.get_prop(FLContextKey.JOB_HANDLE)
        study = handle.study if isinstance(handle, JobHandleSpec) else NO_STUDY
        self._tally.recovered(fl_ctx.get_job_id(), handle, _one_of_few(study, fl_ctx.get_engine()))

    def _ended(self, fl_ctx: FLContext) -> None:
        result = fl_ctx.get_prop(FLContextKey.JOB_RESULT)
        if isinstance(result, JobResult):
            self._tally.ended(fl_ctx.get_job_id(), result, fl_ctx.get_prop(FLContextKey.LAUNCH_ERROR))


class Collector:
    """Makes metrics of what is counted, at each scrape; :meth:`flcore.observers.MetricsExporter.collector` returns one.

    Args:
        site: the site's name, which each metric has as a label.
        tally: what events have told so far.
        engine: who is asked for its load, and its launchers for their figures; None is nobody.
    """

    def __init__(self, site: str, tally: JobTally, engine: Asked | None) -> None:
        self._site = site
        self._tally = tally
        self._engine = engine

    def describe(self) -> Iterator[Any]:
        """Yield all metrics, without values."""
        return (_family(metric) for metric in METRICS.values())

    def collect(self) -> Iterator[Any]:
        """Yield all metrics."""
        values = self._tally.values(_listed_studies(self._engine))
        if self._engine:
            values |= _values_of_site(self._engine)
        for key, metric in METRICS.items():
            family = _family(metric)
            for labels, value in values.get(key, {}).items():
                _add(family, (self._site, *labels), value)
            yield family


def _listed_studies(engine: Any) -> set[str]:
    """Return the studies that a site's launchers list."""
    launchers = launchers_among(engine.components()).values() if isinstance(engine, Asked) else ()
    return {study for launcher in launchers for study in launcher.known_studies() or ()}


def _one_of_few(study: str, engine: Any) -> str:
    """Return the label of a study: whoever submits jobs can make up any number of names."""
    return study if study == NO_STUDY or study in _listed_studies(engine) else OTHER


def _values_of_site(site: Asked) -> dict[str, Values]:
    launchers = launchers_among(site.components())
    told = {name: figures for name, launcher in launchers.items() if (figures := launcher.figures())}
    return {
        "waiting": {(): site.load.waiting},
        "reconnects": {(name,): figures.reconnects for name, figures in told.items()},
        "missed_changes": {(name,): figures.missed_changes for name, figures in told.items()},
        "untold": {(name,): figures.untold for name, figures in told.items()},
    }


def _family(metric: Metric) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return kinds[metric.kind](metric.name, metric.what, labels=("site", *metric.labels))


def _add(family: Any, labels: tuple[str, ...], value: float | Distribution) -> None:
    if isinstance(value, Distribution):
        family.add_metric(labels, buckets=value.buckets, sum_value=value.total)
    else:
        family.add_metric(labels, value)


def _stop(server: Any, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join(CLOSE_TIMEOUT)


def _origin(fl_ctx: FLContext) -> str:
    """Return the name of the launcher that fires an event."""
    return str(fl_ctx.get_prop(FLContextKey.EVENT_ORIGIN, ""))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
