"""The made-up metadata of the comparison with NVIDIA FLARE: what they reach; and the table of what differs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compat.metadata.differences import ALL, DIFFERENCES, as_row
from tests.compat.metadata.made_up import made_up

ROOT = Path(__file__).parents[3]
SAID = [
    *('"@default": {"num_of_gpus": 1', '"@default": null', '"resource_spec": null', '"resource_spec": []'),
    *('"process": {', '"k8s": {', '"slurm": {', '"docker": {"image"', '"Docker": {', '"podman": {'),
    *('"gpu": 1', '"gpu_type": "a100"', '"num_gpus": 1', '"licences": {', '"mem_per_gpu_in_GiB": 16.5'),
    *('{"targets": [', '{"sites": [', '"app": {"targets"', '"app": {"sites"', '"app.2": "site-1"', '["@all"]'),
    *('"min_clients": "1"', '"min_clients": 1.0', '"min_clients": true', '"min_clients": 1.9', '"min_clients": 0'),
    *('"8g"', '"8G"', '"8gb"', '"512MB"', '"1.5g"', '"1024b"', '"shm_size": 0', '"shm_size": "0"', '"64Mi"'),
    *('"python_path": "/', '"python_path": 7', '"entrypoint": [', '"entrypoint": "/opt', '"entrypoint": {}'),
    *('"ipc_mode": "host"', '"mem_limit"', '"env": {', '"network": "host"', '"user": "0:0"', '"IMAGE"'),
    *('"mandatory_clients": ["site-1"', '"mandatory_clients": "site-1"', '"launcher_spec": {"default": null'),
    *('"num_of_gpus": "1"', '"num_of_gpus": true', '"num_of_cpus": 0.5', '"memory": 1073741824', '"memory": "8gb"'),
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Made up when they are wanted: whoever only collects these tests should not wait for it."""
    return [metadata.text for metadata in made_up(17, 10_000) if metadata.file == "meta.json"]


def test_all_that_jobs_say_and_what_is_odd_is_among_them(texts: list[str]) -> None:
    assert [said for said in SAID if not any(said in text for text in texts)] == []


def test_one_in_sixty_is_hocon(texts: list[str]) -> None:
    assert 10_000 - len(texts) == 167


def test_the_page_of_the_differences_has_all_of_them_as_the_comparison_knows_them() -> None:
    page = (ROOT / "docs/metadata.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| .* \| 2\.", line)]
    assert rows == [as_row(row) for row in DIFFERENCES]


def test_each_difference_is_of_a_version_and_has_a_reason() -> None:
    for row in DIFFERENCES:
        assert set(row.versions) <= set(ALL)
        assert len(row.reason) > 20
