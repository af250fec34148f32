"""What nvidia-smi says, where it is; a stand-in says it here."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers.runtime.nvidia import query_gpus
from launchers.runtime.process import ProcessRuntime

UUIDS = ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-c2a1b0de-5f1e-4c57-9d1b-0d0f0e1a2b3c"]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def write_tool(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_its_uuids_are_the_gpus_of_this_host(tool: Path) -> None:
    write_tool(tool, f'[ "$*" = "--query-gpu=uuid --format=csv,noheader" ] && printf "%s\\n" {" ".join(UUIDS)}')
    assert query_gpus() == UUIDS
    assert ProcessRuntime().find_gpus() == UUIDS


def test_a_host_without_it_names_none(tool: Path) -> None:
    assert not tool.exists()
    assert query_gpus() == []


def test_one_that_cannot_speak_to_its_driver_names_none_and_is_logged(
    tool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tool(tool, "echo NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.; exit 9")
    assert query_gpus() == []
    assert "nvidia-smi does not work" in caplog.text
