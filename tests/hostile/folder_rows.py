"""Rows that are whole job folders: what is wrong before there is any metadata, and with the files themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flcore import JobWorkflow, Site
from flcore.config.strict_json import shown
from flcore.errors import FLCoreError
from flcore.submitted_job import SubmittedJob

from .rows import GOOD_META, JOB_ID, SITE, THE_VALUE, changed, good_app


@dataclass(frozen=True)
class FolderRow:
    """A hostile job's folder, which takes the way of ``flcore run``."""

    kind: str
    title: str
    spoil: Callable[[Path], object] = field(repr=False)
    """Does to a good job's folder what is hostile."""
    says: tuple[str, ...]
    """What the error says."""
    shown_input: str

    def make(self, folder: Path) -> None:
        good_app(folder)
        (folder / "meta.json").write_text(json.dumps({**GOOD_META, "job_id": None}))
        self.spoil(folder)

    def try_on(self, sites: Sequence[Site], folder: Path) -> str:
        """Have the sites run it, and return the error. Raises AssertionError if there is none."""
        self.make(folder)
        try:
            results = JobWorkflow(SubmittedJob.read(folder), sites, JOB_ID).run()
        except FLCoreError as error:
            return f"{type(error).__name__}: {error}"
        errors = [result.error for result in results.values() if result.exit_code is None and result.error]
        assert errors, "it was launched"
        return errors[0]


def meta_file(kind: str, title: str, content: bytes | str, *says: str) -> FolderRow:
    """Return a row whose ``meta.json`` is this."""
    data = content.encode() if isinstance(content, str) else content
    return FolderRow(
        kind, title, lambda folder: (folder / "meta.json").write_bytes(data), ("meta.json", *says), shown(content)
    )


def meta_change(kind: str, title: str, key: str, value: Any, shows: Any = THE_VALUE) -> FolderRow:
    """Return a row whose ``meta.json`` is a good one but for one value, which the error shows, or a part of it."""
    says = (f"{key}: ", shown(value if shows is THE_VALUE else shows))
    row = meta_file(kind, title, json.dumps(changed((key,), value)), *says)
    return replace(row, shown_input=f"{key} = {shown(value)}")


def _deploy(folder: Path, app: str) -> None:
    (folder / "meta.json").write_text(json.dumps({"deploy_map": {app: ["@ALL"]}}))


def _link(folder: Path) -> None:
    (folder / "linked").symlink_to("/etc")
    _deploy(folder, "linked")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _secret(folder: Path) -> None:
    meta = folder / "meta.json"
    meta.rename(folder / "secret.json")
    meta.symlink_to(folder / "secret.json")


def _pipe(path: Path) -> None:
    """Put a pipe, which nobody ever writes to, in place of what is there."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


TEXTS: list[tuple[str, bytes | str, str]] = [
    ("an empty file", "", "Expecting value"),
    ("no JSON", "job_id: job-1", "Expecting value"),
    ("a JSON that is cut off", '{"job_id": "job-1"', "delimiter"),
    ("two JSONs", "{} {}", "Extra data"),
    ("a comment", "{} // privileged", "a comment; JSON has none"),
    ("a comma too many", '{"name": "x",}', ""),
    ("a newline in a text", '{"name": "a\nb"}', "Invalid control character"),
    ("metadata that are a list", "[]", "must be an object, got []"),
    ("metadata that are null", "null", "must be an object, got None"),
    ("metadata that are a text", '"job"', "must be an object, got 'job'"),
    ("a key twice", '{"deploy_map": {}, "deploy_map": {"app": ["@ALL"]}}', "'deploy_map' stands twice"),
    ("a key twice, far below", '{"a": [{"b": {"c": 1, "c": 2}}]}', "'c' stands twice"),
    ("a key twice, once in disguise", '{"name": 1, "n\\u0061me": 2}', "'name' stands twice"),
    ("NaN", '{"min_clients": NaN}', "NaN is no JSON number"),
    ("infinity", '{"min_clients": Infinity}', "Infinity is no JSON number"),
    ("minus infinity", '{"min_clients": -Infinity}', "-Infinity is no JSON number"),
    ("a number that overflows", '{"min_clients": 1e999}', "the number 1e999 is too large"),
    ("a number of 10,000 digits", f'{{"min_clients": {"9" * 10_000}}}', "digits"),
    ("33 levels, as text", '{"a": ' + "[" * 33 + "]" * 33 + "}", "nested deeper than 32 levels"),
    ("100,000 levels, as text", "[" * 100_000, "nested deeper than 32 levels"),
    ("a NUL, escaped", '{"name": "a\\u0000b"}', "holds a NUL"),
    ("a NUL in a key", '{"na\\u0000me": 1}', "holds a NUL"),
    ("a lone surrogate, escaped", '{"name": "\\ud800"}', "surrogate"),
    ("a lone surrogate in a key", '{"\\udfff": 1}', "surrogate"),
    ("no UTF-8", b'{"name": "\xff"}', "is no UTF-8"),
    ("UTF-16", '{"name": "x"}'.encode("utf-16"), "is no UTF-8"),
    ("metadata over 1 MiB", b" " * (1 << 20) + b"{}", "longer than 1048576 bytes"),
]
CLIENTS: list[tuple[str, str, Any]] = [
    ("a min_clients that is a text of no number", "min_clients", "one"),
    ("a min_clients that is true", "min_clients", True),
    ("a min_clients below zero", "min_clients", -1),
    ("a min_clients with a fraction", "min_clients", 1.5),
    ("more clients than there are", "min_clients", 10**9),
    ("mandatory clients that are a text", "mandatory_clients", SITE),
]
FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ("an app that is not there", lambda folder: _deploy(folder, "nowhere"), "'nowhere'"),
    ("an app that is a link", _link, "'linked'"),
    ("a pipe in the app", lambda folder: _pipe(folder / "app/custom/pipe"), "pipe"),
    ("metadata that are a pipe", lambda folder: _pipe(folder / "meta.json"), "meta.json"),
    ("metadata that are a folder", lambda folder: _folder(folder / "meta.json"), "meta.json"),
    ("metadata that are a link to a secret", _secret, "meta.json"),
    ("no metadata", lambda folder: (folder / "meta.json").unlink(), "meta.json"),
]

TEXT_ROWS = [meta_file("shape", *text) for text in TEXTS]
FOLDER_ROWS = [
    *TEXT_ROWS,
    *(meta_change("shape", *client) for client in CLIENTS),
    *(FolderRow("paths and workspace", title, spoil, (words,), title) for title, spoil, words in FILES),
]
