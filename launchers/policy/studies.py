"""What a site shows and allows the jobs of a study: that, and nothing of what it has for other studies. Pure.

A job says in its metadata of which study it is. A study's part of the site's config never gives more than the site's
own keys allow: its limits hold beside the site's, and an image must be on both lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flcore.fl_constant import JobConstants, JobMetaKey
from flcore.job_meta import JobMeta, is_identifier, rejection

from ..container_spec import JobNetwork, Secret
from .image_reference import ImageRule
from .resources import Resources, in_words

_AS_NVIDIA_FLARE_SAYS = {"image": "container.image", "secrets": "secret_env and secret_mounts"}
"""Keys that its file calls otherwise."""


@dataclass(frozen=True, slots=True)
class Study:
    """What the jobs of one study see and get, or those of none, who get what the site's own keys say."""

    name: str = ""
    """Empty for jobs of none."""
    datasets: Mapping[str, str] = field(default_factory=dict)
    """``name -> absolute path``: all that they see."""
    secrets: tuple[Secret, ...] = ()
    """All that they see."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables beside the site's own, and in place of them."""
    image: str | None = None
    """For those that name none; None: the site's own."""
    images: tuple[ImageRule, ...] | None = None
    """Which images they may name, of those that the site allows; None: all of these."""
    limits: Resources = field(default_factory=Resources)
    """The most that they may ask for; what is not said here, the site says."""
    network: JobNetwork = ""
    """The network that they join; empty: the site's own."""

    folder: str = ""
    """Where they see the datasets, below where all see theirs: empty, or with a slash at its end."""
    said_in: str = ""
    """The place that says all this, if that is not the launcher's config."""

    def key_of(self, name: str) -> str:
        """Return the key that says what they get, in words."""
        of_config = f"studies.{self.name}.{name}" if self.name else name
        return f"{self.said_in}.{_AS_NVIDIA_FLARE_SAYS.get(name, name)}" if self.said_in else of_config

    @property
    def replaces(self) -> bool:
        """Whether the site's own keys say nothing of what they see."""
        return bool(self.name or self.said_in)

    def titled(self, name: str) -> str:
        """Return a name of one of its things, and whose that is."""
        return f"{name} of the study {self.name}" if self.name else name


_NONE = (None, "", JobConstants.DEFAULT_STUDY)


def named_study(job_meta: JobMeta) -> str:
    """Return the study that a job names; empty if it names none, or NVIDIA FLARE's word for that.

    Raises JobRejectedError for what is no name.
    """
    name = job_meta.get(JobMetaKey.STUDY)
    if name in _NONE:
        return ""
    if not is_identifier(name):
        raise rejection(job_meta, JobMetaKey.STUDY, "must be a study's name: letters, digits, '.', '_' or '-'", name)
    return str(name)


def study_of(job_meta: JobMeta, site: str, own: Study, studies: Mapping[str, Study] | None, *, required: bool) -> Study:
    """Return what a job's study gets: that which its metadata names, or none. Raises JobRejectedError.

    Args:
        own: what jobs of none get.
        studies: the site's, by name; None: to this site a study is only a word.
        required: a job must name one.
    """
    name = named_study(job_meta)
    if not name and required:
        why = f"site {site} runs jobs of its studies only ('study_required'), and this one names none"
        raise rejection(job_meta, JobMetaKey.STUDY, why)
    if not name or studies is None:
        return own
    if name not in studies:
        raise rejection(job_meta, JobMetaKey.STUDY, f"is no study of site {site} ('studies')", name)
    return studies[name]


def narrowed(whole: Resources, to: Resources) -> Resources:
    """Return the smaller of two, for each resource."""
    said = {name: min(value, whole.said().get(name, value)) for name, value in to.said().items()}
    return Resources(**{**whole.said(), **said})


def capped(defaults: Resources, limits: Resources) -> Resources:
    """Return what jobs get that do not ask, no more than they may ask for."""
    return Resources(**{name: min(value, limits.said().get(name, value)) for name, value in defaults.said().items()})


def too_wide(study: Study, limits: Resources) -> list[str]:
    """Say which of a study's limits are beyond its site's: a line each."""
    return [
        f"studies.{study.name}.limits.{key} must be no more than limits.{key}, {in_words(key, limit)}, "
        f"got {in_words(key, wanted)}"
        for key, limit in limits.said().items()
        if (wanted := study.limits.said().get(key, limit)) > limit
    ]
