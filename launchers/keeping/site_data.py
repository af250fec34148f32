"""What a site shows to jobs: where its datasets are, and whether they and its secrets are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from flcore.disk.presence import is_there
from flcore.job_launcher_spec import Check

from ..policy.job_policy import SitePolicy
from ..policy.studies import Study
from .job_secrets import JobSecrets


def data_sources(study: Study) -> dict[str, Path]:
    """Return where the datasets of a study are on this host, by their names, with their links followed."""
    return {name: Path(path).resolve() for name, path in study.datasets.items()}


def check_data(policy: SitePolicy, secrets: JobSecrets) -> Iterator[Check]:
    """Say whether the datasets and secrets are there, those of jobs of no study and those of each."""
    studies = policy.all_studies()
    for study in studies:
        for name, source in data_sources(study).items():
            yield Check(f"dataset {study.titled(name)}", is_there(source), str(source))
    yield from secrets.check(
        [replace(secret, name=study.titled(secret.name)) for study in studies for secret in study.secrets]
    )


def check_disk(policy: SitePolicy, beside: Iterable[str]) -> Iterator[Check]:
    """Say where jobs can write without a limit, if there is one to their folders; nothing if that is nowhere."""
    limits = [policy.limits, policy.defaults, *(study.limits for study in policy.listed_studies())]
    places = ", ".join(beside)
    if places and any(limit.disk for limit in limits):
        yield Check("disk", True, f"'disk' limits a job's folder; without limit it can write to {places}", True)
