"""A table of broken site configs and job folders, each with the one line that says what is wrong.

Whoever writes a config by hand makes these mistakes. Each message names the file (or the job), the place in it and the
way out. ``{file}`` stands for the path of the site's config, ``{job}`` for that of the job's folder.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from flcore import JobWorkflow, Site
from flcore.config.component_config import ComponentBuilder
from flcore.errors import ConfigError, FLCoreError
from flcore.submitted_job import SubmittedJob
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher

LAUNCHER = '"id": "launcher", "path": "launchers.docker_launcher.ClientDockerJobLauncher"'


def components(*configs: str) -> str:
    """Return the config of a site with these components."""
    return f'{{"site": "site-1", "components": [{", ".join(f"{{{config}}}" for config in configs)}]}}'


def with_args(args: str) -> str:
    """Return the config of a site whose launcher has these arguments."""
    return components(f'{LAUNCHER}, "args": {args}')


SITE_CONFIGS: list[tuple[str, str | bytes | None, str]] = [
    # the file
    ("the file is not there", None, "{file}: cannot be read: No such file or directory"),
    ("the file is empty", "", "{file}: line 1, column 1: Expecting value"),
    (
        "the JSON lacks a comma",
        '{\n  "site": "site-1"\n  "components": []\n}',
        "{file}: line 3, column 3: Expecting ',' delimiter",
    ),
    (
        "the JSON has a comment",
        "{\n  // mine\n}",
        "{file}: line 2, column 3: a comment; JSON has none",
    ),
    ("the file is no UTF-8", b'{"site": "\xe9"}', "{file}: byte 10 is no UTF-8"),
    ("the file is too long", " " * (1 << 20) + "{}", "{file}: longer than 1048576 bytes"),
    ("the JSON is too deep", "[" * 40 + "]" * 40, "{file}: nested deeper than 32 levels"),
    ("a key stands twice", '{"site": "a", "site": "b"}', "{file}: the key 'site' stands twice in one object"),
    ("NaN", with_args('{"timeout": NaN}'), "{file}: NaN is no JSON number"),
    ("a number too large", with_args('{"timeout": 1e999}'), "{file}: the number 1e999 is too large"),
    # the site
    ("no object", '["site-1"]', "{file}: must be an object, got ['site-1']"),
    (
        "an unknown key",
        '{"site": "site-1", "component": [], "components": []}',
        "{file}: unknown key 'component'; did you mean 'components'?",
    ),
    (
        "an unknown key that looks like none",
        '{"site": "site-1", "components": [], "port": 1}',
        "{file}: unknown key 'port'; "
        "known are $schema, admission, at_end, components, format_version, logging, site, strict, workspace",
    ),
    (
        "no site",
        '{"components": []}',
        "{file}: site: is missing; it must be the site's name: letters, digits, '.', '_' or '-'",
    ),
    (
        "a site's name with a blank",
        '{"site": "site 1", "components": []}',
        "{file}: site: must be the site's name: letters, digits, '.', '_' or '-', got 'site 1'",
    ),
    (
        "the workspace is no folder",
        '{"site": "site-1", "workspace": 5, "components": []}',
        "{file}: workspace: must be a folder, got 5",
    ),
    (
        "strict is no boolean",
        '{"site": "site-1", "strict": "yes", "components": []}',
        "{file}: strict: must be true or false, got 'yes'",
    ),
    (
        "admission is no object",
        '{"site": "site-1", "admission": 4, "components": []}',
        "{file}: admission: must be an object, got 4",
    ),
    (
        "an unknown limit",
        '{"site": "site-1", "admission": {"runing": 4}, "components": []}',
        "{file}: admission: unknown key 'runing'; did you mean 'running'?",
    ),
    (
        "no job may run",
        '{"site": "site-1", "admission": {"running": 0}, "components": []}',
        "{file}: admission.running: must be a number of jobs, 1 at least, got 0",
    ),
    (
        "a limit that is no number",
        '{"site": "site-1", "admission": {"launching": true}, "components": []}',
        "{file}: admission.launching: must be a number of jobs, 1 at least, got True",
    ),
    (
        "a limit of null",
        '{"site": "site-1", "admission": {"running": null}, "components": []}',
        "{file}: admission.running: must be a number of jobs, 1 at least, got None",
    ),
    (
        "a queue of less than nothing",
        '{"site": "site-1", "admission": {"queued": -1}, "components": []}',
        "{file}: admission.queued: must be a number of jobs, 0 at least, got -1",
    ),
    (
        "an unknown word for the end",
        '{"site": "site-1", "at_end": "stop", "components": []}',
        "{file}: at_end: must be 'leave' or 'end' (the running jobs), got 'stop'",
    ),
    (
        "at_end is no word",
        '{"site": "site-1", "at_end": ["end"], "components": []}',
        "{file}: at_end: must be 'leave' or 'end' (the running jobs), got ['end']",
    ),
    (
        "no components",
        '{"site": "site-1"}',
        "{file}: components: is missing; a site needs a list of them, a launcher at least",
    ),
    ("components is no list", '{"site": "site-1", "components": {}}', "{file}: components: must be a list, got {}"),
    # a component
    (
        "a component is no object",
        '{"site": "site-1", "components": ["launcher"]}',
        "{file}: components[0]: must be an object, got 'launcher'",
    ),
    ("no id", components('"path": "my_package.monitor.Monitor"'), "{file}: components[0]: needs an 'id'"),
    ("an id that is no text", components('"id": 5'), "{file}: components[0]: id: must be a non-empty string, got 5"),
    ("an id stands twice", components(LAUNCHER, LAUNCHER), "{file}: components[1]: the id 'launcher' stands twice"),
    (
        "an unknown key of a component",
        components(f'{LAUNCHER}, "arg": {{}}'),
        "{file}: component 'launcher': unknown key 'arg'; did you mean 'args'?",
    ),
    (
        "disabled is no boolean",
        components(f'{LAUNCHER}, "disabled": "false"'),
        "{file}: component 'launcher': disabled: must be true or false, got 'false'",
    ),
    (
        "a component of another type",
        components(f'{LAUNCHER}, "config_type": "dict"'),
        "{file}: component 'launcher': config_type: must be 'component' (or 'dict', for an argument that is not to be"
        " built), got 'dict'",
    ),
    # its class
    (
        "no class",
        components('"id": "launcher"'),
        "{file}: component 'launcher': needs exactly one of path, class_path, name; it has none",
    ),
    (
        "two classes",
        components('"id": "launcher", "path": "a.B", "class_path": "a.B"'),
        "{file}: component 'launcher': needs exactly one of path, class_path, name; it has path and class_path",
    ),
    (
        "the path is no text",
        components('"id": "launcher", "path": null'),
        "{file}: component 'launcher': path: must be a string, got None",
    ),
    (
        "the path of a file",
        components('"id": "launcher", "path": "launchers/docker_launcher.py"'),
        "{file}: component 'launcher': path: must be a class by its module, such as 'my_package.my_module.MyClass', got"
        " 'launchers/docker_launcher.py'",
    ),
    (
        "a class without its module",
        components('"id": "launcher", "path": "ClientDockerJobLauncher"'),
        "{file}: component 'launcher': path: must be a class by its module, such as 'my_package.my_module.MyClass', got"
        " 'ClientDockerJobLauncher'",
    ),
    (
        "an unknown module",
        components('"id": "monitor", "path": "my_package.monitor.Monitor"'),
        "{file}: component 'monitor': path: cannot import my_package.monitor: No module named 'my_package'; install its"
        " package, or put its folder on PYTHONPATH",
    ),
    (
        "a module that cannot be imported",
        components('"id": "monitor", "path": "broken_monitor.Monitor"'),
        "{file}: component 'monitor': path: cannot import broken_monitor: ValueError: no luck today",
    ),
    (
        "an unknown class",
        components('"id": "launcher", "path": "launchers.docker_launcher.ClientDokerJobLauncher"'),
        "{file}: component 'launcher': path: the module launchers.docker_launcher has no ClientDokerJobLauncher; did"
        " you mean 'ClientDockerJobLauncher'?",
    ),
    (
        "an unknown short name",
        components('"id": "launcher", "name": "ClientDockerLauncher"'),
        "{file}: component 'launcher': name: no installed package registers 'ClientDockerLauncher'; did you mean"
        " 'ClientDockerJobLauncher'?",
    ),
    (
        "a function",
        components('"id": "monitor", "path": "os.path.join"'),
        "{file}: component 'monitor': path: os.path.join is a function, not a class",
    ),
    (
        "a module",
        components('"id": "launcher", "path": "launchers.docker_launcher"'),
        "{file}: component 'launcher': path: launchers.docker_launcher is a module, not a class",
    ),
    (
        "a module that nobody has imported yet",
        components('"id": "monitor", "path": "xml.sax.expatreader"'),
        "{file}: component 'monitor': path: xml.sax.expatreader is a module, not a class",
    ),
    (
        "a number",
        components('"id": "monitor", "path": "errno.ENOENT"'),
        "{file}: component 'monitor': path: errno.ENOENT is an int, not a class",
    ),
    (
        "an abstract class",
        components('"id": "launcher", "path": "launchers.docker_launcher.DockerJobLauncher"'),
        "{file}: component 'launcher': path: launchers.docker_launcher.DockerJobLauncher is abstract: a subclass must"
        " define get_command",
    ),
    (
        "a class that is no component",
        components('"id": "monitor", "path": "collections.OrderedDict"'),
        "{file}: component 'monitor': OrderedDict is no FLComponent, so it would get no events",
    ),
    # its arguments
    ("args is null", with_args("null"), "{file}: component 'launcher': args: must be an object, got None"),
    ("args is a list", with_args('["x"]'), "{file}: component 'launcher': args: must be an object, got ['x']"),
    (
        "a missing argument",
        components('"id": "workflow", "path": "flcore.JobWorkflow", "args": {"sites": []}'),
        "{file}: component 'workflow': args: JobWorkflow: missing a required argument: 'job'",
    ),
    (
        "an unknown argument",
        components('"id": "recorder", "path": "flcore.testing.EventRecorder", "args": {"size": 1}'),
        "{file}: component 'recorder': args: unknown key 'size'; known are none",
    ),
    (
        "an argument with a slip",
        with_args('{"netwrk": "fl"}'),
        "{file}: component 'launcher': args: unknown key 'netwrk'; did you mean 'network'?",
    ),
    (
        "an argument with a slip, of a class far above",
        with_args('{"dataset": {}}'),
        "{file}: component 'launcher': args: unknown key 'dataset'; did you mean 'datasets'?",
    ),
    (
        "an argument of the wrong type",
        with_args('{"mount_path": 5}'),
        "{file}: component 'launcher': args: ClientDockerJobLauncher: mount_path must be an absolute path, got 5",
    ),
    (
        "a text where a list must be",
        with_args('{"images": "demo"}'),
        "{file}: component 'launcher': args: ClientDockerJobLauncher: images must be a list of non-empty strings, got"
        " 'demo'",
    ),
    (
        "a constructor that fails",
        components('"id": "monitor", "path": "broken_component.Monitor"'),
        "{file}: component 'monitor': Monitor cannot be built: OSError: no disk, no log",
    ),
    # components in arguments
    (
        "a broken component in a list in an object",
        with_args('{"env": {"A": [1, {"path": "nope"}]}}'),
        "{file}: component 'launcher': args.env.A[1]: path: must be a class by its module, such as"
        " 'my_package.my_module.MyClass', got 'nope'",
    ),
    (
        "a broken component in a component",
        with_args('{"env": {"path": "datetime.timedelta", "args": {"days": {"path": "datetime.dat"}}}}'),
        "{file}: component 'launcher': args.env: args.days: path: the module datetime has no dat; did you mean 'date'?",
    ),
    (
        "a component in an argument that is half disabled",
        with_args('{"env": {"path": "a.B", "disabled": 1}}'),
        "{file}: component 'launcher': args.env: disabled: must be true or false, got 1",
    ),
]


@pytest.fixture(autouse=True)
def broken_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the broken modules of the table importable."""
    (tmp_path / "broken_monitor.py").write_text('raise ValueError("no luck\\ntoday")\n')
    (tmp_path / "broken_component.py").write_text(
        "from flcore import FLComponent\n\n\n"
        "class Monitor(FLComponent):\n    def __init__(self):\n        raise OSError('no disk,\\n  no log')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [row[1:] for row in SITE_CONFIGS], ids=[row[0].replace(" ", "-") for row in SITE_CONFIGS]
)
def test_a_broken_site_config_says_in_one_line_what_is_wrong(
    content: str | bytes | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "site-1.json"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as raised:
        Site.from_config(file)
    assert str(raised.value) == message.replace("{file}", str(file))
    assert "\n" not in str(raised.value)


def test_all_that_is_wrong_with_a_config_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "site-1.json"
    launcher = {"path": "launchers.docker_launcher.ClientDockerJobLauncher"}
    components = [
        {"id": "one", **launcher, "args": {"user": "root", "pids_limit": 0}},
        {"id": "two", "path": "launchers.docker_launcher.Nothing"},
        {"id": "three", **launcher, "args": {"netwrk": "x", "imgae": "y", "keep": 1}},
    ]
    file.write_text(json.dumps({"site": "", "strict": 1, "components": components}))
    with pytest.raises(ConfigError) as raised:
        Site.from_config(file)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    said = ["site:", "strict:", "'one': args:", "'one': args:", "'two': path:"]
    said += ["'three': args: unknown key 'netwrk'", "'three': args: unknown key 'imgae'", "keep must be true or false"]
    assert [part in line for part, line in zip(said, lines, strict=True)] == [True] * len(said)


def test_a_config_that_contains_itself_is_refused() -> None:
    config: dict[str, Any] = {"id": "monitor", "path": "flcore.testing.EventRecorder", "args": {}}
    config["args"]["again"] = [config]
    with pytest.raises(ConfigError) as raised:
        ComponentBuilder("site.json").build_all([config])
    assert str(raised.value) == "site.json: components: nested deeper than 32 levels"


# --- jobs ---

RULE = "must be 1 to 128 letters, digits, '.', '_' or '-', and begin with a letter or digit"


def meta(more: str = "") -> str:
    """Return the metadata of a job that runs on server, site-1 and site-2."""
    return '{"deploy_map": {"app": ["server", "site-1", "site-2"]}' + (f", {more}" if more else "") + "}"


def deploy_map(entries: str) -> str:
    return f'{{"deploy_map": {entries}}}'


JOBS: list[tuple[str, str | None, str]] = [
    # the folder
    ("no meta.json", None, "{job}/meta.json: cannot be read: No such file or directory"),
    ("bad JSON", '{"name": x}', "{job}/meta.json: line 1, column 10: Expecting value"),
    ("no object", "[]", "{job}/meta.json: must be an object, got []"),
    (
        "an app that is not there",
        deploy_map('{"net": ["server", "site-1"]}'),
        "{job}: the deploy_map names the app 'net', which is no folder here",
    ),
    # the deploy_map
    (
        "no site in the deploy_map",
        deploy_map("{}"),
        "{job}: none of its sites is given: the deploy_map names no site; given: site 'server', site 'site-1', site "
        "'site-2'",
    ),
    ("deploy_map is a list", deploy_map("[]"), "{job}/meta.json: deploy_map: must be an object, got []"),
    (
        "the sites of an app are a number",
        deploy_map('{"app": 5}'),
        "{job}/meta.json: deploy_map.app: must be a list, got 5",
    ),
    (
        "an app that leads out of the job",
        deploy_map('{"../app": ["server"]}'),
        f"{{job}}/meta.json: deploy_map.../app[0]: {RULE}, got '../app'",
    ),
    (
        "a bad name of a site",
        deploy_map('{"app": ["server", "site 1"]}'),
        f"{{job}}/meta.json: deploy_map.app[1]: {RULE}, got 'site 1'",
    ),
    (
        "an unknown key of an entry",
        deploy_map('{"app": ["server", {"site": ["site-1"]}]}'),
        "{job}/meta.json: deploy_map.app[1].site: unknown key; known are image, sites, targets, got ['site-1']",
    ),
    (
        "only sites that nobody gave",
        deploy_map('{"app": ["site-8", "site-9"]}'),
        "{job}: none of its sites is given: the deploy_map names site 'site-8', site 'site-9'; given: site 'server', "
        "site 'site-1', site 'site-2'",
    ),
    # min_clients
    (
        "more clients than there are",
        meta('"min_clients": 3'),
        "{job}/meta.json: min_clients: must be a number from 0 to 2, its clients, got 3",
    ),
    (
        "min_clients is a text of no number",
        meta('"min_clients": "two"'),
        "{job}/meta.json: min_clients: must be a number from 0 to 2, its clients, got 'two'",
    ),
    (
        "min_clients is true",
        meta('"min_clients": true'),
        "{job}/meta.json: min_clients: must be a number from 0 to 2, its clients, got True",
    ),
    (
        "more clients than were given of those there are",
        '{"deploy_map": {"app": ["server", "site-1", "site-8", "site-9"]}, "min_clients": 2}',
        "{job}/meta.json: min_clients: the job needs 2 of its clients; given: site 'site-1'; not given: site 'site-8', "
        "site 'site-9'",
    ),
    # mandatory_clients
    (
        "a mandatory client that nobody gave",
        '{"deploy_map": {"app": ["server", "site-1", "site-9"]}, "mandatory_clients": ["site-9"]}',
        "{job}/meta.json: mandatory_clients: site 'site-9' must take part, and is not given",
    ),
    (
        "a mandatory client that is none of its",
        meta('"mandatory_clients": ["site-9"]'),
        "{job}/meta.json: mandatory_clients: must be among its clients, site-1, site-2, got 'site-9'",
    ),
]


def write_job(folder: Path, content: str | None) -> Path:
    (folder / "app").mkdir(parents=True)
    if content is not None:
        (folder / "meta.json").write_text(content)
    return folder


def read_and_cast(folder: Path) -> SubmittedJob:
    """Do what ``flcore run`` does before anything is launched."""
    job = SubmittedJob.read(folder)
    JobWorkflow(job, [Site(name, workspace=folder / "work") for name in ("server", "site-1", "site-2")])
    return job


@pytest.mark.parametrize(
    ("content", "message"), [row[1:] for row in JOBS], ids=[row[0].replace(" ", "-") for row in JOBS]
)
def test_a_broken_job_says_in_one_line_what_is_wrong(content: str | None, message: str, tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", content)
    with pytest.raises(FLCoreError) as raised:
        read_and_cast(folder)
    assert str(raised.value) == message.replace("{job}", str(folder))
    assert "\n" not in str(raised.value)


def test_a_job_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        SubmittedJob.read(tmp_path / "nothing")
    assert str(raised.value) == f"{tmp_path}/nothing: is no job folder; it needs a meta.json and an app"


def test_an_app_that_is_a_link_out_of_the_job_is_no_app(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", deploy_map('{"keys": ["server", "site-1"]}'))
    (tmp_path / "startup").mkdir()
    (folder / "keys").symlink_to(tmp_path / "startup")
    with pytest.raises(ConfigError, match="the deploy_map names the app 'keys', which is no folder here"):
        SubmittedJob.read(folder)


def test_two_sites_of_one_name_are_refused(tmp_path: Path) -> None:
    job = SubmittedJob.read(write_job(tmp_path / "job", meta()))
    with pytest.raises(ConfigError, match=r"^two of the sites have the same name: server, server$"):
        JobWorkflow(job, [Site("server"), Site("server")])


# What a site refuses when it launches the job. Its launcher: the images "demo-*", at most 1Gi and 4 processors.

REFUSED: list[tuple[str, str, str]] = [
    (
        "an image that is not on the site's list",
        '"launcher_spec": {"site-1": {"docker": {"image": "evil:1"}}}',
        "job j1: launcher_spec.site-1.docker.image: is not on the list of site site-1 ('images'), got 'evil:1'",
    ),
    (
        "an image that is an option",
        '"launcher_spec": {"default": {"docker": {"image": "-v/:/host"}}}',
        "job j1: launcher_spec.default.docker.image: must be the name of an image, such as 'python:3.12' or"
        " 'registry.example.com/team/job:1', got '-v/:/host'",
    ),
    (
        "an unknown wish",
        '"launcher_spec": {"site-1": {"docker": {"privileged": true}}}',
        "job j1: launcher_spec.site-1.docker.privileged: no job may ask for it, only a site ('privileged'), got True",
    ),
    (
        "memory in a wrong unit",
        '"resource_spec": {"site-1": {"memory": "1GB"}}',
        "job j1: resource_spec.site-1.memory: must be a number of bytes, or a text such as '512Mi' or '16Gi', got"
        " '1GB'",
    ),
    (
        "too many GPUs",
        '"resource_spec": {"site-1": {"num_of_gpus": 1}}',
        "job j1: resource_spec.site-1.num_of_gpus: this site offers no GPUs ('gpu_ids'), got 1",
    ),
    (
        "GPUs as a text",
        '"resource_spec": {"site-1": {"num_of_gpus": "1"}}',
        "job j1: resource_spec.site-1.num_of_gpus: must be a number of GPUs, got '1'",
    ),
    (
        "no processors",
        '"resource_spec": {"site-1": {"num_of_cpus": 0}}',
        "job j1: resource_spec.site-1.num_of_cpus: must be a number of processors, 0.01 at least, got 0",
    ),
]


@pytest.mark.parametrize(
    ("wish", "message"), [row[1:] for row in REFUSED], ids=[row[0].replace(" ", "-") for row in REFUSED]
)
def test_a_job_that_a_site_refuses_learns_why_in_one_line(wish: str, message: str, tmp_path: Path) -> None:
    job = read_and_cast(write_job(tmp_path / "job", meta(wish)))
    launcher = ClientDockerJobLauncher(image="job:1", images=["demo-*"], limits={"memory": "1Gi", "num_of_cpus": 4})
    with pytest.raises(FLCoreError) as raised:
        launcher.plan(job.meta | {"job_id": "j1"}, FakeFLContext(job_args={"exe_module": ("-m", "client")}))
    assert str(raised.value) == message
