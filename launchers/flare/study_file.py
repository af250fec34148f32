"""A kit's ``local/study_runtime.yaml``, as NVIDIA FLARE 2.9 has it: what of it a site's jobs get here.

It is read strictly: what it says and jobs would not get here is an error that names our key for it, as a site that
believes to have said what a study sees must not be wrong. What it may say of a study::

    format_version: 2
    studies:
      cardio:
        container: {image: "my-flare-jobs:1"}                              # of jobs that name none
        datasets: {hearts: {source: /srv/cardio/hearts, mode: ro}}         # seen at /data/cardio/hearts
        env: {COHORT: "3"}
        secret_env: {DB_PASSWORD: {source: CARDIO_PASSWORD, key: any}}     # a variable of the parent
        secret_mounts: {db-ca: {source: /etc/cardio.pem, mount_path: /run/db/ca.pem}}

Its study ``default`` is what jobs get that name none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ParamSpec, TypeVar

from flcore.config.problems import Problems, did_you_mean
from flcore.config.strict_json import read_text, shown
from flcore.disk.presence import is_folder, is_there
from flcore.errors import ConfigError
from flcore.fl_constant import JobConstants
from flcore.job_meta import is_identifier

from ..container_spec import Secret
from ..docker_launcher import DockerJobLauncher
from ..policy import site_args
from ..policy.argv_limits import VARIABLE_NAME
from ..policy.job_command import CREDENTIAL_VARIABLES
from ..policy.job_policy import SitePolicy
from ..policy.studies import Study

STUDY_FILE = "local/study_runtime.yaml"

T = TypeVar("T")
P = ParamSpec("P")

_VERSION = 2
_READ_ONLY, _MOUNT = "ro", "mount"
_OURS = frozenset({"PYTHONPATH", *CREDENTIAL_VARIABLES.values()})
"""Variables that a launcher sets."""
_ELSEWHERE = {
    "docker_kwargs": "what a container gets is said by the launcher's own keys: 'defaults' and 'limits' (shm_size), "
    "'gpu_ids', 'tmpfs', 'cap_add', …",
    "pod_template": "jobs of this launcher are no pods of Kubernetes: leave it out",
    "slurm": "jobs of this launcher are none of Slurm's: leave it out",
}
"""What NVIDIA FLARE takes there, and the way to have it here."""


def take_in_studies(launcher: DockerJobLauncher, root: Path) -> None:
    """Have a launcher heed what its kit's file says of studies. Raises ConfigError; then it is as it was."""
    own, launcher.policy = launcher.policy, with_kit_studies(launcher.policy, launcher.given, root)
    try:
        launcher.insecure = launcher.find_insecure()
    except ValueError as error:
        launcher.policy = own
        raise ConfigError("\n".join(f"{root / STUDY_FILE}: {line}" for line in str(error).splitlines())) from error


def with_kit_studies(policy: SitePolicy, given: Collection[str], root: Path) -> SitePolicy:
    """Return a launcher's policy with what the kit's file adds; as it is where that names no study. Idempotent.

    From then on the site has a list: a job of a study that is on none is refused. Raises ConfigError, with a line for
    each thing that is wrong, and for what both name: nobody could tell which counts.

    Args:
        given: the launcher's arguments that the site has set.
        root: the kit's folder.
    """
    found = read_studies(root / STUDY_FILE)
    if not found:
        return policy
    listed, default = policy.studies or {}, found.pop(JobConstants.DEFAULT_STUDY, None)
    others = {name for name, study in found.items() if listed.get(name, study) != study}
    ways_out = {f"studies.{name}": f"the launcher's 'studies' name {name}, too" for name in sorted(others)}
    twice = [key for key in ("datasets", "secrets") if default not in (None, policy.study) and key in given]
    if twice:
        keys = " and ".join(map(repr, twice))
        ways_out[f"studies.{JobConstants.DEFAULT_STUDY}"] = f"the launcher's {keys} say what jobs of no study see, too"
    if ways_out:
        say_once = "say it in one place only"
        raise ConfigError("\n".join(f"{root / STUDY_FILE}: {key}: {why}; {say_once}" for key, why in ways_out.items()))
    return replace(policy, study=default or policy.study, studies={**listed, **found})


def read_studies(file: Path) -> dict[str, Study]:
    """Return the studies of a kit's file; none where there is no such file. Raises ConfigError, a line each."""
    if not is_there(file):
        return {}
    content = _object(_loaded(file), str(file))
    problems = Problems()
    problems.lines += [f"{file}: {line}" for line in _unknown(content, {"format_version": "", "studies": ""})]
    if content.get("format_version") != _VERSION:
        problems.lines.append(f"{file}: format_version: must be {_VERSION}, got {shown(content.get('format_version'))}")
    entries = problems.attempt(_object, content.get("studies") or {}, f"{file}: studies") or {}
    found = {name: problems.attempt(_study, f"{file}: studies", name, entry) for name, entry in entries.items()}
    if problems.lines:
        raise ConfigError("\n".join(problems.lines))
    return found


def _loaded(file: Path) -> Any:
    try:
        import yaml  # which comes with NVIDIA FLARE
    except ImportError as error:
        way_out = "call the flcore of the site's environment, where NVIDIA FLARE has brought it"
        raise ConfigError(f"{file}: to read it takes PyYAML: {way_out}") from error

    class Strict(yaml.SafeLoader):
        """Refuses a key that stands there twice: YAML's own would take the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[tuple[str, str]] = set()
            for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
                if (key.tag, key.value) in seen:
                    raise ConfigError(f"{file}: line {key.start_mark.line + 1}: {key.value!r} stands there twice")
                seen.add((key.tag, key.value))
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(read_text(file, trusted=True), Strict)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{file}: {line}is no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{file}: is no YAML that can be read: {error}") from error


def _study(key: str, name: Any, value: Any) -> Study:
    """Return one study. Raises ConfigError, a line each."""
    if not is_identifier(name):
        raise ConfigError(f"{key}: a study's name is letters, digits, '.', '_' or '-', got {shown(name)}")
    key = f"{key}.{name}"
    said = {one: entry for one, entry in _object(value, key).items() if entry is not None}
    problems = Problems()
    problems.lines += [f"{key}: {line}" for line in _unknown(said, {**_PARTS, **_ELSEWHERE})]
    problems.lines += [f"{key}.{one}: {_ELSEWHERE[one]}" for one in said if one in _ELSEWHERE]
    parsed = {one: problems.attempt(parse, f"{key}.{one}", said[one]) for one, parse in _PARTS.items() if one in said}
    secrets = (*(parsed.get("secret_env") or ()), *(parsed.get("secret_mounts") or ()))
    problems.lines += [f"{key}: {line}" for line in _twice(secrets, parsed.get("env") or {})]
    if problems.lines:
        raise ConfigError("\n".join(problems.lines))
    return Study(
        name="" if name == JobConstants.DEFAULT_STUDY else name,
        datasets=parsed.get("datasets", {}),
        secrets=secrets,
        env=parsed.get("env", {}),
        image=parsed.get("container"),
        folder=f"{name}/",
        said_in=f"{STUDY_FILE}: studies.{name}",
    )


def _container(key: str, value: Any) -> str:
    said = _object(value, key)
    _refuse_unknown(key, said, "image")
    return _by_rule(site_args.text, f"{key}.image", said.get("image"))


def _datasets(key: str, value: Any) -> dict[str, str]:
    return {name: _dataset(f"{key}.{name}", name, entry) for name, entry in _object(value, key).items()}


def _dataset(key: str, name: Any, value: Any) -> str:
    said = _object(value, key)
    _refuse_unknown(key, said, "type", "source", "mode")
    if not is_identifier(name):
        raise ConfigError(f"{key}: a dataset's name is letters, digits, '.', '_' or '-', got {shown(name)}")
    if said.get("type", _MOUNT) != _MOUNT:
        raise ConfigError(f"{key}.type: must be {_MOUNT!r}, got {shown(said['type'])}")
    if said.get("mode") != _READ_ONLY:
        why = "jobs read data here, and never write it, as all later jobs would see what one has changed"
        way_out = "what a job writes belongs into its own folder"
        raise ConfigError(f"{key}.mode: must be {_READ_ONLY!r}, got {shown(said.get('mode'))}: {why}; {way_out}")
    return _by_rule(site_args.absolute_path, f"{key}.source", said.get("source"))


def _env(key: str, value: Any) -> dict[str, str]:
    return {_variable(key, name): _env_value(f"{key}.{name}", one) for name, one in _object(value, key).items()}


def _env_value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float) or value == "":
        raise ConfigError(f"{key}: must be a text or a number, and not empty, got {shown(value)}")
    return str(value)


def _secret_env(key: str, value: Any) -> tuple[Secret, ...]:
    return tuple(_secret_variable(f"{key}.{name}", name, entry) for name, entry in _object(value, key).items())


def _secret_variable(key: str, name: Any, value: Any) -> Secret:
    said = _object(value, key)
    _refuse_unknown(key, said, "source", "key")
    name, source = _variable(key, name), said.get("source")
    if not isinstance(source, str) or not VARIABLE_NAME.fullmatch(source):
        raise ConfigError(f"{key}.source: must be the name of a variable of the parent's, got {shown(source)}")
    [secret] = _by_rule(site_args.secrets, key, {name: {"env": source, "to_env": name}}, None)
    return secret


def _secret_mounts(key: str, value: Any) -> tuple[Secret, ...]:
    return tuple(_secret_file(f"{key}.{name}", name, entry) for name, entry in _object(value, key).items())


def _secret_file(key: str, name: Any, value: Any) -> Secret:
    said = _object(value, key)
    _refuse_unknown(key, said, "source", "mount_path", "mode", ways_out={"items": "it is for Kubernetes: leave it out"})
    if said.get("mode", _READ_ONLY) != _READ_ONLY:
        raise ConfigError(f"{key}.mode: must be {_READ_ONLY!r}, got {shown(said['mode'])}")
    source = _by_rule(site_args.absolute_path, f"{key}.source", said.get("source"))
    if is_folder(Path(source)):
        raise ConfigError(f"{key}.source: {source} is a folder: here a secret is a file; name each by an entry")
    target = _by_rule(site_args.absolute_path, f"{key}.mount_path", said.get("mount_path"))
    [secret] = _by_rule(site_args.secrets, key, {name: {"file": source}}, None)
    return replace(secret, target=str(PurePosixPath(target)))


def _twice(secrets: Collection[Secret], env: Mapping[str, str]) -> Iterator[str]:
    """Say what a study would say twice, in ways that exclude each other."""
    names = [secret.name for secret in secrets]
    yield from (f"two of its secrets are called {name}" for name in dict.fromkeys(names) if names.count(name) > 1)
    yield from (f"env and secret_env both set {one.to_env}" for one in secrets if one.to_env in env)
    targets = [secret.target for secret in secrets if secret.target]
    yield from (f"secret_mounts: two are at {path}" for path in dict.fromkeys(targets) if targets.count(path) > 1)


def _object(value: Any, key: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key}: must be an object, got {shown(value)}")
    return value


def _refuse_unknown(key: str, said: Mapping[Any, Any], *known: str, ways_out: Mapping[str, str] | None = None) -> None:
    ways_out = ways_out or {}
    lines = [f"{key}: {line}" for line in _unknown(said, {**dict.fromkeys(known, ""), **ways_out})]
    lines += [f"{key}.{one}: {why}" for one, why in ways_out.items() if one in said]
    if lines:
        raise ConfigError("\n".join(lines))


def _unknown(said: Mapping[Any, Any], known: Mapping[str, Any]) -> Iterator[str]:
    for one in said:
        if one not in known:
            yield f"unknown key {shown(one)}{did_you_mean(str(one), known)}; known are {', '.join(known)}"


def _variable(key: str, name: Any) -> str:
    if not isinstance(name, str) or not VARIABLE_NAME.fullmatch(name):
        raise ConfigError(f"{key}: must name variables, got {shown(name)}")
    if name in _OURS:
        raise ConfigError(f"{key}: {name} is set by the launcher")
    return name


def _by_rule(rule: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return rule(*args, **kwargs)
    except ValueError as error:
        raise ConfigError(str(error)) from error


_PARTS: Mapping[str, Callable[[str, Any], Any]] = {
    "container": _container,
    "datasets": _datasets,
    "env": _env,
    "secret_env": _secret_env,
    "secret_mounts": _secret_mounts,
}
"""What may be said of a study here, and what it means."""
