"""README.md as a package index shows it, which has none of the files that it links to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

README = "README.md"
FILE = "LONG_DESCRIPTION.md"
"""In the sources of a release; no file of the checkout's."""

_FENCE = re.compile(r"^(```|~~~)")
_LINK_OR_CODE = re.compile(r"(?P<image>!?)\[(?P<label>[^\[\]]*)\]\((?P<target>[^()\s]+)\)|(?P<ticks>`+).*?(?P=ticks)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


class DeadLinkError(Exception):
    """A link leads to a file that there is not."""


def long_description(readme: str, folder: Path, url: str) -> str:
    """Return it with links to files leading below ``url``, or without one naming the files. Raises DeadLinkError."""
    in_code = False
    lines = []
    for line in readme.splitlines():
        is_fence = bool(_FENCE.match(line))
        in_code ^= is_fence
        lines.append(line if in_code or is_fence else _LINK_OR_CODE.sub(_shown(folder, url.rstrip("/")), line))
    return "\n".join(lines) + "\n"


def _shown(folder: Path, url: str) -> Callable[[re.Match[str]], str]:
    def shown(found: re.Match[str]) -> str:
        target = found["target"]
        if target is None or _ELSEWHERE.match(target):
            return found[0]
        path, hash_sign, place = target.partition("#")
        if not (folder / path).exists():
            raise DeadLinkError(f"{README} links to {path}, which is no file of the release")
        if url:
            return (
                f"{found['image']}[{found['label']}]({_below(url, found['image'])}/{path or README}{hash_sign}{place})"
            )
        return found["label"] if found["image"] or not path else _with_name(found["label"], path)

    return shown


def _with_name(label: str, path: str) -> str:
    return label if path in label else f"{label} (`{path}`)"


def _below(url: str, image: str) -> str:
    """Return where files are shown, or for images where they are as they are."""
    return url.replace("/blob/", "/raw/", 1) if image else url
