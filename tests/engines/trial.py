"""What flcore does on one engine: the demo, `flcore check`, and the tests that need an engine, counted."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.environments import demo_config
from tests.faults.engine_faults import FAULTS
from tests.faults.lab import Fault, Lab, play
from tests.faults.verdict import KILLED

from .engine import IMAGE, Engine
from .visit import Visitor

_SITES = tuple(f"configs/docker/{name}.json" for name in ("server", "site-1", "site-2"))
_ACCURACY = re.compile(r"accuracy\D*([\d.]+)")
_OF_ANY_ENGINE = ("test_pages", "test_first_hours", "test_first_site")
"""Those that try what people type, which one engine tells as well as another."""
_TESTS = ("tests/integration", *(f"--ignore=tests/integration/{name}.py" for name in _OF_ANY_ENGINE))
_TEST_TIMEOUT = 1500.0
_DEMO_TIMEOUT = 180.0
_ALL_WERE_RUN = (0, 1)
"""What pytest ends with that was not asked for what is not there, nor interrupted."""
_REPEATS = 2
RESTARTS = tuple(
    f"daemon-{signal}-{how}-live-restore" for signal in ("sigterm", "sigkill") for how in ("with", "without")
)
"""The faults that restart the daemon."""
OUTCOMES = ("passed", "failed", "skipped")


@dataclass
class Trial:
    """What came of it."""

    engine: str
    """What the engine calls itself."""
    seconds: float = 0.0
    megabytes: int = 0
    """What its programs and data take on disk."""
    demo: str = ""
    check: str = ""
    tests: dict[str, Counter[str]] = field(default_factory=dict)
    """How many had which outcome, by module."""
    restarts: dict[str, str] = field(default_factory=dict)
    """How many results were right of those that a restart of the daemon could have spoilt, by the fault's name; and how
    many of these jobs the engine has killed with it, or after it."""
    failures: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why tests were skipped, and how many."""

    def count(self, *modules: str) -> Counter[str]:
        """Return the outcomes of these modules; of all, without any."""
        chosen = modules or tuple(self.tests)
        return sum((self.tests.get(module, Counter()) for module in chosen), Counter())

    @property
    def passed(self) -> bool:
        return not self.failures


def attempt(engine: Engine, select: tuple[str, ...]) -> Trial:
    """Try everything on an engine that runs and is prepared; ``select`` are further arguments of pytest."""
    began = time.monotonic()
    trial = Trial(_title(engine))
    with Visitor(engine) as visitor:
        _run_check(visitor, trial)
        _run_demo(visitor, trial)
        _run_tests(visitor, trial, select)
    for fault in FAULTS:
        if fault.name in RESTARTS:
            _restart(engine, fault, trial)
    trial.seconds = time.monotonic() - began
    return trial


def _title(engine: Engine) -> str:
    with engine.api() as api:
        version = api.version()
    name = "Podman" if engine.program.is_podman else "Docker"
    return f"{name} {version['Version'].partition('+')[0]}, API {version['ApiVersion']}"


def _run_check(visitor: Visitor, trial: Trial) -> None:
    done = visitor.run("flcore", "check", demo_config("site-1", visitor.folder), timeout=60)
    levels = Counter(line.split()[0] for line in done.stdout.splitlines()[1:] if line.strip())
    trial.check = ", ".join(f"{count} {level}" for level, count in levels.items())
    if done.returncode:
        trial.failures.append(f"check: status {done.returncode}: {_end(done.stdout + done.stderr)}")


def _run_demo(visitor: Visitor, trial: Trial) -> None:
    sites = [word for site in _SITES for word in ("--site", site)]
    workspace = ("--workspace", str(visitor.folder / "demo"))
    began = time.monotonic()
    done = visitor.run("flcore", "run", "configs/jobs/digits", *sites, *workspace, timeout=_DEMO_TIMEOUT)
    accuracy = _ACCURACY.findall(done.stdout)
    trial.demo = f"{accuracy[-1] if accuracy else 'no accuracy'} in {time.monotonic() - began:.1f} s"
    if done.returncode:
        trial.failures.append(f"demo: status {done.returncode}: {_end(done.stdout + done.stderr)}")


def _run_tests(visitor: Visitor, trial: Trial, select: tuple[str, ...]) -> None:
    report = visitor.folder / "tests.xml"
    options = ("-q", "-p", "no:cacheprovider", f"--junitxml={report}", f"--basetemp={visitor.folder / 'tests'}")
    done = visitor.run("python", "-m", "pytest", *options, *(select or _TESTS), timeout=_TEST_TIMEOUT)
    if done.returncode not in _ALL_WERE_RUN:
        trial.failures.append(f"tests: status {done.returncode}: {_end(done.stdout + done.stderr)}")
    if report.exists():
        _read(report, trial)


def _restart(engine: Engine, fault: Fault, trial: Trial) -> None:
    """Play a fault. One that has jobs outlive the daemon is played wherever they can."""
    outcomes = [
        play(fault, Lab(engine.host, engine.folder / f"{fault.name}-{i}", IMAGE, engine, fault.name))
        for i in range(_REPEATS)
    ]
    right, jobs = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("right", "jobs"))
    killed = sum(outcome.ends[KILLED] for outcome in outcomes)
    trial.restarts[fault.name] = f"{right} / {jobs}, {killed} killed"
    trial.failures += [f"{fault.name}: {wrong}" for outcome in outcomes for wrong in (*outcome.problems, *outcome.left)]


def _read(report: Path, trial: Trial) -> None:
    for case in ElementTree.parse(report).iter("testcase"):
        module = case.get("classname", "").rpartition(".")[2]
        wrong = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        outcome = "failed" if wrong else "passed" if skipped is None else "skipped"
        trial.tests.setdefault(module, Counter())[outcome] += 1
        trial.failures += [f"{module}::{case.get('name')}: {child.get('message')}" for child in wrong[:1]]
        if skipped is not None:
            trial.reasons[skipped.get("message", "")] += 1


def _end(text: str) -> str:
    return " | ".join(text.splitlines()[-8:])
