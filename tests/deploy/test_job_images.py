"""The Dockerfiles of job images: built here of Debian in place of the public bases, and a federated job runs in one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import ROOT, demo_config

from .images import DEPLOY, base_image, build, put_wheel, python_image, remove

FILES = ("Dockerfile.job", "Dockerfile.job-cuda")
JOB_IMAGE, CUDA_IMAGE = "flcore-deploy-job:1", "flcore-deploy-cuda:1"
# A job's root is read-only, and nobody's home is none: what was not compiled then would be, at each import.
LOOK = """
import importlib.util, json, os, sys, json as library, own_package
print(json.dumps({
    "user": os.getuid(),
    "home": os.environ["HOME"],
    "python": sys.executable,
    "compiled": [os.path.exists(importlib.util.cache_from_source(m.__file__)) for m in (library, own_package)],
    "cache": os.path.exists("/root/.cache/pip"),
    "gpus": os.environ.get("NVIDIA_VISIBLE_DEVICES"),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where images are built: with a wheel of a package, as of one that no index has."""
    folder = tmp_path_factory.mktemp("build")
    put_wheel(folder / "wheels", "own_package")
    return folder


@pytest.fixture(scope="module")
def job_image(docker_client: Any, folder: Path) -> Iterator[str]:
    base = python_image(docker_client, folder)
    arguments = {"BASE": base, "PACKAGES": "own-package", "PIP_NO_INDEX": "1"}
    yield build(docker_client, "Dockerfile.job", folder, JOB_IMAGE, **arguments)
    remove(docker_client, JOB_IMAGE)


@pytest.fixture(scope="module")
def cuda_image(docker_client: Any, folder: Path) -> Iterator[str]:
    arguments = {"BASE": base_image(docker_client), "PACKAGES": "own-package", "PIP_NO_INDEX": "1"}
    yield build(docker_client, "Dockerfile.job-cuda", folder, CUDA_IMAGE, **arguments)
    remove(docker_client, CUDA_IMAGE)


def looked_at(client: Any, image: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(
        client.containers.run(image, ["python3", "-c", LOOK], read_only=True, remove=True)
    )
    return said


def test_a_job_image_has_its_packages_compiled_no_cache_and_is_nobody_s(docker_client: Any, job_image: str) -> None:
    said = looked_at(docker_client, job_image)
    assert said == {
        "user": 65534,
        "home": "/tmp",
        "python": "/opt/job/bin/python3",
        "compiled": [True, True],
        "cache": False,
        "gpus": None,
    }


def test_an_image_for_cuda_has_the_same_and_shows_no_gpu_by_itself(docker_client: Any, cuda_image: str) -> None:
    said = looked_at(docker_client, cuda_image)
    assert (said["user"], said["home"], said["compiled"], said["gpus"]) == (65534, "/tmp", [True, True], "void")


def test_a_federated_job_runs_in_a_job_image(job_image: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flcore", "run", str(ROOT / "configs/jobs/digits"), "--json"]
    for site in ("server", "site-1", "site-2"):
        config = Path(demo_config(site, tmp_path))
        config.write_text(config.read_text().replace("flcore-demo:latest", job_image))
        command += ["--site", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES)
def test_an_image_gets_the_arguments_that_its_file_tells_of(file: str) -> None:
    text = (DEPLOY / file).read_text()
    declared = set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))
    told = set(re.findall(r"--build-arg (\w+)=", text))
    assert told <= declared
    assert {"BASE", "NVFLARE", "PACKAGES", "PIP_INDEX_URL"} <= declared
    assert "@sha256:" in text  # which base it should be in production


def test_the_public_base_follows_from_what_is_asked_for() -> None:
    assert "ARG PYTHON=3.12\nARG BASE=python:${PYTHON}-slim\n" in (DEPLOY / FILES[0]).read_text()
    assert "ARG BASE=nvidia/cuda:${CUDA}-${KIND}-ubuntu${UBUNTU}\n" in (DEPLOY / FILES[1]).read_text()
