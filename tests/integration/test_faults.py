"""The faults that can be played with an engine that is others', too, each once. `make faults` plays all, ten times."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from tests.faults.lab import Fault, Lab, play
from tests.faults.party import Outcome
from tests.faults.suite import FAULTS

from .conftest import IMAGE

AT_ONCE = 4
"""They mostly wait."""


@pytest.fixture(scope="module")
def host(docker_client: Any) -> str:
    """The engine's address, for processes of their own."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        pytest.skip(f"the proxy knows unix sockets only, not {host}")
    return host


@pytest.fixture(scope="module")
def outcomes(host: str, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Outcome]]]:
    """What comes of each fault that was selected; they are played several at once."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    faults = [cast(Fault, item.callspec.params["fault"]) for item in items if item.module is request.module]
    folder = Path(tempfile.mkdtemp(prefix="flf-"))  # a short path: there are sockets in it
    with ThreadPoolExecutor(AT_ONCE) as pool:
        labs = {fault: Lab(host, folder / fault.name, IMAGE, seed=fault.name) for fault in faults}
        yield {fault.name: pool.submit(play, fault, lab) for fault, lab in labs.items()}
    shutil.rmtree(folder)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.fits_any_engine], ids=lambda fault: fault.name)
def test_the_truth_is_told_and_nothing_stays_when(fault: Fault, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[fault.name].result()
    assert outcome.problems == []
    assert outcome.left == []
    assert outcome.right == outcome.jobs > 0
