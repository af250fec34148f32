"""In what this package differs from NVIDIA FLARE in what it takes, and what a job gets, and why that is meant.

A difference that is not here is a fault of ours, one that does not happen any more a word too many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .made_up import SITE
from .outcome import Fact

ALL = ("2.6", "2.7", "2.8", "2.9")
OLD, NEW = ALL[:2], ALL[2:]
KINDS = ("process", "docker", "k8s", "slurm")
RESOURCES = ("num_of_gpus", "num_of_cpus", "memory")
THEY, WE = "they refuse", "we refuse"


def _always(_: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True)
class Difference:
    """One row of the table."""

    title: str
    what: str
    """``they refuse``, ``we refuse``, or names of what a job gets."""
    how: str
    """A pattern: what is said by who refuses, or who gives what."""
    versions: tuple[str, ...]
    """In which it happens."""
    reason: str
    when: Callable[[Mapping[str, Any]], bool] = _always
    """What the metadata must be like."""

    def explains(self, fact: Fact, version: str) -> bool:
        is_it = version in self.versions and fact.what in self.what.split(", ") and re.search(self.how, fact.how)
        return bool(is_it) and self.when(fact.meta)


def as_row(row: Difference) -> str:
    """Return a row as Markdown has it: who refuses has a table of its own."""
    what = () if row.what in (THEY, WE) else (row.what,)
    return f"| {' | '.join((row.title, *what, ', '.join(row.versions), row.reason))} |"


def explaining(fact: Fact, version: str) -> Difference | None:
    """Return the first difference that a fact is one of; None if it is none that is meant."""
    return next((row for row in DIFFERENCES if row.explains(fact, version)), None)


# --- what the metadata must be like ---


def _part(meta: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    value: Any = meta
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _resources(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    return _part(meta, "resource_spec", SITE)


def _is_for_all_sites(meta: Mapping[str, Any]) -> bool:
    return "@default" in _part(meta, "resource_spec")


def _is_beside_kinds(meta: Mapping[str, Any]) -> bool:
    spec = _resources(meta)
    return any(kind in spec for kind in KINDS) and any(spec.get(key) is not None for key in RESOURCES)


def _is_legacy_beside_spec(meta: Mapping[str, Any]) -> bool:
    named = [_part(meta, "launcher_spec", who) for who in ("default", SITE)]
    return bool(_resources(meta).get("docker")) and any(spec.get("docker") is not None for spec in named)


def _is_null_over_default(meta: Mapping[str, Any]) -> bool:
    default, own = (_part(meta, "launcher_spec", who, "docker") for who in ("default", SITE))
    return any(own[key] is None and default.get(key) is not None for key in own)


def _is_hidden(meta: Mapping[str, Any]) -> bool:
    default, own = (_part(meta, "launcher_spec", who, "docker") for who in ("default", SITE))
    for_all, *here = _wanting(meta)
    older = _part(_resources(meta), "docker")
    hiding = [(default, own), (older, default), (older, own), *((for_all, part) for part in here)]
    return any(part[key] is not None and key in behind for behind, part in hiding for key in part)


def _is_named_by_specs(meta: Mapping[str, Any]) -> bool:
    specs = [_part(meta, "launcher_spec", who) for who in ("default", SITE)]
    return any(_part(spec, "docker").get("image") for spec in (*specs, _resources(meta)))


def _has_all_by_entry(meta: Mapping[str, Any]) -> bool:
    return "@all" in str([entry for entry in _entries(meta) if isinstance(entry, Mapping)]).lower()


def _has_no_list(meta: Mapping[str, Any]) -> bool:
    return not all(isinstance(value, list) for value in _part(meta, "deploy_map").values())


def _entries(meta: Mapping[str, Any]) -> Iterable[Any]:
    for value in _part(meta, "deploy_map").values():
        yield from value if isinstance(value, list) else [value]


def _has_null(meta: Mapping[str, Any]) -> bool:
    return "None" in str([meta.get("resource_spec"), meta.get("launcher_spec")])


def _wanting(meta: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Yield what may want resources for the site."""
    yield from (_part(meta, "resource_spec", "@default"), _resources(meta), _part(_resources(meta), "process"))


def _has_binary_shm(meta: Mapping[str, Any]) -> bool:
    specs = [_part(meta, "launcher_spec", who) for who in ("default", SITE)]
    return any(_part(spec, "docker").get("shm_size") in ("64Mi", "2t") for spec in (*specs, _resources(meta)))


_OF_OTHERS = r"resource_spec\['(?!site-1'|@default')|launcher_spec\['(?!site-1'|default')"
"""A part of another site's, or what is taken for one."""

DIFFERENCES = (
    # What a job gets.
    Difference(
        "words to a launcher",
        "gpus, cpus, memory, shm_size, python, entrypoint",
        "they None",
        OLD,
        "2.6 and 2.7 give a container nothing that a job asks for but an image",
    ),
    Difference(
        "an image by `launcher_spec` or `resource_spec`",
        "image",
        "",
        OLD,
        "2.6 and 2.7 know neither as a place for an image",
        _is_named_by_specs,
    ),
    Difference(
        "an image by an entry for all sites",
        "image",
        "they None",
        OLD,
        "2.6 and 2.7 look for the site's own name alone, and leave such a job to the process launcher",
        _has_all_by_entry,
    ),
    Difference(
        "an entry in place of a list",
        "app, image",
        "they None",
        OLD,
        "2.6 takes its keys, or letters, for sites, and both overlook its image; from 2.8 on it is an entry",
        _has_no_list,
    ),
    Difference(
        "processors and memory",
        "cpus, memory",
        "they None",
        ("2.8",),
        "2.8 leaves them to the site's resource manager; from 2.9 on a launcher gives them",
    ),
    Difference(
        '`resource_spec["@default"]`',
        "gpus",
        "",
        ("2.8",),
        "it came with 2.9; 2.8 takes it for a site",
        _is_for_all_sites,
    ),
    Difference(
        "resources beside parts by kind of launcher",
        "gpus, cpus, memory",
        "",
        NEW,
        "2.8 and 2.9 pass over what a site's part says itself where parts by kind stand in it, too; who asks for a GPU "
        "there would get none, and no word of it",
        _is_beside_kinds,
    ),
    Difference(
        "a launcher's part in `resource_spec` beside one in `launcher_spec`",
        "image, gpus, shm_size, python, entrypoint",
        "",
        NEW,
        "2.8 and 2.9 pass the older part over as a whole; here it has its say in what the newer one leaves open",
        _is_legacy_beside_spec,
    ),
    Difference(
        "a null over what is said for all sites",
        "image, shm_size, python, entrypoint",
        "they None",
        NEW,
        "there it takes back what `default` says, here it says nothing",
        _is_null_over_default,
    ),
    Difference(
        "an image by an entry of the `deploy_map`",
        "image",
        "they None",
        NEW,
        "2.6 and 2.7 had it so; 2.8 and 2.9 refuse it, or pass it over where the entry stands in place of a list",
        _has_no_list,
    ),
    # What they refuse.
    Difference(
        "an entry with an image",
        THEY,
        r"Unknown keys \{'image'\} in deploy_map",
        NEW,
        "2.6 and 2.7 had it so; a site of ours takes jobs of all of them",
    ),
    Difference(
        "`targets`",
        THEY,
        "TypeError: .*NoneType.* iterable",
        OLD,
        "2.6 and 2.7 look for `sites` alone, and fail",
    ),
    Difference(
        "an entry in place of a list",
        THEY,
        "Missing server site|Mandatory clients|min . clients required|No site is specified",
        ("2.6",),
        "2.6 takes its keys, or letters, for sites; from 2.7 on it is an entry",
        _has_no_list,
    ),
    Difference(
        "all sites beside some",
        THEY,
        "No other site can be specified",
        ALL,
        "`@ALL` behind some sites is for all others",
    ),
    Difference(
        "a site twice",
        THEY,
        "Multiple apps to be deployed to following sites",
        ALL,
        "who is named twice for the same app is named",
    ),
    Difference(
        "no server",
        THEY,
        "Missing server site",
        ALL,
        "clients that need no server run without one",
    ),
    Difference(
        "no client at all is needed",
        THEY,
        "min_clients 0 must be positive",
        ALL,
        "0 is a number of clients without which a job may end",
    ),
    Difference(
        "parts of other sites",
        THEY,
        rf"{_OF_OTHERS}|value for key (?!site-1 |@default )|for site 'site-2'",
        ALL,
        "a launcher reads its own site's parts; what is wrong in others is theirs to say",
    ),
    Difference(
        "parts of other kinds of launchers",
        THEY,
        r"conflicts with launcher_spec (k8s|slurm)|^legacy process num_of_gpus .* must match launcher_spec",
        ("2.9",),
        "they are none of this launcher's business, be they at odds with its own",
    ),
    Difference(
        "a kind of launcher that nobody knows",
        THEY,
        "unknown launcher mode '(podman|slurm)'",
        NEW,
        "the next version may know it, as 2.9 knows `slurm`; it is passed over, and that is told",
    ),
    Difference(
        "GPUs wanted by two places alike",
        THEY,
        "portable resource 'num_of_gpus' conflicts with launcher_spec docker",
        ("2.9",),
        "who asks twice for the same is understood; different numbers are refused",
    ),
    Difference(
        "variables of the job's own, and what the site has anyway",
        THEY,
        r"unsupported job-controlled Docker option\(s\) \['(env|ipc_mode)'\]",
        ("2.9",),
        "`env` is by the site's `job_env_prefixes`; `ipc_mode: host`, of older jobs, is taken where the site has it",
    ),
    Difference(
        "shared memory in binary units",
        THEY,
        "field 'shm_size' must be a non-negative integer or|DockerException: The specified value for memory",
        NEW,
        "`64Mi`, as `memory` has it, and `2t` are sizes, too",
        _has_binary_shm,
    ),
    Difference(
        "parts of a processor",
        THEY,
        "num_of_cpus must be an integer",
        ("2.9",),
        "containers can have them",
        lambda meta: any(spec.get("num_of_cpus") in (0.5, 1.5) for spec in _wanting(meta)),
    ),
    Difference(
        "memory in bytes, or in Ki",
        THEY,
        "memory must be a positive integer followed by",
        ("2.9",),
        "a site's own limits may be said so, too",
        lambda meta: any(spec.get("memory") in (1 << 30, "512Ki") for spec in _wanting(meta)),
    ),
    Difference(
        "a word that another one hides",
        THEY,
        r"field '\w+' must be|resource_spec\['@default'\]\.\w+ must be",
        ("2.9",),
        "what is said for all sites, and the site's own part says otherwise, counts for nobody",
        _is_hidden,
    ),
    Difference(
        "a null",
        THEY,
        "",
        NEW,
        "it is as if it were not there, wherever it stands",
        _has_null,
    ),
    Difference(
        "a byte order mark",
        THEY,
        "Unexpected UTF-8 BOM",
        ALL,
        "some editors write one",
    ),
    # What we refuse.
    Difference(
        "names",
        WE,
        r"deploy_map.*: must be 1 to 128 letters, digits.*, got ('|None|5)",
        ALL,
        "a site's or an app's name becomes part of paths, labels and names of containers",
    ),
    Difference(
        "entries inside of entries",
        WE,
        r"deploy_map.*: must be 1 to 128 letters, digits.*, got [{\[]",
        ALL,
        "an entry lists sites, and no entries",
    ),
    Difference(
        "entries that say nothing",
        WE,
        r"deploy_map.*(sites: must be a list, got None|must be the same as 'sites'|unknown key; known are image,)",
        ALL,
        "an unknown key is no word that may be passed over, and two lists of sites are one too many",
    ),
    Difference(
        "sites that are a text",
        WE,
        "sites: must be a list, got 'site-1'",
        ("2.6",),
        "2.6 takes its letters for sites",
    ),
    Difference(
        "clients that are not there",
        WE,
        "none of its sites is given|of its clients; given: |must take part, and is not given",
        ALL,
        "`flcore run` runs the job at once, on the sites that it is given; NVIDIA FLARE waits for others",
    ),
    Difference(
        "more clients than there are",
        WE,
        r"min_clients: must be a number from 0 to \d, its clients, got '?\d+'?$",
        ALL,
        "`flcore run` has all sites; NVIDIA FLARE waits for more, where the job is for `@ALL`",
    ),
    Difference(
        "numbers of clients that are none",
        WE,
        r"min_clients: must be a number .*, got (1\.9|True|' 1')$",
        ALL,
        "NVIDIA FLARE's validator takes 1.9 for 1, and its scheduler for 1.9; true is no number",
    ),
    Difference(
        "mandatory clients of a job for all sites",
        WE,
        "mandatory_clients: must be among its clients",
        ALL,
        "NVIDIA FLARE does not look where the job is for `@ALL`, and never runs it",
    ),
    Difference(
        "mandatory clients that are no list",
        WE,
        r"mandatory_clients: must be a list, got (''|\{.*|0|False|'site-1')$",
        ALL,
        "they are a list, or null",
    ),
    Difference(
        "different numbers of GPUs",
        WE,
        "num_of_gpus: must be as many as",
        ALL,
        "two places want different ones, so that one of them would get something else, and no word of it",
    ),
    Difference(
        "what a launcher should do, among the resources",
        WE,
        "is no resource; it belongs to launcher_spec",
        ALL,
        "the job would get none of it, and no word of that",
    ),
    Difference(
        "a kind of launcher with a capital",
        WE,
        "Docker: is written 'docker'",
        ALL,
        "the job would get none of what it asks for there, and no word of that",
    ),
    Difference(
        "images that are no name",
        WE,
        r"image: must be (the name of an image|a string)",
        ALL,
        "an id or a beginning of one could be any image that the site has; an empty name is none",
    ),
    Difference(
        "interpreters and entry points",
        WE,
        r"is not on the list of site site-1 \('(python_paths|entrypoints)'\)",
        ALL,
        "a job may name those that the site lists",
    ),
    Difference(
        "options of a container",
        WE,
        r"\.docker\.\w+: (no job may ask for it, only a site|unknown key)",
        ALL[:3],
        "2.8 hands most of them to Docker, and passes over the rest; 2.6 and 2.7 do not look; 2.9 refuses them",
    ),
    Difference(
        "more than the site has",
        WE,
        r"more than the (site's limit|8 GPUs of this site)|more than this site's GPUs have",
        ALL,
        "it is refused before an engine, or another job, must say so",
    ),
    Difference(
        "memory of GPUs that is no number",
        WE,
        "mem_per_gpu_in_GiB: must be a number of GiB",
        ALL,
        "NVIDIA FLARE leaves it to the site's resource manager",
    ),
    Difference(
        "what no machine has",
        WE,
        r"num_of_cpus: must be a number of processors.*, got 5000|memory: must be at least 6Mi",
        ALL,
        "Docker refuses less memory; more than 4,096 processors are a slip",
    ),
    Difference(
        "odd words in a launcher's part in `resource_spec` beside one in `launcher_spec`",
        WE,
        r"resource_spec\.site-1\.docker\.\w+: (must be|cannot be split)",
        ("2.9",),
        "2.9 looks at some of them only when it launches the job, and then passes the part over",
        _is_legacy_beside_spec,
    ),
    Difference(
        "an entry in place of a list, for a site that has an app",
        WE,
        "a site runs one app, and",
        ("2.6",),
        "2.6 takes its keys, or letters, for sites",
        _has_no_list,
    ),
    Difference(
        "odd resources beside parts by kind of launcher",
        WE,
        r"(num_of_\w+|memory): must be",
        ("2.9",),
        "2.9 passes them over, good or bad; here they are heard",
        _is_beside_kinds,
    ),
    Difference(
        "odd values",
        WE,
        r"(num_of_\w+|memory|shm_size|python_path|entrypoint): (must be|cannot be split)",
        ALL[:3],
        "2.6 to 2.8 do not look at the submission, and fail, or not, when the job is launched; 2.9 refuses them",
    ),
    Difference(
        "resources for all sites that not all launchers give",
        WE,
        "resource_spec.@default.* unknown key",
        ALL[:3],
        "2.9 refuses them; before, `@default` is a site",
    ),
    Difference(
        "specs that are no objects",
        WE,
        r"(resource|launcher)_spec[^:]*: must be an object, got",
        ALL[:3],
        "2.6 to 2.8 pass over those that are empty, and 2.6 and 2.7 over all of `launcher_spec`; 2.9 refuses them",
    ),
    Difference(
        "a key twice",
        WE,
        "stands twice in one object",
        ALL,
        "two readers could take it for two things",
    ),
    Difference(
        "no JSON",
        WE,
        r"(NaN is no JSON number|holds a NUL)",
        ALL,
        "no file, label or process can be given it",
    ),
    Difference(
        "HOCON that reads more than itself",
        WE,
        "holds a substitution|another file or address is included",
        ALL,
        "it would read the site's variables or files",
    ),
    Difference(
        "HOCON's times",
        WE,
        "must be a text, a number, .*, got timedelta",
        ALL,
        "metadata are JSON's values",
    ),
)
