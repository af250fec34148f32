"""What a job asks for, checked against what the site allows. Pure: no engine, disk or clock.

A job's metadata comes from another party. It may ask for an image, for resources and for environment variables; where
from, is in :func:`resolve`. Every refusal is a JobRejectedError that names the job, the path in its metadata, the value
and the site's key that would allow it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

from flcore.config.problems import Problems
from flcore.config.sizes import UNITS
from flcore.fl_constant import JobConstants, JobMetaKey
from flcore.job_meta import JobMeta, check_metadata, get_deployments, get_job_id, get_object, rejection, study_in

from ..container_spec import JobNetwork
from .argv_limits import VARIABLE_NAME, check_words
from .asked_command import asked_entrypoint, asked_python
from .image_reference import ImageName, ImageRule, allowed_digests
from .job_words import Word, read_words
from .resources import RESOURCE_NAMES, Resources, in_words, parse_asked
from .studies import Study, capped, named_study, narrowed, study_of, too_wide

_MAX_GPU_MEMORY = 1 << 20
"""GiB; beyond, nobody means it."""
_ONLY_IF_ASKED = frozenset({"num_of_gpus"})
"""What a job gets none of unless it asks or the site has a default; of the others, the limit."""
_NAME_LENGTH = 63
_PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LIKE_OURS = re.compile(r".*-h[0-9a-f]{12}|[0-9a-f]{12,}", re.ASCII)
"""Plain names that could be one with a hash, or a container's id."""
_RESERVED_VARIABLE = re.compile(
    r"LD_.*|PATH|PYTHON.*|.*_PROXY|DOCKER_.*|NVFLARE_.*|FLCORE_.*|HOME|IFS|NVIDIA_.*|CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """What a site allows a job to ask for, and what it gives where a job does not ask."""

    image: str | None = None
    """For jobs that name none."""
    images: tuple[ImageRule, ...] | None = ()
    """Which images a job may name, beside ``image``; None where jobs run without one."""
    job_env_prefixes: tuple[str, ...] = ()
    limits: Resources = field(default_factory=Resources)
    defaults: Resources = field(default_factory=Resources)
    gpus: int | None = 0
    """How many the site has; None: it finds out later."""
    gpu_memory: int | None = None
    """Bytes that each of them has; None: not said."""
    python: str = ""
    """The interpreter of jobs that name none, and"""
    python_paths: tuple[str, ...] = ()
    """those that a job may name beside it."""
    entrypoint: tuple[str, ...] = ()
    """Words before every job's command, and"""
    entrypoints: tuple[tuple[str, ...], ...] = ()
    """those that a job may want there, too."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What it has of a container's options that only a site may set: a job may ask for just that."""
    study: Study = field(default_factory=Study)
    """What jobs of no study get; in what :meth:`within` returns, what those of one get."""
    studies: Mapping[str, Study] | None = None
    """The site's studies, by name; None: to this site a study is only a word."""
    study_required: bool = False
    """A job must name one of them."""

    def all_studies(self) -> tuple[Study, ...]:
        """Return what jobs of no study get, and each of the site's studies."""
        return (self.study, *self.listed_studies())

    def listed_studies(self) -> Collection[Study]:
        """Return the site's studies; none where a study is only a word."""
        return (self.studies or {}).values()

    def study_in(self, job_meta: JobMeta) -> Study:
        """Return what the study gets that a job names; one that is not listed counts as none: the launch refuses it."""
        return (self.studies or {}).get(study_in(job_meta), self.study)

    def within(self, study: Study) -> Self:
        """Return what holds for the jobs of a study: never more than for those of none."""
        limits = narrowed(self.limits, study.limits)
        options = {**self.options, "network": str(study.network)} if study.network else self.options
        defaults = capped(self.defaults, limits)
        image = study.image or self.image
        return replace(self, image=image, study=study, limits=limits, defaults=defaults, options=options)

    def study_networks(self) -> tuple[JobNetwork, ...]:
        """Return the networks that jobs of studies join, beside the site's own."""
        of_studies = dict.fromkeys(study.network for study in self.listed_studies())
        return tuple(name for name in of_studies if name not in ("", self.options.get("network")))

    def study_images(self) -> tuple[str, ...]:
        """Return the images that studies have for jobs that name none, beside the site's own."""
        of_studies = dict.fromkeys(study.image for study in self.all_studies())
        return tuple(name for name in of_studies if name and name != self.image)

    def key_of_limit(self, resource: str) -> str:
        """Return the key of the site's config that limits a resource."""
        return f"studies.{self.study.name}.limits" if resource in self.study.limits.said() else "limits"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job gets: asked for, checked, and filled up with the site's defaults."""

    job_id: str
    image: str | None
    resources: Resources
    env: Mapping[str, str]
    image_digests: tuple[str, ...] = ()
    """What is there by the image's name must have one of these digests; none: it may be whatever it is."""
    python: str = ""
    """The interpreter that the job has named; empty: none."""
    entrypoint: tuple[str, ...] = ()
    """Words before its command that the job wants beside the site's own."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where in the metadata ``image``, a resource or ``env`` comes from; what is not here, the site has decided."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """What in the metadata is meant for others, by its path, and why it is passed over."""
    study: Study = field(default_factory=Study)
    """What it sees of the site: its study's, or that of jobs of none."""
    study_named: str = ""
    """The study that it names; to a site without studies that is only a word."""


def resolve(job_meta: JobMeta, site: str, policy: SitePolicy, mode: str = "docker") -> JobRequest:
    """Return what a job gets at a site. Raises JobRejectedError.

    The image, first match wins: ``launcher_spec[site][mode]``, ``launcher_spec.default[mode]``, the legacy
    ``resource_spec[site][mode]``, an entry of the ``deploy_map`` with an image, the site's own. Environment,
    ``shm_size``, ``python_path`` and ``entrypoint``: from the same three specs. ``num_of_cpus`` and ``memory``:
    ``resource_spec[site]``, or else ``resource_spec["@default"]``; ``mem_per_gpu_in_GiB``: from the first of them.
    ``num_of_gpus``: from all of these, which must not contradict each other. A null is as if it were not there.
    :mod:`.job_words` says which version of NVIDIA FLARE has which of them.
    """
    check_metadata(job_meta)
    study = study_of(job_meta, site, policy.study, policy.studies, required=policy.study_required)
    policy = policy.within(study)
    launcher_spec, resource_spec, passed_over = read_words(job_meta, site, mode, policy.options)
    gpus = [spec["num_of_gpus"] for spec in (resource_spec, launcher_spec) if "num_of_gpus" in spec]
    _check_gpus(job_meta, site, gpus, policy)
    words = {**resource_spec, **launcher_spec}
    resources = _granted(job_meta, words, policy)
    if "mem_per_gpu_in_GiB" in resource_spec:
        _check_gpu_memory(job_meta, resource_spec["mem_per_gpu_in_GiB"], resources, policy)
    image = _named_image(job_meta, site, policy, launcher_spec)
    return JobRequest(
        job_id=get_job_id(job_meta),
        image=image.value if policy.images is not None else policy.image,
        image_digests=_digests(job_meta, image, site, policy),
        resources=resources,
        env=_env(job_meta, *launcher_spec.get("env", Word({}, "")), policy.job_env_prefixes),
        python=_python(job_meta, launcher_spec, site, policy),
        entrypoint=_entrypoint(job_meta, launcher_spec, site, policy),
        origins={key: word.path for key, word in {**words, "image": image}.items() if word.path},
        passed_over={**passed_over, **_image_passed_over(image, policy)},
        study=study,
        study_named=named_study(job_meta),
    )


def names_image(job_meta: JobMeta, site: str, policy: SitePolicy, mode: str = "docker") -> bool:
    """Whether there is an image for the job at this site, be it allowed or not. Raises JobRejectedError."""
    check_metadata(job_meta)
    words = read_words(job_meta, site, mode, policy.options)
    return _named_image(job_meta, site, policy.within(policy.study_in(job_meta)), words.launcher).value is not None


def container_name(name: str) -> str:
    """Return a valid container name and DNS label for a readable name: itself, or its like with a hash of it.

    Names that differ stay different, at most 63 characters, whatever they are made of.
    """
    if _PLAIN_NAME.fullmatch(name) and not _LIKE_OURS.fullmatch(name):
        return name
    # A name from JSON may hold half of a character, of which there is no UTF-8.
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "job"
    return f"{readable[: _NAME_LENGTH - 14].rstrip('-')}-h{digest}"


def check_policy(policy: SitePolicy) -> None:
    """Raise ValueError for a policy that gives more than it allows, or more GPUs than there are, a line each."""
    problems = Problems()
    problems.lines += [
        f"defaults.{key} must be no more than limits.{key}, {in_words(key, limit)}, got {in_words(key, default)}"
        for key in RESOURCE_NAMES
        if (limit := getattr(policy.limits, key)) is not None
        if (default := getattr(policy.defaults, key)) is not None and default > limit
    ]
    for key, resources in (("limits", policy.limits), ("defaults", policy.defaults)):
        if policy.gpus is not None and (resources.num_of_gpus or 0) > policy.gpus:
            given = resources.num_of_gpus
            problems.lines.append(f"{key}.num_of_gpus must be no more than the {policy.gpus} of 'gpu_ids', got {given}")
    for study in policy.listed_studies():
        problems.lines += too_wide(study, policy.limits)
        wanted = study.limits.num_of_gpus or 0
        if policy.gpus is not None and wanted > policy.gpus:
            where = f"studies.{study.name}.limits.num_of_gpus"
            problems.lines.append(f"{where} must be no more than the {policy.gpus} of 'gpu_ids', got {wanted}")
    problems.raise_all(ValueError)


def check_needs_no_engine(policy: SitePolicy) -> None:
    """Raise ValueError for a policy whose studies ask for what local processes cannot have, a line each."""
    problems = Problems()
    problems.lines += [
        f"studies.{study.name}.{key}: jobs of this launcher are local processes, which have none"
        for study in policy.listed_studies()
        for key, said in {"image": study.image, "images": study.images is not None, "network": study.network}.items()
        if said
    ]
    problems.raise_all(ValueError)


def _named_image(job_meta: JobMeta, site: str, policy: SitePolicy, spec: Mapping[str, Word]) -> Word:
    if "image" in spec:
        return spec["image"]
    for entry in get_deployments(job_meta):
        if entry.covers(site) and entry.image:
            return Word(entry.image, f"{entry.path}.image")
    return Word(policy.image, "")


def _image_passed_over(word: Word, policy: SitePolicy) -> dict[str, str]:
    needless = policy.images is None and word.path
    return {word.path: "this launcher runs jobs without an image"} if needless else {}


def _digests(job_meta: JobMeta, word: Word, site: str, policy: SitePolicy) -> tuple[str, ...]:
    """Return the digests of which the image must have one. Raises JobRejectedError if a job may not name it."""
    image, path = word
    if policy.images is None or image is None:
        return ()
    own, theirs = policy.images, policy.study.images
    digests = _listed(job_meta, word, f"is not on the list of site {site} ('images')", own, policy.image)
    if theirs is None:
        return digests
    study = policy.study.name
    why = f"is not on the list of the study {study} at site {site} ('studies.{study}.images')"
    if not path:
        path = JobMetaKey.LAUNCHER_SPEC
        why = f"names no image, and the site's own {why}: name one, or have the site say 'studies.{study}.image'"
        word = Word(image, path)
    of_study = _listed(job_meta, word, why, theirs, policy.study.image)
    if digests and of_study and not {*digests} & {*of_study}:
        raise rejection(job_meta, path, f"{why}: it has other digests there than in 'images'", image)
    return tuple(digest for digest in digests or of_study if not of_study or digest in of_study)


def _listed(
    job_meta: JobMeta, word: Word, why_not: str, rules: Sequence[ImageRule], always: str | None = None
) -> tuple[str, ...]:
    """Return the digests by which a list has an image. Raises JobRejectedError if it has not."""
    image, path = word
    try:
        digests = allowed_digests(ImageName.parse(image), rules)
    except ValueError as error:
        if image == always:  # the site may name an id
            return ()
        raise rejection(job_meta, path, str(error), image) from error
    if digests is None and image != always:
        raise rejection(job_meta, path, why_not, image)
    return digests or ()


def _python(job_meta: JobMeta, words: Mapping[str, Word], site: str, policy: SitePolicy) -> str:
    allowed = {policy.python, *policy.python_paths}
    return asked_python(job_meta, words["python_path"], site, allowed) if "python_path" in words else ""


def _entrypoint(job_meta: JobMeta, words: Mapping[str, Word], site: str, policy: SitePolicy) -> tuple[str, ...]:
    if "entrypoint" not in words:
        return ()
    return asked_entrypoint(job_meta, words["entrypoint"], site, policy.entrypoint, policy.entrypoints)


def _env(job_meta: JobMeta, value: Any, path: str, prefixes: tuple[str, ...]) -> dict[str, str]:
    for name, text in get_object(job_meta, path, value).items():
        if not isinstance(name, str) or not VARIABLE_NAME.fullmatch(name) or _RESERVED_VARIABLE.fullmatch(name):
            raise rejection(job_meta, path, "a job may not set this variable", name)
        if not name.startswith(prefixes):
            raise rejection(job_meta, path, "begins with no prefix that the site allows ('job_env_prefixes')", name)
        if not isinstance(text, str):
            raise rejection(job_meta, f"{path}.{name}", "must be a string", text)
        _check_words(job_meta, f"{path}.{name}", [f"{name}={text}"], text)
    _check_words(job_meta, path, [f"{name}={text}" for name, text in value.items()], value)
    return dict(value)


def _check_words(job_meta: JobMeta, path: str, words: list[str], value: Any) -> None:
    try:
        check_words(words)
    except ValueError as error:
        raise rejection(job_meta, path, str(error), value) from error


def _granted(job_meta: JobMeta, words: Mapping[str, Word], policy: SitePolicy) -> Resources:
    """Return what the job asks for, else the site's default, else its limit."""
    given = {}
    for name in RESOURCE_NAMES:
        limit, default = getattr(policy.limits, name), getattr(policy.defaults, name)
        given[name] = limit if default is None and name not in _ONLY_IF_ASKED else default
        if name in words:
            asked = _asked(job_meta, words[name], name, policy)
            given[name] = given[name] if name == "shm_size" and not asked else asked  # 0 is the default's own word
    return Resources(**given)


def _asked(job_meta: JobMeta, word: Word, key: str, policy: SitePolicy) -> float:
    try:
        wanted = parse_asked(key, word.value)
    except ValueError as error:
        raise rejection(job_meta, word.path, str(error), word.value) from error
    limit = getattr(policy.limits, key)
    if limit is not None and wanted > limit:
        what = f"more than the site's limit of {in_words(key, limit)} ('{policy.key_of_limit(key)}')"
        raise rejection(job_meta, word.path, what, word.value)
    return wanted


def _check_gpus(job_meta: JobMeta, site: str, words: Sequence[Word], policy: SitePolicy) -> None:
    """Raise JobRejectedError for more GPUs than the site has, in any place, and for places that want different ones."""
    for word in words:
        wanted = _asked(job_meta, word, "num_of_gpus", policy)
        if policy.gpus is not None and wanted > policy.gpus:
            offer = f"more than the {policy.gpus} GPUs of this site" if policy.gpus else "this site offers no GPUs"
            raise rejection(job_meta, word.path, f"{offer} ('gpu_ids'){_way_out(word, site)}", word.value)
    for first, last in pairwise(words):
        if first.value != last.value:  # the job would get only one of them
            raise rejection(job_meta, last.path, f"must be as many as {first.path}, which is {first.value}", last.value)


def _way_out(word: Word, site: str) -> str:
    """Return what a job can do that wants for all sites what not all have: a server hardly needs a GPU."""
    if JobConstants.DEFAULT_RESOURCES not in word.path.split("."):
        return ""
    return f'; a job whose part here needs fewer says so in resource_spec["{site}"]'


def _check_gpu_memory(job_meta: JobMeta, word: Word, granted: Resources, policy: SitePolicy) -> None:
    """Raise JobRejectedError for more memory than a GPU has. A job has all of it: its GPUs are nobody else's."""
    value, path = word
    if type(value) not in (int, float) or not 0 <= value <= _MAX_GPU_MEMORY:
        raise rejection(job_meta, path, "must be a number of GiB", value)
    if not value or not granted.num_of_gpus:
        return
    if policy.gpu_memory is None:
        raise rejection(job_meta, path, "this site does not say how much its GPUs have ('gpu_memory')", value)
    if value * UNITS["Gi"] > policy.gpu_memory:
        raise rejection(job_meta, path, "more than this site's GPUs have ('gpu_memory')", value)
