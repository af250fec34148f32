"""What a job sees of a site by what it will be launched with, and how far it may go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flcore.job_scope import JobScope, SeenDataset

from ..container_spec import LABEL_STUDY, ContainerSpec, Mount, Secret
from .job_policy import SitePolicy
from .resources import in_words


def scope_of(
    spec: ContainerSpec, policy: SitePolicy, datasets: Mapping[str, Mount], mounts: Iterable[Mount]
) -> JobScope:
    """Return what a job sees, and may ask for.

    Args:
        spec: with all that tells the job where its secrets are.
        policy: of its study.
        datasets: the data that it sees, by their names.
        mounts: what else of the host it sees.
    """
    gpus = {} if policy.gpus is None else {"num_of_gpus": policy.gpus}
    limits = {**gpus, **policy.limits.said()}
    return JobScope(
        study=spec.labels.get(LABEL_STUDY, ""),
        is_listed=policy.studies is not None,
        datasets=tuple(SeenDataset(name, dataset.target, dataset.source) for name, dataset in datasets.items()),
        mounts=tuple(SeenDataset("", mount.target, mount.source, mount.read_only) for mount in mounts),
        secrets={secret.name: _told(secret, spec) for secret in policy.study.secrets},
        image=spec.image if policy.images is not None else "",
        images=_images(policy),
        limits={name: in_words(name, most).removesuffix(".0") for name, most in limits.items()},
        network=str(spec.own_network or spec.network),
    )


def _told(secret: Secret, spec: ContainerSpec) -> str:
    path = secret.target or spec.environment.get(secret.path_variable, "")
    told = f"{secret.source}, as the file {path}"
    return f"{told}, and in the variable {secret.to_env}" if secret.to_env else told


def _images(policy: SitePolicy) -> tuple[tuple[str, ...], ...] | None:
    """Return which images may be named: the study's list, if it has one, and the site's."""
    if policy.images is None:
        return None
    lists = (policy.images,) if policy.study.images is None else (policy.study.images, policy.images)
    return tuple(tuple(map(str, rules)) for rules in lists)
