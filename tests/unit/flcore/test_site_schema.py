"""What editors are told of a site's config: all that is wrong with it that a schema can tell, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
from jsonschema import Draft202012Validator

from flcore import FLComponent, Site
from flcore.config.arguments import arguments_of
from flcore.config.component_config import ComponentBuilder, registered_components
from flcore.errors import ConfigError
from flcore.observers import MetricsExporter
from flcore.site_config import KEYS, SiteConfig
from flcore.site_schema import classes_of, site_schema
from launchers.docker_launcher import ClientDockerJobLauncher, DockerJobLauncher
from tests.environments import ROOT
from tests.pages import BLOCKS
from tests.site_schemas import argument_validator, validator_for, wrong_in

from .test_broken_configs import SITE_CONFIGS

NO_FILE = "needs the disk: there is no such file"
IMPORT = "needs the disk: whether there is such a class, and of what kind, is known when it is imported"
RUNS = "needs the disk: the component fails as it is made"
RELATION = "is a relation between components: no schema can compare their ids"
NO_NUMBER = "is no number that JSON Schema knows of: what parsers make of it is up to them"

NOT_FOUND = {
    "the file is not there": NO_FILE,
    "a number too large": NO_NUMBER,
    "an id stands twice": RELATION,
    "an unknown module": IMPORT,
    "a module that cannot be imported": IMPORT,
    "a function": IMPORT,
    "a module that nobody has imported yet": IMPORT,
    "a number": IMPORT,
    "a class that is no component": IMPORT,
    "a constructor that fails": RUNS,
    "a broken component in a component": IMPORT,
}
"""The broken configs that an off-the-shelf validator takes, each with the reason."""
ONLY_NAMED = {"an unknown argument"}
"""What is found where the schema was made for the config, whose class nobody has registered."""


def parsed(content: str | bytes | None) -> Any:
    """Return what a parser that keeps to the standard makes of a file. Raises ValueError if it is no JSON."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    return json.loads(content or "{}", parse_constant=refuse)


def is_found(content: str | bytes | None, *, as_named: bool) -> bool:
    """Whether an editor, or a validator, finds something wrong with a config."""
    if content is None:
        return False
    try:
        config = parsed(content)
    except ValueError:
        return True
    components = config.get("components") if isinstance(config, dict) and as_named else None
    return not validator_for(components).is_valid(config)


@pytest.mark.parametrize(("name", "content"), [row[:2] for row in SITE_CONFIGS], ids=[row[0] for row in SITE_CONFIGS])
def test_of_the_broken_configs_those_are_found_that_need_nothing_but_the_file(
    name: str, content: str | bytes | None
) -> None:
    assert is_found(content, as_named=True) is (name not in NOT_FOUND)
    assert is_found(content, as_named=False) is (name not in {*NOT_FOUND, *ONLY_NAMED})


def test_each_reason_is_of_a_broken_config() -> None:
    assert {*NOT_FOUND, *ONLY_NAMED} <= {row[0] for row in SITE_CONFIGS}


# --- no good config is refused ---


def parts(text: str) -> Any:
    """Return what a page shows: all of a file, or some of its keys."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(f"{{{text}}}")


def as_config(given: Any) -> Any:
    """Return the config of a page: all of it, or some of a site's keys, a component, or the arguments of a launcher."""
    if "components" in given and "site" in given:
        return given
    launcher = {"id": "launcher", "path": "launchers.docker_launcher.ClientDockerJobLauncher"}
    if "id" in given:
        return {"site": "site-1", "components": [launcher, given]}
    if "args" in given:
        return {"site": "site-1", "components": [launcher | given]}
    return {"site": "site-1", "components": [launcher]} | given


ON_PAGES = [
    (block.page, given)
    for block in BLOCKS
    if block.language == "json" and block.page != "nvflare"  # whose files are kits'
    if (given := parts(block.text)).keys() & {"id", "args", *KEYS}
]


SITE_FILES = [path for path in sorted((ROOT / "configs").rglob("*.json")) if '"components"' in path.read_text()]


@pytest.mark.parametrize("path", SITE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_configs_of_the_project_are_good(path: Path) -> None:
    assert wrong_in(json.loads(path.read_text())) == []


@pytest.mark.parametrize(("page", "given"), ON_PAGES)
def test_the_configs_of_the_pages_are_good(page: str, given: Any) -> None:
    assert wrong_in(as_config(given)) == []


def test_there_are_configs_to_be_good() -> None:
    assert len(SITE_FILES) >= 6
    assert len(ON_PAGES) >= 5


def site_of(*components: Any, **more: Any) -> dict[str, Any]:
    return {"site": "site-1", "components": list(components), **more}


def launcher(**args: Any) -> dict[str, Any]:
    return {"id": "launcher", "name": "ClientDockerJobLauncher", "args": args}


@pytest.mark.parametrize(
    "config",
    [
        site_of(launcher(), **{"$schema": "./site.schema.json"}),
        site_of(
            launcher(datasets={"a": "${CONFIG_DIR}/data"}, home="${CONFIG_DIR}", host_paths={"/a": "${CONFIG_DIR}"})
        ),
        site_of(launcher(gpu_ids=["0", "1"]), launcher(gpu_ids="all") | {"id": "other"}),
        site_of(launcher(timeout=None, image=None, env=None, limits=None, tmpfs=None, docker_tls=None)),
        site_of(launcher(limits={"memory": "8Gi", "num_of_cpus": 1.5, "shm_size": "1.5GB", "num_of_gpus": None})),
        site_of(launcher(images=["python:3.*", "registry.example.com/team/*@sha256:" + "0" * 64], gpu_memory=1 << 40)),
        site_of({"id": "of-nobody", "disabled": True, "whatever": 1}, launcher()),
        site_of({"id": "of-nobody", "disabled": True, "path": 5, "args": []}, launcher()),
        site_of({"id": "of-others", "class_path": "my_package.Monitor", "args": {"a": [{"b": None}]}}, launcher()),
        site_of({"id": "of-others", "path": "мой.модуль.Класс"}, launcher()),
        site_of(launcher(env={"path": "my_package.Variables", "args": {"of": [{"path": "my_package.More"}]}})),
        site_of(launcher(env={"path": "usr/bin", "config_type": "dict"})),
        site_of(
            {"id": "of-others", "path": "a.B", "args": {"c": {"path": "d.E", "disabled": True, "f": 1}}}, launcher()
        ),
        site_of({"id": "view", "path": "flcore.JobWorkflow", "args": {"job": {"path": "a.Job"}, "sites": []}}),
        site_of({"id": "again", "path": "launchers.job_launcher.JobLauncher"}, format_version=2, workspace="w"),
    ],
    ids=str,
)
def test_what_may_be_is_let_pass(config: Any) -> None:
    assert wrong_in(config) == []


def test_a_config_may_name_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "site-1.json"
    file.write_text(json.dumps({"$schema": "./site.schema.json"} | site_of()))
    assert Site.from_config(SiteConfig.read(file)).name == "site-1"


# --- what rules say is what they do ---

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 1.5, -0.5, 0.01, 1e300, 65_535, 65_536, 6 << 20, 1 << 62, 1 << 63, "", " ", "a"),
    *(".", "/", "/a/b", "a/b", "/a,b", "all", "host", "0", "1", "-1", "8Gi", "1.5g", "512Mi", "8GB", "0", "10Mi,exec"),
    *("1000:1000", "0:0", "1000", "root", "200000-265535", "0-5", "5-1", "never", "if-missing", "always", "adopt"),
    *("python:3.12", "python:3.*", "*", "unix:///run/engine.sock", "nobody:nobody", "a b", "${CONFIG_DIR}/a", "HOME"),
    *([], [""], ["a"], ["a", "a"], ["a b"], ["/a"], [1], [None], [[]], [["a"]], [["a", " "]], ["0"], ["0", "0"], ["*"]),
    *(
        ["0", "1"],
        ["seccomp"],
        ["seccomp=unconfined"],
        ["NET_ADMIN"],
        ["images", "network"],
        ["rootless"],
        ["python:*"],
    ),
    *(["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"], ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "0"]),
    *({}, {"a": "b"}, {"a": 1}, {"a": None}, {"a": "/b"}, {"/a": "/b"}, {"/a": "1Gi"}, {"/a": "1Gi,exec"}, {"/a": 0}),
    *(
        {"a-b": "/c", "a_b": "/d"},
        {"memory": "8Gi"},
        {"memory": 1},
        {"memory": None},
        {"num_of_cpus": 0.001},
        {"cpu": 1},
    ),
    *({"num_of_cpus": 2}, {"num_of_gpus": 1}, {"num_of_gpus": -1}, {"shm_size": "1.5g"}, {"shm_size": "0"}),
    *({"a": {"file": "/b"}}, {"a": {"env": "B"}}, {"a": {"env": "B", "file": "/b"}}, {"a": {}}, {"a": {"to_env": "B"}}),
    *(
        {"-": {"env": "B"}},
        {"a": {"env": "1B"}},
        {"ca": "/a"},
        {"cert": "/a"},
        {"cert": "/a", "key": "/b"},
        {"x": "/a"},
    ),
    *([{"source": "/a", "target": "/b"}], [{"source": "/a"}], [{"source": "a", "target": "/b"}], ["/a:/b"]),
    [{"source": "/a", "target": "/b", "read_only": False}],
    [{"source": "/a", "target": "/b", "read_only": "no"}],
]
"""What somebody may write, rightly or not, for some argument."""
TOLD_ONLY_BY_THE_RULE = (
    r"must be at least .* and less than 8 EiB",  # of a text: how much it means
    r"user_range .* got '(0-5|5-1)'",
    r"make the same variable",
    r"is insecure",
    r"(must be no more than|no more than the .* of 'gpu_ids'|no job can write to|names a device twice)",
    r"prepull: 'pull_policy' is 'never'|prepull: neither 'image' nor 'images'",
    r"docker_tls needs a docker_host|'user_range'|'user_lease_dir'",
    r"memory: must be at least 6Mi",
    r"must be a whole number.* got 1e\+300",  # to JSON it is one
)
"""What is wrong by how much a text means, or by what another key says."""


def classes() -> list[type[Any]]:
    builder = ComponentBuilder("here")
    found, wrong = builder.find_classes([{"path": entry.value.replace(":", ".")} for entry in registered_components()])
    assert wrong == []
    return list(found.values())


ARGUMENTS = list({name: (cls, name) for cls in classes() for name in arguments_of(cls).named}.values())
"""Each once: launchers share theirs."""


def why_not(cls: type[Any], args: dict[str, Any]) -> str:
    """Return why a class cannot be made with arguments; empty if it can."""
    expanded = json.loads(json.dumps(args).replace("${CONFIG_DIR}", "/etc/site"))
    try:
        cls(**expanded)
    except (ConfigError, ValueError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("cls", "name"), ARGUMENTS, ids=[f"{cls.__name__}-{name}" for cls, name in ARGUMENTS])
def test_an_argument_may_be_by_the_schema_what_it_may_be(cls: type[Any], name: str) -> None:
    if cls is MetricsExporter:
        pytest.importorskip("prometheus_client", reason="of the extra [metrics]")
    schema = argument_validator(cls, name)
    needed = {key: 1 for key, argument in arguments_of(cls).named.items() if argument.is_needed}
    for value in VALUES:
        reason, wrong = why_not(cls, needed | {name: value}), not schema.is_valid(value)
        unknown_to_schema = any(re.search(words, reason) for words in TOLD_ONLY_BY_THE_RULE)
        assert wrong is bool(reason) or (unknown_to_schema and not wrong), (value, reason)


@pytest.mark.parametrize("cls", classes())
def test_each_argument_of_ours_is_described(cls: type[Any]) -> None:
    arguments = arguments_of(cls)
    assert not arguments.takes_others
    assert [name for name, argument in arguments.named.items() if not argument.description] == []
    assert [name for name, argument in arguments.named.items() if not argument.may_be] in ([], ["runtime"])  # for tests


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(site_schema())


def test_a_schema_is_told_from_a_config(tmp_path: Path) -> None:
    (tmp_path / "site.schema.json").write_text(json.dumps(site_schema()))
    with pytest.raises(ConfigError, match="is a JSON Schema, by which editors check a site's config, and is none"):
        SiteConfig.read(tmp_path / "site.schema.json")


# --- other people's classes ---


class Monitor(FLComponent):
    """Watches.

    Args:
        every: seconds between two looks,
            however long.
        level: ``low``, or as :class:`a.b.Level` says.
    """

    def __init__(self, every: float, level: Literal["low", "high"] = "low", names: list[str] | None = None) -> None:
        super().__init__()


class OpenMonitor(Monitor):
    def __init__(self, colour: str | None = None, **others: Any) -> None:
        super().__init__(**others)


class MyLauncher(DockerJobLauncher):
    def __init__(self, speed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def wrong_with(cls: type[Any], **args: Any) -> list[str]:
    config = site_of({"id": "x", "path": "mine.It", "args": args})
    schema = site_schema({"mine.It": cls})
    return [error.message for error in Draft202012Validator(schema).iter_errors(config)]


def test_a_class_of_others_is_described_by_its_types() -> None:
    assert wrong_with(Monitor, every=1, names=["a"], level="high") == []
    assert wrong_with(Monitor, every=1, names=None) == []
    assert wrong_with(Monitor) == ["'every' is a required property"]
    assert wrong_with(Monitor, every="1") == ["'1' is not of type 'number'"]
    assert wrong_with(Monitor, every=1, level="middle") == ["'middle' is not one of ['low', 'high']"]
    assert wrong_with(Monitor, every=1, evry=2)[0].startswith("Additional properties are not allowed ('evry'")


def test_a_class_of_others_that_hands_on_what_it_does_not_name_may_also_take_it() -> None:
    assert wrong_with(OpenMonitor, every=1, colour=None, whatever={"path": "a.B"}) == []
    assert wrong_with(OpenMonitor, every="1") == ["'1' is not of type 'number'"]
    assert wrong_with(OpenMonitor, colour=5) == ["5 is not of type 'string', 'null'"]


def test_a_launcher_of_others_takes_what_ours_takes() -> None:
    assert wrong_with(MyLauncher, speed=1, image="a:1") == []
    assert wrong_with(MyLauncher, speed=1, network=5) == ["5 is not of type 'string', 'object'"]


def test_a_description_is_what_the_docstring_says() -> None:
    told = {name: argument.description for name, argument in arguments_of(Monitor).named.items()}
    assert told == {
        "every": "seconds between two looks, however long.",
        "level": "`low`, or as Level says.",
        "names": "",
    }


def test_a_default_is_told() -> None:
    arguments = site_schema()["$defs"]["launchers.docker_launcher.DockerJobLauncher"]["properties"]
    assert arguments["pids_limit"]["default"] == 1024
    assert arguments["images"]["default"] == []
    assert "default" not in arguments["image"]


def test_classes_beside_a_config_are_found_and_others_are_told(tmp_path: Path) -> None:
    file = tmp_path / "site-1.json"
    (tmp_path / "beside_a_config.py").write_text("class It:\n    pass\n\n\nIt2 = type('It2', (), {})\n")
    within = {"path": "no class, but an argument of that name", "more": [{"path": "beside_a_config.It2"}]}
    configs = [{"id": "a", "path": "beside_a_config.It", "args": within}, {"id": "b", "path": "nowhere.It"}, launcher()]
    file.write_text(json.dumps(site_of(*configs)))
    named, wrong = classes_of([file])
    assert [*named] == ["beside_a_config.It", "beside_a_config.It2"]
    assert [line.partition(": No module")[0] for line in wrong] == [
        f"{file}: components[1]: path: cannot import nowhere"
    ]


def test_a_class_that_is_known_by_several_paths_is_described_for_each() -> None:
    for config in (
        {"path": "flcore.observers.JobJournal"},
        {"class_path": "flcore.observers.job_journal.JobJournal"},
        {"name": "JobJournal"},
    ):
        assert wrong_in(site_of({"id": "journal", **config, "args": {"max_files": 0}})) == [
            "$.components[0].args.max_files: 0 is less than the minimum of 1"
        ]


def test_a_launcher_that_both_sides_have_is_described_once() -> None:
    assert arguments_of(ClientDockerJobLauncher) == arguments_of(DockerJobLauncher)
    assert "launchers.docker_launcher.ClientDockerJobLauncher" not in site_schema()["$defs"]
