"""A real browser, real jobs, and the commands that show them. `make test-web` installs the browser."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FLCORE = (sys.executable, "-m", "flcore")
DESKTOP, PHONE = (1280, 900), (360, 740)
TIMEOUT = 30


@dataclass
class Reader:
    """Somebody who looks at a page, and what the page did that it should not have done."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        self.origin = "/".join(address.split("/")[:3]) if address.startswith("http") else address.rpartition("/")[0]
        self.page.on("console", lambda said: self._complain(said.type in ("error", "warning"), said.text))
        self.page.on("pageerror", lambda error: self._complain(True, str(error)))
        self.page.on("request", lambda asked: self._complain(self._is_elsewhere(asked.url), asked.url))
        self.page.goto(address)
        return self.page

    def check(self) -> None:
        """Raise AssertionError for what a good page does not do, or lacks."""
        assert self.complaints == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it is too wide"
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            assert violations(self.page) == [], scheme

    def _is_elsewhere(self, address: str) -> bool:
        return not address.startswith((self.origin, "data:,"))

    def _complain(self, is_one: bool, text: str) -> None:
        if is_one:
            self.complaints.append(text)


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: `make test-web` does that, as root")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Reader]]:
    """Return a function that has somebody look at an address, at a width."""
    contexts = []

    def look(address: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Reader:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        reader = Reader(context.new_page(), "")
        reader.open(address)
        return reader

    yield look
    for context in contexts:
        context.close()


class Place:
    """A folder with the sites of the demo, which keep journals, and with their workspaces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"
        self.workspace.mkdir()
        self._sites = [
            self._site(ROOT / "configs" / "process" / f"{name}.json") for name in ("server", "site-1", "site-2")
        ]

    def run_args(self, job: Path) -> list[str]:
        asked = json.loads((job / "meta.json").read_text())["deploy_map"].values()
        named = [name for names in asked for name in names]
        sites = [option for site in self._sites if {site.stem, "@ALL"} & {*named} for option in ("--site", str(site))]
        return [*FLCORE, "run", str(job), *sites, "--workspace", str(self.workspace)]

    def run(self, job: Path = ROOT / "configs" / "jobs" / "digits") -> subprocess.CompletedProcess[str]:
        """Run a job to its end."""
        return subprocess.run(self.run_args(job), cwd=self.folder, text=True, capture_output=True, timeout=TIMEOUT)

    def failing_job(self) -> Path:
        """Return a job whose client at site-1 has no data."""
        job = self.folder / "broken"
        custom = job / "app" / "custom"
        custom.mkdir(parents=True)
        (custom / "server.py").write_text("print('waiting for nobody')\n")
        (custom / "client.py").write_text(
            "print('loading <b>data</b>')\nraise ValueError('no <script>data</script>')\n"
        )
        meta = {"name": "broken <b>job</b>", "deploy_map": {"app": ["server", "site-1"]}, "min_clients": 1}
        (job / "meta.json").write_text(json.dumps(meta))
        return job

    def report(self, *args: str) -> str:
        """Write a report, and return its address."""
        command = [*FLCORE, "report", "-o", "report.html", "--workspace", str(self.workspace), *args]
        subprocess.run(command, cwd=self.folder, check=True, timeout=TIMEOUT)
        return (self.folder / "report.html").as_uri()

    def _site(self, config: Path) -> Path:
        site = json.loads(config.read_text().replace("${CONFIG_DIR}", str(config.parent)))
        site["components"] = [part for part in site["components"] if part.get("name") != "JobJournal"]
        site["components"].append({"id": "journal", "name": "JobJournal"})
        path = self.folder / config.name
        path.write_text(json.dumps(site))
        return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where the demo's job has run, and one that failed."""
    place = Place(tmp_path_factory.mktemp("finished"))
    assert place.run().returncode == 0
    assert place.run(place.failing_job()).returncode == 1
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where no job has run yet."""
    return Place(tmp_path)


@dataclass
class Served:
    """A live page, and the process that serves it."""

    address: str
    process: subprocess.Popen[str]

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(TIMEOUT)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Return a function that serves the jobs of a place."""
    processes = []

    def serve(place: Place, *args: str) -> Served:
        command = [*FLCORE, "serve", "--port", "0", "--workspace", str(place.workspace), *args]
        process = subprocess.Popen(command, cwd=place.folder, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        return Served(process.stdout.readline().split()[1], process)

    yield serve
    end(processes)


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Kill what still runs, and let go of it."""
    for process in processes:
        process.kill()
        process.communicate()
