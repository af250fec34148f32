"""What a site shows to jobs: where its datasets are, and whether they and its secrets are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from flcore.disk import project_quota
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_there
from flcore.job_launcher_spec import Check

from ..policy.job_policy import SitePolicy
from ..policy.studies import Study
from .job_secrets import JobSecrets


def data_sources(study: Study) -> dict[str, Path]:
    """Return where the datasets of a study are on this host, by their names, with their links followed."""
    return {name: Path(path).resolve() for name, path in study.datasets.items()}


BY_QUOTA = "by project quota, which a hostile job can evade where the engine has no user namespaces (userns-remap)"


def check_data(policy: SitePolicy, secrets: JobSecrets) -> Iterator[Check]:
    """Say whether the datasets and secrets are there, those of jobs of no study and those of each."""
    studies = policy.all_studies()
    for study in studies:
        for name, source in data_sources(study).items():
            yield Check(f"dataset {study.titled(name)}", is_there(source), str(source))
    yield from secrets.check(
        [replace(secret, name=study.titled(secret.name)) for study in studies for secret in study.secrets]
    )


def check_disk(policy: SitePolicy, beside: Iterable[str], workspace: Path | None) -> Iterator[Check]:
    """If there is a limit to jobs' folders: say how they are held to it, and where they can write without one."""
    limits = [policy.limits, policy.defaults, *(study.limits for study in policy.listed_studies())]
    if not any(limit.disk for limit in limits):
        return
    if workspace:
        yield Check("disk", True, _how_limited(workspace))
    if places := ", ".join(beside):
        yield Check("disk", True, f"'disk' limits a job's folder; without limit it can write to {places}", True)


def _how_limited(workspace: Path) -> str:
    """Say how the folders of jobs are held to their limit; a workspace that is not there yet is where it will be."""
    there = next(place for place in (workspace, *workspace.parents) if is_there(place))
    try:
        why_none = project_quota.why_none(there)
    except OSError as error:
        why_none = in_words(error)
    return f"measured now and then: {why_none}" if why_none else BY_QUOTA
