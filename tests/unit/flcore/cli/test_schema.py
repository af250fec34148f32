"""`flcore schema`, as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flcore.cli import main

SITE = {"site": "site-1", "components": [{"id": "a", "path": "of_a_site.A", "args": {"size": 1}}]}


def test_it_prints_a_schema_of_what_packages_register(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capfdbinary.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "launchers.docker_launcher.DockerJobLauncher" in schema["$defs"]


def test_it_describes_what_lies_beside_a_config(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "of_a_site.py").write_text("class A:\n    def __init__(self, size: int) -> None: ...\n")
    (tmp_path / "site-1.json").write_text(json.dumps(SITE))
    assert main(["schema", "--config", str(tmp_path / "site-1.json")]) == 0
    found = json.loads(capfdbinary.readouterr().out)["$defs"]["of_a_site.A"]
    assert (found["properties"]["size"]["else"], found["required"]) == ({"type": "integer"}, ["size"])


def test_what_cannot_be_had_is_told_and_the_rest_described(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "site-1.json"
    file.write_text(json.dumps({**SITE, "components": [{"id": "a", "path": "of_nobody.A"}, {"id": "b", "path": []}]}))
    assert main(["schema", "--config", str(file)]) == 0
    out, err = capfdbinary.readouterr()
    assert json.loads(out)
    first, second = err.decode().splitlines()
    assert first.startswith(f"flcore: not described: {file}: components[0]: path: cannot import of_nobody")
    assert "components[1]: path: must be a string, got []" in second


def test_a_config_that_is_no_json_is_an_error(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "site-1.json").write_text("{")
    assert main(["schema", "--config", str(tmp_path / "site-1.json")]) == 2
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert f"flcore: error: {tmp_path}/site-1.json: line 1" in err.decode()
