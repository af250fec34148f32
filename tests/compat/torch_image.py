"""The image of jobs that need PyTorch: that of all others, and Debian's PyTorch and NumPy on top.

What PyPI has of PyTorch for Linux on x86 needs gigabytes of CUDA; Debian's does without, and brings the NumPy that it
was built for.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import docker

from launchers.first_site import python_image
from launchers.runtime.docker import DockerRuntime
from tests.engines.roots import Root

from .environments import Flare
from .image import REPOSITORY, contents_of, image, one_at_a_time

REPOSITORIES = f"{REPOSITORY}-torch-*"
"""What a site lets jobs name."""
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""By version of Python, which release of Debian has PyTorch for it."""
_DEBIAN_PACKAGES = ("python3-torch", "bash", "coreutils", "libc-bin")
"""Those after the first are for ``ldd``."""
_PACKAGES = Path("usr/lib/python3/dist-packages")
_WANTED = ("torch", "torchgen", "functorch", "numpy")
"""All else that they need is in NVIDIA FLARE's environment."""
_NOT_NEEDED = shutil.ignore_patterns("include", "test", "tests", "test_*", "*Test")
# Before the environment's own NumPy, which Debian's PyTorch was not built for.
_PATH_FILE = f"import sys; sys.path.insert(0, '/{_PACKAGES}')\n"
# What it imports is compiled then, by root: else each job would compile it again, whose root is read-only.
_TRY = """
import numpy, torch
import nvflare.app_opt.pt, nvflare.app_opt.pt.decomposers
assert torch.ones(3).numpy().sum() == 3
"""
_TIMEOUT = 300


def why_not() -> str | None:
    """Why it cannot be made here; None if it can."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    if system.get("VERSION_CODENAME", "") != SUITES.get(sys.version_info[:2]):
        here = f"{system.get('PRETTY_NAME', platform.system())} with Python {platform.python_version()}"
        return f"PyTorch without CUDA is Debian's, for the version of Python that its release has; here is {here}"
    return "only root can unpack Debian's PyTorch" if os.geteuid() else None


def torch_image(flare: Flare, docker_host: str) -> str:
    """Return the image's name; make it if it is missing, which takes a minute or two."""
    base, root = image(flare, docker_host), Root(SUITES[sys.version_info[:2]], _DEBIAN_PACKAGES)
    repository = base.partition(":")[0].replace(REPOSITORY, f"{REPOSITORY}-torch", 1)
    recipes = [Path(path).read_text() for path in (__file__, python_image.__file__)]
    tag = python_image.fingerprint(recipes, base, root.path.name)
    with one_at_a_time(), closing(docker.DockerClient(docker_host, timeout=_TIMEOUT)) as client:
        images = DockerRuntime(client=client).images
        if images.find(f"{repository}:{tag}") is None:
            began = time.monotonic()
            root.make()
            _add(client, base, root.path, _libraries(root.path, flare), f"{repository}:{tag}")
            images.remove_older(f"{repository}:{tag}", python_image.FINGERPRINT)
            size = client.images.get(f"{repository}:{tag}").attrs["Size"] / 1e6
            print(f"made {repository}:{tag}, {size:.0f} MB, in {time.monotonic() - began:.0f} s", flush=True)
    return f"{repository}:{tag}"


def _libraries(root: Path, flare: Flare) -> dict[str, Path]:
    """Return the shared libraries that are not in the image yet, as ``name in it: path here``."""
    modules = [path for name in _WANTED for path in (root / _PACKAGES / name).rglob("*.so") if path.is_file()]
    inside = [Path("/", path.relative_to(root)) for path in modules]
    # BLAS is in a folder of its own, where the loader would find it if the packages' scripts had run.
    folders = {f"/{path.parent.relative_to(root)}" for path in root.glob("usr/lib/*/*/lib*.so.*")}
    ldd = ["chroot", str(root), "env", f"LD_LIBRARY_PATH={':'.join(sorted(folders))}", "ldd"]
    there = python_image.libraries_of(contents_of(flare))
    home = next(Path(name).parent for name in there if name.endswith("/libc.so.6"))
    linked = python_image.linked_libraries(inside, ldd)
    needed = {str(home / name): root / str(path).lstrip("/") for name, path in linked.items()}
    # What PyTorch opens by a link of its own, so that no binary names it.
    needed |= {str(home / path.readlink().name): path for path in modules if path.is_symlink()}
    return {name: path for name, path in needed.items() if name not in there}


def _add(client: docker.DockerClient, base: str, root: Path, libraries: dict[str, Path], name: str) -> None:
    """Make the image, in which PyTorch has been seen to work."""
    container = client.containers.create(base, ["python3", "-c", _TRY])
    try:
        with tempfile.TemporaryFile() as file:
            _write_tar(file, root, libraries)
            file.seek(0)
            container.put_archive("/", file)
        container.start()
        if container.wait()["StatusCode"]:
            raise RuntimeError(f"PyTorch does not work in {name}: {container.logs().decode()}")
        container.commit(*name.split(":"), changes=python_image.CHANGES)
    finally:
        container.remove(force=True)


def _write_tar(file: Any, root: Path, libraries: dict[str, Path]) -> None:
    site = Path("usr/local", sys.platlibdir, python_image.STDLIB.name, "site-packages/debian.pth")
    with tempfile.NamedTemporaryFile("w") as path_file, tarfile.open(fileobj=file, mode="w") as tar:
        path_file.write(_PATH_FILE)
        path_file.flush()
        tar.add(path_file.name, str(site), filter=python_image.as_roots)
        for name in _WANTED:
            tar.add(root / _PACKAGES / name, str(_PACKAGES / name), filter=_needed)
        for name, path in libraries.items():
            tar.add(path.resolve(), name, filter=python_image.as_roots)


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if _NOT_NEEDED("", [Path(member.name).name]) else python_image.as_roots(member)
