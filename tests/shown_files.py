"""What a small engine shows of a container's files."""

from __future__ import annotations

import base64
import io
import json
import tarfile

from tests.small_engine import SmallEngine

_ARCHIVE = "GET /containers/0123/archive"


def show(engine: SmallEngine, path: str, content: bytes = b"", target: str = "") -> None:
    """Have a container have a file, or a link that leads to ``target``; at other paths it has nothing."""
    mode = 1 << 27 | 0o777 if target else 0o644
    stat = {"name": path.rpartition("/")[2], "size": len(content), "mode": mode, "linkTarget": target}
    request = f"{_ARCHIVE}?{path}"
    engine.answers.setdefault(_ARCHIVE, (404, {"message": "Could not find the file"}))
    engine.answers[request] = (200, _archive(stat["name"], content, target))
    engine.heads[request] = {"X-Docker-Container-Path-Stat": base64.b64encode(json.dumps(stat).encode()).decode()}


def show_nvflare(engine: SmallEngine, version: str) -> None:
    """Have a container have an interpreter, and this NVIDIA FLARE."""
    packages = "/usr/local/lib/python3.12/site-packages"
    show(engine, "/usr/local/bin/python3", target="/usr/local/bin/python3.12")
    show(engine, packages)
    show(
        engine, f"{packages}/nvflare/_version.py", f'version_json = \'\'\'\n{{\n "version": "{version}"\n}}\n'.encode()
    )


def _archive(name: object, content: bytes, target: str) -> bytes:
    member = tarfile.TarInfo(str(name))
    member.size, member.linkname = len(content), target
    member.type = tarfile.SYMTYPE if target else tarfile.REGTYPE
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(member, io.BytesIO(content))
        return file.getvalue()
