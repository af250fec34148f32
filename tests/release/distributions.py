"""The source distribution and the wheel of a release: of the same commit, the same bytes, wherever they are built."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .sources import ReleaseError, Sources

_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"


def build(sources: Sources, to: Path) -> tuple[Path, Path]:
    """Build both, the wheel of what the source distribution holds, by the setuptools that are installed here."""
    to = to.resolve()
    to.mkdir(parents=True, exist_ok=True)
    sdist = to / _built("sdist", sources.folder, to, sources.committed)
    sdist.write_bytes(normalised(sdist.read_bytes(), sources.committed))
    with tempfile.TemporaryDirectory() as folder:
        wheel = to / _built("wheel", unpack(sdist, Path(folder)), to, sources.committed)
    return sdist, wheel


def unpack(sdist: Path, folder: Path) -> Path:
    """Return the folder that it holds."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def normalised(archive: bytes, committed: int) -> bytes:
    """Return a compressed archive without what is of its builder alone: his clock, name, umask, and disk's order."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as given,
        gzip.GzipFile("", "wb", fileobj=out, mtime=committed) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as told,
    ):
        for member in sorted(given.getmembers(), key=lambda member: member.name):
            content = given.extractfile(member)
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.mtime, member.uid, member.gid, member.uname, member.gname = committed, 0, 0, "", ""
            member.pax_headers = {}
            told.addfile(member, content)
    return out.getvalue()


def _built(kind: str, source: Path, to: Path, committed: int) -> str:
    """Return the name of what was built."""
    same = {"SOURCE_DATE_EPOCH": str(committed), "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _BUILD.format(kind=kind), to],
        cwd=source, env={**os.environ, **same}, umask=0o022, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ReleaseError(f"the {kind} cannot be built: {done.stdout}{done.stderr}")
    return done.stdout.splitlines()[-1]
