"""A row of the table: a good job with one thing in it that is not, and what the refusal must say."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flcore import JobWorkflow, Site
from flcore.errors import FLCoreError
from flcore.job_meta import is_identifier
from flcore.strict_json import shown
from flcore.workflow import JobFolder

SITE = "hostile-site"
JOB_ID = "hostile-job"
IMAGE = "flcore-demo:latest"

SITE_ARGS: dict[str, Any] = {
    "image": IMAGE,
    "images": ["flcore-demo:latest", "registry.example.com/team/*", "pinned@sha256:" + "1" * 64, "job:1.*"],
    "job_env_prefixes": ["JOB_"],
    "limits": {"num_of_cpus": 2, "memory": "256Mi", "shm_size": "64Mi"},
}
"""What the site says of its jobs."""

GOOD_META: dict[str, Any] = {
    "job_id": JOB_ID,
    "name": "hostile",
    "min_clients": 1,
    "deploy_map": {"app": ["server", {"sites": [SITE], "image": IMAGE}]},
    "resource_spec": {SITE: {"num_of_cpus": 1, "memory": "64Mi"}},
    "launcher_spec": {SITE: {"docker": {"shm_size": "16Mi"}}},
}
GOOD_ARGS: dict[str, Any] = {"exe_module": ("-m", "json.tool"), "options": ("--set", "a=1 b=2")}

Place = tuple[str | int, ...]
_THE_VALUE = object()


def changed(place: Place, value: Any) -> dict[str, Any]:
    """Return the good metadata with a value in one place; a list gets it at its end."""
    meta: Any = copy.deepcopy(GOOD_META)
    here, last = meta, place[-1]
    for key in place[:-1]:
        here = here[key] if isinstance(key, int) else here.setdefault(key, {})
    if isinstance(here, list):
        here.append(value)
    else:
        here[last] = value
    return dict(meta)


def path_of(place: Place) -> str:
    """Return a place as errors name it."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)[1:]


@dataclass(frozen=True)
class Row:
    """A hostile value in the metadata, or the arguments, of a good job."""

    kind: str
    title: str
    place: Place
    value: Any = field(repr=False)
    key: str = ""
    """The site's key that would allow it."""
    path: str = ""
    """Where the error says it stands; by default the place."""
    shows: Any = _THE_VALUE
    """What the error shows; by default the value."""
    words: tuple[str, ...] = ()
    """What the error says beside the job, in place of the path, the value and the key."""
    in_arguments: bool = False

    @property
    def meta(self) -> dict[str, Any]:
        return GOOD_META if self.in_arguments else changed(self.place, self.value)

    @property
    def says(self) -> list[str]:
        """Return all that must stand in the error."""
        job_id = self.meta.get("job_id")
        job = [f"job {job_id}: "] if is_identifier(job_id) else []
        if self.words:
            return [*job, *self.words]
        value = self.value if self.shows is _THE_VALUE else self.shows
        return [*job, f"{self.path or path_of(self.place)}: ", shown(value), *([f"'{self.key}'"] if self.key else [])]

    def try_on(self, sites: Sequence[Site], folder: Path) -> str:
        """Have the last of the sites launch it, and return the error. Raises AssertionError if there is none."""
        arguments = GOOD_ARGS | ({str(self.place[0]): self.value} if self.in_arguments else {})
        try:
            handle = sites[-1].launch_job(self.meta, arguments, _app(folder))
        except FLCoreError as error:
            return f"{type(error).__name__}: {error}"
        handle.terminate()
        raise AssertionError("it was launched")

    @property
    def shown_input(self) -> str:
        """Return the row as the printed table has it."""
        return f"{path_of(self.place)} = {shown(self.value)}"


@dataclass(frozen=True)
class FolderRow:
    """A hostile job's folder, which takes the way of ``flcore run``."""

    kind: str
    title: str
    make: Callable[[Path], object] = field(repr=False)
    """Does to a good job's folder what is hostile."""
    says: list[str]
    shown_input: str

    def try_on(self, sites: Sequence[Site], folder: Path) -> str:
        """Have the sites run it, and return the error. Raises AssertionError if there is none."""
        _good_folder(folder)
        self.make(folder)
        try:
            results = JobWorkflow(JobFolder.read(folder), sites, JOB_ID).run()
        except FLCoreError as error:
            return f"{type(error).__name__}: {error}"
        errors = [result.error for result in results.values() if result.exit_code is None]
        if not errors:
            raise AssertionError("it was launched")
        return errors[0]


AnyRow = Row | FolderRow


def group(kind: str, place: Place, values: Mapping[str, Any], **more: Any) -> Iterator[Row]:
    """Yield a row for each of the values, by their titles, in one place."""
    return (Row(kind, title, place, value, **more) for title, value in values.items())


def meta_file(kind: str, title: str, content: bytes | str, *says: str) -> FolderRow:
    """Return a row whose ``meta.json`` is this."""
    data = content.encode() if isinstance(content, str) else content
    return FolderRow(
        kind, title, lambda folder: (folder / "meta.json").write_bytes(data), ["meta.json", *says], shown(content)
    )


def meta_change(kind: str, title: str, key: str, value: Any, shows: Any = _THE_VALUE) -> FolderRow:
    """Return a row whose ``meta.json`` is a good one but for one value, which the error shows, or a part of it."""
    says = (f"{key}: ", shown(value if shows is _THE_VALUE else shows))
    row = meta_file(kind, title, json.dumps(changed((key,), value)), *says)
    return replace(row, shown_input=f"{key} = {shown(value)}")


def problems_of(row: AnyRow, error: str) -> list[str]:
    """Return what is wrong with an error: it is one printable line, not too long, and says what it must."""
    wrong = [] if error.isprintable() else ["it is not one printable line"]
    wrong += [] if len(error) < 900 else [f"it has {len(error)} characters"]
    return wrong + [f"it does not say {words!r}" for words in row.says if words not in error]


def _good_folder(folder: Path) -> None:
    _app(folder)
    (folder / "meta.json").write_text(json.dumps({**GOOD_META, "job_id": None}))


def _app(folder: Path) -> Path:
    """Return a good app, made in the folder."""
    app = folder / "app"
    (app / "custom").mkdir(parents=True, exist_ok=True)
    (app / "custom" / "job.py").write_text("print('hello')\n")
    return app


def fifo(path: Path) -> None:
    """Put a pipe, which nobody ever writes to, in place of what is there."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)
