"""Reading a job's metadata, which another party wrote: nothing in it is taken for granted.

Errors are :class:`JobRejectedError`, and name the job where it has an id, the path in the metadata and the value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .config.rules import whole
from .config.strict_json import check_values, shown
from .errors import JobRejectedError
from .fl_constant import JobConstants, JobMetaKey
from .plain_text import visible

__all__ = ["Deployment"]

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
IDENTIFIER = whole(_IDENTIFIER)
"""The names of jobs, sites and apps, as a JSON Schema's pattern."""
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
FOLDERS_OF_SITES = frozenset({"startup", "local", "transfer"})
"""What else NVIDIA FLARE has beside the jobs' folders in a site's workspace: its keys, its config, its files."""
_NOTHING = object()
_LONGEST_SHOWN = 200

JobMeta = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of the ``deploy_map``: an app, the sites that run it, and the image it asks for there."""

    app: str
    """The app: a folder of the job's."""
    sites: tuple[str, ...]
    """Who runs it, perhaps ``@ALL`` among them."""
    image: str | None = None
    """The image that it asks for at these; None if it asks for none."""
    path: str = field(default="deploy_map", compare=False)
    """Where in the metadata the entry stands."""

    def covers(self, site: str) -> bool:
        """Whether the entry names the site, or all sites."""
        return site in self.sites or JobConstants.ALL_SITES in self.sites


def rejection(job_meta: JobMeta, path: str, why: str, value: Any = _NOTHING) -> JobRejectedError:
    """Return the error for one value of the metadata, in one line that is safe to print, shown by its ``repr``.

    The job is named by its id if it has one; what reads a job's file names that.
    """
    got = "" if value is _NOTHING else f", got {shown(value)}"
    job_id = job_meta.get(JobMetaKey.JOB_ID)
    job = "" if job_id is None else f"job {_on_one_line(job_id if isinstance(job_id, str) else shown(job_id))}: "
    return JobRejectedError(f"{job}{_on_one_line(path)}: {why}{got}")


def is_identifier(value: Any) -> bool:
    """Whether a value can be the name of a job, site or app: safe in a path, a label and a container's name."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def check_metadata(job_meta: JobMeta) -> None:
    """Raise JobRejectedError unless it is an object with a job's id, whose values can be dealt with.

    Texts are texts, nothing is nested too deep or in itself, and no number is too large.
    """
    job_id = get_job_id(job_meta)
    try:
        check_values(job_meta)
    except ValueError as error:
        raise JobRejectedError(f"job {job_id}: its metadata cannot be read: {error}") from error


def get_job_id(job_meta: JobMeta) -> str:
    """Return the job's id."""
    if not isinstance(job_meta, Mapping):
        raise JobRejectedError(f"a job's metadata must be an object, not {type(job_meta).__name__}")
    job_id = _identifier(job_meta, JobMetaKey.JOB_ID, job_meta.get(JobMetaKey.JOB_ID))
    if job_id.lower() in FOLDERS_OF_SITES:
        raise rejection(job_meta, JobMetaKey.JOB_ID, "is the name of a folder of the site's own", job_id)
    return job_id


def study_in(job_meta: JobMeta) -> str:
    """Return the study that a job names; empty if that is none, by NVIDIA FLARE's word too, or no text.

    Other parties made it up. Never raises.
    """
    study = job_meta.get(JobMetaKey.STUDY)
    return study if isinstance(study, str) and study != JobConstants.DEFAULT_STUDY else ""


def get_deployments(job_meta: JobMeta) -> tuple[Deployment, ...]:
    """Return the entries of ``deploy_map`` in their order.

    An entry is a site's name, ``@ALL``, or ``{"sites": [...], "image": …}`` (an image: NVIDIA FLARE 2.6 and 2.7), where
    ``targets`` is another word for ``sites``. An app has a list of them or, as from NVIDIA FLARE 2.8 on, just one.
    """
    deploy_map = get_object(job_meta, JobMetaKey.DEPLOY_MAP, job_meta.get(JobMetaKey.DEPLOY_MAP, {}))
    return tuple(
        _deployment(job_meta, app, entry, path)
        for app, value in deploy_map.items()
        for path, entry in _entries(job_meta, f"deploy_map.{app}", value)
    )


def check_one_app_each(job_meta: JobMeta) -> None:
    """Raise JobRejectedError for a site that two apps name, as NVIDIA FLARE does: it would run only one of them.

    An app for all sites is that of those that no app before it names; behind it there is none left to name.
    """
    apps: dict[str, str] = {}
    for entry in get_deployments(job_meta):
        for site in entry.sites:
            app = apps.get(site) or apps.get(JobConstants.ALL_SITES) or entry.app
            if app != entry.app:
                raise rejection(job_meta, entry.path, f"a site runs one app, and {app} is this one's already", site)
            apps[site] = app


def get_app(job_meta: JobMeta, site: str) -> str | None:
    """Return the name of the app that a site runs; None if the job is not for this site."""
    return next((entry.app for entry in get_deployments(job_meta) if entry.covers(site)), None)


def get_min_clients(job_meta: JobMeta, clients: int) -> int:
    """Return how many clients the job needs: ``min_clients``, or all of them where it does not say.

    As NVIDIA FLARE's, it may be a text, or a float; that of a part of a client is refused.
    """
    value = job_meta.get(JobMetaKey.MIN_CLIENTS)
    if value is None:
        return clients
    number = _whole_number(value)
    if number is None or not 0 <= number <= clients:
        raise rejection(job_meta, "min_clients", f"must be a number from 0 to {clients}, its clients", value)
    return number


def get_mandatory_clients(job_meta: JobMeta, clients: Collection[str]) -> frozenset[str]:
    """Return the clients without which the job fails: ``mandatory_clients``, or none where it does not say."""
    names = job_meta.get(JobMetaKey.MANDATORY_CLIENTS)
    for name in _list(job_meta, "mandatory_clients", [] if names is None else names):
        if name not in clients:
            raise rejection(job_meta, "mandatory_clients", f"must be among its clients, {', '.join(clients)}", name)
    return frozenset(names or ())


def get_object(job_meta: JobMeta, path: str, value: Any, allowed: frozenset[str] | None = None) -> JobMeta:
    """Return a value that must be an object, with no other keys than ``allowed`` (None: any)."""
    if not isinstance(value, Mapping):
        raise rejection(job_meta, path, "must be an object", value)
    for key in value:
        if allowed is not None and key not in allowed:
            known = ", ".join(sorted(allowed))
            raise rejection(job_meta, f"{path}.{key}", f"unknown key; known are {known}", value[key])
    return value


def _on_one_line(text: str) -> str:
    """Return a text of the metadata with escapes for what is not printable, cut to 200 characters."""
    return visible(text[:_LONGEST_SHOWN])[:_LONGEST_SHOWN]


def _whole_number(value: Any) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return int(value) if type(value) is int or (type(value) is float and value.is_integer()) else None


def _entries(job_meta: JobMeta, path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of an app, each with its path."""
    if isinstance(value, str | Mapping):
        yield path, value
    else:
        yield from ((f"{path}[{index}]", entry) for index, entry in enumerate(_list(job_meta, path, value)))


def _deployment(job_meta: JobMeta, app: str, entry: Any, path: str) -> Deployment:
    _identifier(job_meta, path, app)
    if isinstance(entry, str):
        return Deployment(app, (_site(job_meta, path, entry),), path=path)
    allowed = frozenset({JobConstants.SITES, JobConstants.TARGETS, JobConstants.JOB_IMAGE})
    fields = get_object(job_meta, path, entry, allowed)
    sites = _sites(job_meta, path, fields)
    image = fields.get(JobConstants.JOB_IMAGE)
    if image is not None and not isinstance(image, str):
        raise rejection(job_meta, f"{path}.image", "must be a string", image)
    return Deployment(app, sites, image, path)


def _sites(job_meta: JobMeta, path: str, fields: JobMeta) -> tuple[str, ...]:
    """Return the sites of an entry that is an object."""
    sites, targets = fields.get(JobConstants.SITES), fields.get(JobConstants.TARGETS)
    name = JobConstants.SITES if targets is None else JobConstants.TARGETS
    if sites is not None and targets is not None and sites != targets:
        raise rejection(job_meta, f"{path}.{name}", "must be the same as 'sites', or one of them must go", targets)
    named = _list(job_meta, f"{path}.{name}", fields.get(name))
    return tuple(_site(job_meta, f"{path}.{name}", site) for site in named)


def _site(job_meta: JobMeta, path: str, value: Any) -> str:
    if isinstance(value, str) and value.upper() == JobConstants.ALL_SITES:  # NVIDIA FLARE takes it in any case
        return JobConstants.ALL_SITES
    return _identifier(job_meta, path, value)


def _identifier(job_meta: JobMeta, path: str, value: Any) -> str:
    if not is_identifier(value):
        why = "must be 1 to 128 letters, digits, '.', '_' or '-', and begin with a letter or digit"
        raise rejection(job_meta, path, why, value)
    return str(value)


def _list(job_meta: JobMeta, path: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise rejection(job_meta, path, "must be a list", value)
    return value
