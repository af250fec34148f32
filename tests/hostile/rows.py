"""A row of the table: the metadata of a good job with one thing that is not, and what the refusal must say."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flcore import Site
from flcore.config.strict_json import shown
from flcore.errors import FLCoreError
from flcore.job_meta import is_identifier

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
GOOD_ARGS: dict[str, Any] = {"exe_module": ("-m", "this"), "options": ("--set", "a=1 b=2")}

Place = tuple[str | int, ...]
THE_VALUE = object()
"""What an error shows where a row does not say."""


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


def escaped(text: str) -> str:
    """Return a text as it stands where it is no value, such as in a path."""
    return text if text.isprintable() else repr(text)[1:-1]


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
    shows: Any = THE_VALUE
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
        value = self.value if self.shows is THE_VALUE else self.shows
        return [*job, f"{self.path or path_of(self.place)}: ", shown(value), *([f"'{self.key}'"] if self.key else [])]

    def try_on(self, sites: Sequence[Site], folder: Path) -> str:
        """Have the last of the sites launch it, and return the error. Raises AssertionError if there is none."""
        arguments = GOOD_ARGS | ({str(self.place[0]): self.value} if self.in_arguments else {})
        try:
            handle = sites[-1].launch_job(self.meta, arguments, good_app(folder))
        except FLCoreError as error:
            return f"{type(error).__name__}: {error}"
        handle.terminate()
        raise AssertionError("it was launched")

    @property
    def shown_input(self) -> str:
        """Return the row as the printed table has it."""
        return f"{escaped(path_of(self.place))} = {shown(self.value)}"


def group(kind: str, place: Place, values: Mapping[str, Any], **more: Any) -> list[Row]:
    """Return a row for each of the values, by their titles, in one place."""
    return [Row(kind, title, place, value, **more) for title, value in values.items()]


def variables(names: Mapping[str, str], **more: Any) -> list[Row]:
    """Return a row for each of the names of variables, by their titles."""
    place = ("launcher_spec", SITE, "docker", "env")
    return [Row("environment", title, place, {name: "1"}, shows=name, **more) for title, name in names.items()]


def good_app(folder: Path) -> Path:
    """Return an app without a fault, made in the folder."""
    app = folder / "app"
    (app / "custom").mkdir(parents=True, exist_ok=True)
    (app / "custom" / "job.py").write_text("print('hello')\n")
    return app


def problems_of(error: str, says: Sequence[str]) -> list[str]:
    """Return what is wrong with an error: it is one printable line, not too long, and says what it must."""
    wrong = [] if error.isprintable() else ["it is not one printable line"]
    wrong += [] if len(error) < 900 else [f"it has {len(error)} characters"]
    return wrong + [f"it does not say {words!r}" for words in says if words not in error]
