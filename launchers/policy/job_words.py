"""What a job says to this kind of launcher at this site, from all the places of its metadata where it may. Pure.

The places, and which of them has the last word, are NVIDIA FLARE's. Its 2.6 and 2.7 leave ``resource_spec[site]`` to
the site's resource manager, and know an image by the ``deploy_map`` only. From 2.8 on there is ``launcher_spec``, with
the part ``default`` below each site's own, or else parts by kind of launcher in ``resource_spec[site]``. From 2.9 on
``resource_spec["@default"]`` is merged below ``resource_spec[site]``, and where it is there, what stands in
``resource_spec[site].process`` counts for every kind of launcher.

What is meant for somebody else is passed over, and :attr:`JobWords.passed_over` says so: a job that has been misread
must be able to find out.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from flcore.fl_constant import JobConstants, JobMetaKey
from flcore.job_meta import JobMeta, get_object, rejection

DEFAULT_SPEC = "default"

PORTABLE_KEYS = frozenset({"num_of_gpus", "num_of_cpus", "memory"})
"""Resources that every kind of launcher gives."""
_RESOURCE_KEYS = PORTABLE_KEYS | {"mem_per_gpu_in_GiB", "disk"}
_LAUNCHER_KEYS = frozenset({"image", "env", "num_of_gpus", "shm_size", "python_path", "entrypoint"})
_SITES_OWN = frozenset(
    {"network", "user", "init", "read_only", "tmpfs", "mounts", "pids_limit", "cap_add", "security_opt"}
    | {"privileged", "pid_mode", "ipc_mode", "cgroup_parent"}
)
"""Options of a container that a site's config may set; what job authors know from elsewhere is among them."""
_NO_RESOURCES = (_LAUNCHER_KEYS | _SITES_OWN) - _RESOURCE_KEYS
_PROCESS = "process"
_KINDS = frozenset({_PROCESS, "docker", "k8s", "slurm"})
"""NVIDIA FLARE's kinds of launchers."""
_LIKE_ALL_SITES = frozenset({"default", "defaults", "all"})
_LIKENESS = 0.75
"""From which on a key may be one of ours, written wrong."""


class Word(NamedTuple):
    """A value of the metadata, and where it stands."""

    value: Any
    path: str


class JobWords(NamedTuple):
    """What a job says, by key."""

    launcher: Mapping[str, Word]
    """To the launcher."""
    resources: Mapping[str, Word]
    """Of what it needs, whatever launches it."""
    passed_over: Mapping[str, str]
    """What is meant for others, by its path, and why it is passed over."""


def read_words(job_meta: JobMeta, site: str, mode: str, options: Mapping[str, Any]) -> JobWords:
    """Return a job's words to this kind of launcher at this site. Raises JobRejectedError.

    ``options``: what the site has of a container's options that only a site may set. A null is as if it were not there.
    """
    reader = _Reader(job_meta, site, mode, options)
    return JobWords(reader.launcher_words(), reader.resource_words(), reader.passed_over)


class _Reader:
    def __init__(self, job_meta: JobMeta, site: str, mode: str, options: Mapping[str, Any]) -> None:
        self._job_meta, self._site, self._mode, self._options = job_meta, site, mode, options
        self._resources = self._object(JobMetaKey.RESOURCE_SPEC, job_meta.get(JobMetaKey.RESOURCE_SPEC))
        self._launchers = self._object(JobMetaKey.LAUNCHER_SPEC, job_meta.get(JobMetaKey.LAUNCHER_SPEC))
        self.passed_over: dict[str, str] = {}

    def launcher_words(self) -> dict[str, Word]:
        """Return what stands in the parts of this kind of launcher; the last of them has the last word."""
        self._note_almost_for_all(JobMetaKey.LAUNCHER_SPEC, self._launchers, DEFAULT_SPEC)
        words: dict[str, Word] = {}
        for who in (DEFAULT_SPEC, self._site):
            path = f"{JobMetaKey.LAUNCHER_SPEC}.{who}"
            spec = self._object(path, self._launchers.get(who))
            words |= self._launcher_part(path, spec)
            self._pass_over_kinds(path, {kind: part for kind, part in spec.items() if kind != self._mode})
        return self._overridden(self._older_words(), words)

    def _older_words(self) -> dict[str, Word]:
        path = f"{JobMetaKey.RESOURCE_SPEC}.{self._site}"
        spec = self._object(path, self._resources.get(self._site))
        return {} if self._mode == _PROCESS else self._launcher_part(path, spec)  # that of processes has resources

    def _overridden(self, words: dict[str, Word], by: dict[str, Word]) -> dict[str, Word]:
        """Return the words, with others in their place where there are; note those that said something else."""
        hidden = [key for key in words if key in by and by[key].value != words[key].value]
        self.passed_over |= {words[key].path: f"{by[key].path} says it, too" for key in hidden}
        return words | by

    def resource_words(self) -> dict[str, Word]:
        """Return what the job needs: what all sites should have, and what this one should have in its place."""
        self._note_almost_for_all(JobMetaKey.RESOURCE_SPEC, self._resources, JobConstants.DEFAULT_RESOURCES)
        path = f"{JobMetaKey.RESOURCE_SPEC}.{JobConstants.DEFAULT_RESOURCES}"
        default = self._object(path, self._resources.get(JobConstants.DEFAULT_RESOURCES))
        words = _as_words(get_object(self._job_meta, path, default, PORTABLE_KEYS), path)
        return words | self._sites_resources(f"{JobMetaKey.RESOURCE_SPEC}.{self._site}")

    def _sites_resources(self, path: str) -> dict[str, Word]:
        spec = self._object(path, self._resources.get(self._site))
        kinds = {key: part for key, part in spec.items() if _plain(key) in (*_KINDS, self._mode)}
        words = self._known({key: value for key, value in spec.items() if key not in kinds}, path)
        if self._mode == _PROCESS or JobConstants.DEFAULT_RESOURCES in self._resources:
            part = f"{path}.{_PROCESS}"
            others = self._known(self._object(part, spec.get(_PROCESS)), part)
            words = self._overridden(words, others)
            kinds.pop(_PROCESS, None)
        kinds.pop(self._mode, None)
        self._pass_over_kinds(path, kinds)
        return words

    def _known(self, spec: JobMeta, path: str) -> dict[str, Word]:
        """Return the resources that a launcher gives; all others are those of the site's own resource manager."""
        words = _as_words(spec, path)
        for word in (word for key, word in words.items() if key in _NO_RESOURCES):
            why = f"is no resource; it belongs to {JobMetaKey.LAUNCHER_SPEC}.{self._site}.{self._mode}"
            raise rejection(self._job_meta, word.path, why, word.value)
        self.passed_over |= {words[key].path: _why_no_resource(key) for key in words if key not in _RESOURCE_KEYS}
        return {key: word for key, word in words.items() if key in _RESOURCE_KEYS}

    def _launcher_part(self, path: str, spec: JobMeta) -> dict[str, Word]:
        path = f"{path}.{self._mode}"
        part = self._object(path, spec.get(self._mode))
        others = {key: value for key, value in part.items() if key not in _SITES_OWN}
        get_object(self._job_meta, path, others, _LAUNCHER_KEYS)
        words = _as_words(part, path)
        for option in [key for key in words if key in _SITES_OWN]:
            word = words.pop(option)
            if not _is_same(word.value, self._options.get(option)):
                why = f"no job may ask for it, only a site ('{option}')"
                raise rejection(self._job_meta, word.path, why, word.value)
        return words

    def _pass_over_kinds(self, path: str, parts: Mapping[str, Any]) -> None:
        """Note parts of other kinds of launchers. Raises JobRejectedError for one that means ours, written wrong."""
        for kind, part in parts.items():
            if _plain(kind) == self._mode:
                raise rejection(self._job_meta, f"{path}.{kind}", f"is written '{self._mode}'", part)
            if part is not None:
                self.passed_over[f"{path}.{kind}"] = f"for launchers of the kind '{kind}'; this is '{self._mode}'"

    def _note_almost_for_all(self, section: str, spec: JobMeta, name: str) -> None:
        """Note what would be for all sites by a name that has this meaning elsewhere, as NVIDIA FLARE warns of some."""
        for key in spec:
            if str(key).lstrip("@").lower() in _LIKE_ALL_SITES and key not in (name, self._site):
                self.passed_over[f"{section}.{key}"] = f"for a site of this name; for all sites it is '{name}'"

    def _object(self, path: str, value: Any) -> JobMeta:
        return {} if value is None else get_object(self._job_meta, path, value)


def _as_words(spec: JobMeta, path: str) -> dict[str, Word]:
    return {key: Word(value, f"{path}.{key}") for key, value in spec.items() if value is not None}


def _why_no_resource(key: Any) -> str:
    """Return why a key is passed over: a site's own resource manager may know it, or nobody does."""
    ours = {name.lower(): name for name in sorted(_RESOURCE_KEYS)}
    close = difflib.get_close_matches(str(key).lower(), ours, n=1, cutoff=_LIKENESS)
    return "no resource that this launcher gives" + (f"; did you mean {ours[close[0]]!r}?" if close else "")


def _plain(kind: Any) -> str:
    """Return a kind of launcher as it is meant."""
    return str(kind).strip().lower()


def _is_same(asked: Any, has: Any) -> bool:
    return type(asked) is type(has) and bool(asked == has)  # true is no 1
