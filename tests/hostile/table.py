"""The table: hostile jobs, by the classes of what they attack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .rows import SITE, AnyRow, FolderRow, Place, Row, fifo, group, meta_change, meta_file

HUGE = 10**5000
"""More digits than Python writes."""
NAN, INFINITY = float("nan"), float("inf")
CLEAR_SCREEN = "\x1b[2J\x1b]0;owned\x07"
FORGED_LINE = "x\nINFO site: the job was approved\r"
HEX = "0123456789abcdef" * 4
TOO_LONG = "x" * (128 << 10)
"""Linux runs no program with an argument or a variable that is longer than this."""

SPEC: Place = ("launcher_spec", SITE, "docker")
DEFAULT: Place = ("launcher_spec", "default", "docker")
LEGACY: Place = ("resource_spec", SITE, "docker")
RESOURCES: Place = ("resource_spec", SITE)
ENTRY: Place = ("deploy_map", "app", 2)


def nested(levels: int) -> Any:
    value: Any = "the end"
    for _ in range(levels):
        value = [value]
    return value


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def identity() -> Iterator[AnyRow]:
    ids = {
        "no id": None,
        "an empty id": "",
        "an id that is a number": 7,
        "an id that is true": True,
        "an id in a list": ["job-1"],
        "an id in an object": {"id": "job-1"},
        "an id of 5,000 digits": HUGE,
        "an id of 100,000 levels": nested(100_000),
        "an id of 129 characters": "j" * 129,
        "an id with a blank": "job 1",
        "an id that ends in a newline": "job-1\n",
        "an id in Cyrillic letters": "j\u043eb",
        "an id in full-width digits": "\uff11",
        "an id that is an option": "--privileged",
        "an id with a shell in it": "$(reboot)",
    }
    yield from group("identity", ("job_id",), ids)
    sites = {
        "a site that is a number": 5,
        "all sites, almost": "@all",
        "a site outside": "../site-1",
        "a site that ends in a newline": "site-1\n",
    }
    yield from group("identity", ENTRY, sites)
    ours_inside = f"my-{SITE}"
    yield Row(
        *("identity", "sites that are a text, of which ours is a part"),
        *(ENTRY, {"sites": ours_inside}),
        path="deploy_map.app[2].sites",
        shows=ours_inside,
    )


def shape() -> Iterator[AnyRow]:
    yield from group("shape", ("launcher_spec",), {"specs in a list": [SITE], "specs that are a text": "docker"})
    yield from group("shape", ("launcher_spec", SITE), {"a site's spec that is a list": [], "one that is true": True})
    yield from group("shape", SPEC, {"a launcher's spec that is a text": "--privileged", "one that is 0": 0})
    yield from group("shape", DEFAULT, {"a default spec that is a list": ["image"]})
    yield from group("shape", LEGACY, {"a legacy spec that is a text": "image"})
    yield from group("shape", ("resource_spec",), {"resources in a list": [{"memory": 1}]})
    yield from group("shape", RESOURCES, {"a site's resources that are a number": 64})
    yield from group("shape", ("deploy_map",), {"a deploy map that is a list": ["app"], "one that is null": None})
    yield from group("shape", ("deploy_map", "app"), {"an app's sites that are an object": {"sites": []}})
    yield from group("shape", ENTRY, {"an entry that is a list": [SITE], "an entry that is null": None})
    yield Row("shape", "an entry without sites", ENTRY, {}, path="deploy_map.app[2].sites", shows=None)
    too_deep = {"33 levels": nested(40), "100,000 levels": nested(100_000), "a list that contains itself": endless()}
    yield from group("shape", (*SPEC, "image"), too_deep, words=("nested deeper than 32 levels",))
    no_text = {"a lone surrogate": "\ud800", "half a smiley in a key": {"\ud83d": 1}}
    yield from group("shape", (*SPEC, "image"), no_text, words=("\\ud8", "surrogate"))
    yield Row("shape", "a NUL in a name that nobody reads", ("name",), "a\0b", words=("'a\\x00b'", "NUL"))
    yield from json_texts()
    for title, key, value in (
        ("a min_clients that is a text", "min_clients", "1"),
        ("a min_clients that is true", "min_clients", True),
        ("a min_clients below zero", "min_clients", -1),
        ("a min_clients with a fraction", "min_clients", 1.0),
        ("more clients than there are", "min_clients", 10**9),
        ("mandatory clients that are a text", "mandatory_clients", SITE),
    ):
        yield meta_change("shape", title, key, value)
    yield meta_file("shape", "metadata over 1 MiB", b" " * (1 << 20) + b"{}", "longer than 1048576 bytes")


def json_texts() -> Iterator[FolderRow]:
    """Yield what is wrong before there is any value."""
    for title, content, words in (
        ("an empty file", "", "Expecting value"),
        ("no JSON", "job_id: job-1", "Expecting value"),
        ("a JSON that is cut off", '{"job_id": "job-1"', "delimiter"),
        ("two JSONs", "{} {}", "Extra data"),
        ("a comment", "{} // privileged", "Extra data"),
        ("a comma too many", '{"name": "x",}', ""),
        ("a newline in a text", '{"name": "a\nb"}', "Invalid control character"),
        ("metadata that are a list", "[]", "must be an object, got []"),
        ("metadata that are null", "null", "must be an object, got None"),
        ("metadata that are a text", '"job"', "must be an object, got 'job'"),
        ("a key twice", '{"deploy_map": {}, "deploy_map": {"app": ["@ALL"]}}', "'deploy_map' stands twice"),
        ("a key twice, far below", '{"a": [{"b": {"c": 1, "c": 2}}]}', "'c' stands twice"),
        ("a key twice, once in disguise", '{"name": 1, "n\\u0061me": 2}', "'name' stands twice"),
        ("NaN", '{"min_clients": NaN}', "NaN is no JSON number"),
        ("infinity", '{"min_clients": Infinity}', "Infinity is no JSON number"),
        ("minus infinity", '{"min_clients": -Infinity}', "-Infinity is no JSON number"),
        ("a number that overflows", '{"min_clients": 1e999}', "the number 1e999 is too large"),
        ("a number of 10,000 digits", f'{{"min_clients": {"9" * 10_000}}}', "digits"),
        ("33 levels, as text", '{"a": ' + "[" * 33 + "]" * 33 + "}", "nested deeper than 32 levels"),
        ("100,000 levels, as text", "[" * 100_000, "nested deeper than 32 levels"),
        ("a NUL, escaped", '{"name": "a\\u0000b"}', "holds a NUL"),
        ("a NUL in a key", '{"na\\u0000me": 1}', "holds a NUL"),
        ("a lone surrogate, escaped", '{"name": "\\ud800"}', "surrogate"),
        ("a lone surrogate in a key", '{"\\udfff": 1}', "surrogate"),
    ):
        yield meta_file("shape", title, content, words)
    yield meta_file("shape", "no UTF-8", b'{"name": "\xff"}', "is no UTF-8")
    yield meta_file("shape", "UTF-16", '{"name": "x"}'.encode("utf-16"), "is no UTF-8")


def image() -> Iterator[AnyRow]:
    names = {
        "an empty name": "",
        "a blank": " ",
        "a blank before the name": " flcore-demo:latest",
        "a newline behind the name": "flcore-demo:latest\n",
        "an option": "--privileged",
        "a name and an option": "flcore-demo:latest --privileged",
        "a bare id": HEX,
        "the beginning of an id": HEX[:12],
        "an id with its kind": f"sha256:{HEX}",
        "a single hexadecimal digit": "a",
        "capitals": "FLCORE-DEMO:latest",
        "a Cyrillic letter": "flcore-d\u0435mo:latest",
        "full-width letters": "\uff46lcore-demo:latest",
        "a zero-width space": "flcore-demo\u200b:latest",
        "right-to-left": "\u202eflcore-demo:latest",
        "5,000 characters": "x" * 5000,
        "an address of the web": "https://registry.example.com/team/job:1",
        "a user before the registry": "registry.example.com@evil.example/team/job:1",
        "a user and a password": "me:secret@registry.example.com/team/job:1",
        "a way out of the listed folder": "registry.example.com/team/../evil/job:1",
        "a folder with no name": "registry.example.com/team//job:1",
        "two tags": "registry.example.com/team/job:1:2",
        "an empty tag": "registry.example.com/team/job:",
        "a tag with a slash": "job:1./evil",
        "an empty digest": "registry.example.com/team/job@",
        "a digest that is too short": f"registry.example.com/team/job@sha256:{HEX[:12]}",
        "a digest by a broken hash": f"registry.example.com/team/job@md5:{HEX[:32]}",
        "two digests": f"pinned@sha256:{'1' * 64}@sha256:{'2' * 64}",
        "a glob": "registry.example.com/team/*",
        "a glob of a tag": "flcore-demo:*",
        "true": True,
        "a number": 1,
        "a list": ["flcore-demo:latest"],
        "an object": {"name": "flcore-demo:latest"},
    }
    yield from group("image", (*SPEC, "image"), names)
    not_listed = {
        "another image": "evil:latest",
        "another tag": "flcore-demo:evil",
        "another registry": "evil.example/flcore-demo:latest",
        "another registry, by its port": "registry.example.com:5000/team/job:1",
        "this host as the registry": "localhost/flcore-demo:latest",
        "a registry that only looks like Docker Hub": "docker.io.evil.example/library/flcore-demo:latest",
        "a user of Docker Hub": "docker.io/evil/flcore-demo:latest",
        "a folder that begins like the listed one": "registry.example.com/teammate/job:1",
        "a registry that ends like the listed one": "evil-registry.example.com/team/job:1",
        "a listed name as the tag of another": "evil:flcore-demo",
        "another digest than the listed one": f"pinned@sha256:{'2' * 64}",
        "another digest behind a tag": f"pinned:1@sha256:{'2' * 64}",
    }
    yield from group("image", (*SPEC, "image"), not_listed, key="images")
    for place in (DEFAULT, LEGACY):
        yield from group(
            "image", (*place, "image"), {f"another image, by {place[0]}.{place[1]}": "evil:1"}, key="images"
        )
    entry: Place = ("deploy_map", "app", 1, "image")
    yield from group("image", entry, {"another image, by the deploy map": "evil:1"}, key="images")
    yield from group("image", entry, {"an id, by the deploy map": HEX, "a list, by the deploy map": ["x"]})


def arguments() -> Iterator[AnyRow]:
    options = {
        "a NUL among the options": ("--set", "a=1\0b"),
        "options that cannot be split": ("--set", "a='1"),
        "an option over 128 KiB": ("--set", f"a={TOO_LONG}"),
        "options with a lone surrogate": ("--set", "a=\ud800"),
        "three in place of two": ("--set", "a=1", "--privileged"),
        "a text in place of a pair": "--set a=1",
    }
    yield from group("arguments", ("options",), options, words=("options",), in_arguments=True)
    yield from group(
        "arguments", ("target",), {"a NUL in an address": ("-g", "host\0:1")}, words=("target",), in_arguments=True
    )
    many = {"two million characters in all": ("--set", " ".join(f"a{i}={'x' * 1000}" for i in range(2200)))}
    yield from group("arguments", ("options",), many, words=("options",), in_arguments=True)


def environment() -> Iterator[AnyRow]:
    reserved = (
        *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "HOME", "IFS"),
        *("HTTP_PROXY", "https_proxy", "all_proxy", "DOCKER_HOST", "NVFLARE_JOB_AUTH_TOKEN", "FLCORE_DATASET_DIGITS"),
        *("BASH_ENV", "ENV", "LD_AUDIT", "pythonpath"),
    )
    for name in reserved:
        yield Row("environment", f"the variable {name}", (*SPEC, "env"), {name: "1"}, shows=name)
    names = {
        "an empty name": "",
        "a name with =": "JOB_A=1;LD_PRELOAD",
        "a name with a blank": "JOB_A B",
        "a name with a newline": "JOB_A\n",
        "a name with a hyphen": "JOB-A",
        "a name in Cyrillic letters": "JOB_\u0410",
        "a name of 129 characters": "JOB_" + "A" * 125,
        "a name with a shell in it": "JOB_A() { :;}; reboot",
    }
    for title, name in names.items():
        yield Row("environment", title, (*SPEC, "env"), {name: "1"}, shows=name)
    prefixes = {"a name that the site does not allow": "EPOCHS", "a prefix in other letters": "job_epochs"}
    for title, name in prefixes.items():
        yield Row("environment", title, (*SPEC, "env"), {name: "1"}, "job_env_prefixes", shows=name)
    values = {
        "a value that is a number": 1,
        "a value that is true": True,
        "a value that is null": None,
        "a value that is a list": ["1"],
        "a value that is an object": {"A": "1"},
        "a value over 128 KiB": TOO_LONG,
    }
    yield from group("environment", (*SPEC, "env", "JOB_A"), values)
    yield Row("environment", "a value with a NUL", (*SPEC, "env", "JOB_A"), "a\0b", words=("'a\\x00b'", "NUL"))
    yield from group("environment", (*SPEC, "env"), {"a list of variables": ["JOB_A=1"], "a text": "JOB_A=1"})
    many = {f"JOB_{i}": "x" * 1000 for i in range(2200)}
    yield Row("environment", "two million characters in all", (*SPEC, "env"), many, words=("env",))
    yield Row("environment", "a variable, by the default", (*DEFAULT, "env"), {"PATH": "/tmp"}, shows="PATH")
    yield Row("environment", "a variable, by the legacy spec", (*LEGACY, "env"), {"PATH": "/tmp"}, shows="PATH")


DOCKER_OPTIONS: dict[str, Any] = {
    "privileged": True,
    "cap_add": ["SYS_ADMIN"],
    "cap_drop": [],
    "devices": ["/dev/mem"],
    "device_cgroup_rules": ["a *:* rwm"],
    "device_requests": [{"Count": -1}],
    "gpus": "all",
    "pid_mode": "host",
    "ipc_mode": "host",
    "uts_mode": "host",
    "userns_mode": "host",
    "cgroupns": "host",
    "network": "host",
    "network_mode": "container:another",
    "ports": {"22/tcp": 22},
    "publish_all_ports": True,
    "extra_hosts": {"server": "203.0.113.1"},
    "dns": ["203.0.113.1"],
    "hostname": "server",
    "links": ["another"],
    "mac_address": "02:42:ac:11:00:02",
    "volumes": ["/:/host"],
    "volumes_from": ["another"],
    "binds": ["/etc/shadow:/etc/shadow"],
    "mounts": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}],
    "tmpfs": {"/etc": "exec"},
    "datasets": {"keys": "/root/.ssh"},
    "read_only": False,
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "user": "0:0",
    "group_add": ["docker"],
    "entrypoint": ["/bin/sh", "-c"],
    "command": ["reboot"],
    "working_dir": "/proc/1/root",
    "init": False,
    "restart_policy": {"Name": "always"},
    "auto_remove": True,
    "stop_signal": "SIGUSR1",
    "healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000},
    "labels": {"flcore.site": "another"},
    "name": "another",
    "runtime": "another",
    "sysctls": {"kernel.core_pattern": "|/bin/sh"},
    "ulimits": [{"Name": "nofile", "Soft": 10**9}],
    "cgroup_parent": "/",
    "pids_limit": -1,
    "mem_limit": 0,
    "memswap_limit": -1,
    "oom_kill_disable": True,
    "oom_score_adj": -1000,
    "cpuset_cpus": "0",
    "cpu_shares": 262144,
    "blkio_weight": 1000,
    "storage_opt": {"size": "1T"},
    "log_config": {"Type": "syslog", "Config": {"syslog-address": "udp://203.0.113.1:514"}},
    "platform": "windows",
    "pull_policy": "always",
    "registries": ["evil.example"],
    "allow_insecure": ["privileged"],
    "HostConfig": {"Privileged": True},
}
"""What Docker, its Engine API, or a site's own config would understand."""


def privilege() -> Iterator[AnyRow]:
    for option, value in DOCKER_OPTIONS.items():
        yield from group("privilege and isolation", (*SPEC, option), {f"Docker's {option}": value})
    for place in (DEFAULT, LEGACY, RESOURCES):
        where = ".".join(map(str, place))
        yield from group("privilege and isolation", (*place, "privileged"), {f"privileged, by {where}": True})
    yield Row(
        *("privilege and isolation", "privileged, by the deploy map"),
        *(ENTRY, {"sites": [SITE], "privileged": True}),
        path="deploy_map.app[2].privileged",
        shows=True,
    )
    disguises = {
        "in capitals": "IMAGE",
        "with a blank": "image ",
        "with a Cyrillic letter": "im\u0430ge",
        "with a zero-width space": "image\u200b",
        "of no characters": "",
    }
    for title, key in disguises.items():
        place = (*SPEC, key)
        path = f"launcher_spec.{SITE}.docker.{key if key.isprintable() else repr(key)[1:-1]}"
        yield Row("privilege and isolation", f"a key {title}", place, "evil:1", path=path)


def resources() -> Iterator[AnyRow]:
    memory = {
        "no memory at all": 0,
        "memory below zero": -1,
        "less memory than Docker takes": (6 << 20) - 1,
        "memory with a blank": " 64m",
        "memory in Docker's unit": "64m",
        "memory with an exponent": "1e9",
        "memory in full-width digits": "\uff16\uff14Mi",
        "memory in Arabic digits": "\u0666\u0664Mi",
        "memory with an underscore": "6_4Mi",
        "memory with a sign": "+64Mi",
        "memory in hexadecimal": "0x4000000",
        "memory with a fraction": "1.5Mi",
        "memory that is a float": 67108864.0,
        "memory that is true": True,
        "memory that is a list": [67108864],
        "memory that is no number": NAN,
        "endless memory": INFINITY,
        "memory of 5,000 digits, as text": "9" * 5000,
        "memory that overflows": "999999999999999Ti",
        "memory of the kind of a swap": "-1",
        "memory and a newline": "64Mi\n",
    }
    yield from group("resources", (*RESOURCES, "memory"), memory)
    cpus = {
        "no processor": 0,
        "less than no processor": -1,
        "a nano-processor": 1e-9,
        "endless processors": INFINITY,
        "processors that are no number": NAN,
        "a number of processors as text": "1",
        "processors that are true": True,
        "processors in a list": [1],
    }
    yield from group("resources", (*RESOURCES, "num_of_cpus"), cpus)
    huge = {"memory of 5,000 digits": "memory", "processors of 5,000 digits": "num_of_cpus"}
    for title, name in huge.items():
        yield Row("resources", title, (*RESOURCES, name), HUGE, words=("a number is too large",))
    gpus = {"GPUs as text": "1", "GPUs that are true": True, "less than no GPU": -1, "a float of GPUs": 1.0}
    yield from group("resources", (*RESOURCES, "num_of_gpus"), gpus)
    yield from group("resources", (*RESOURCES, "num_of_gpus"), {"a GPU": 1, "all GPUs": 10**9}, key="gpu_ids")
    yield from group("resources", (*SPEC, "num_of_gpus"), {"a GPU, by the launcher's spec": 1}, key="gpu_ids")
    shm = {"shared memory below zero": -1, "no shared memory": 0, "shared memory as text": "64m", "true": True}
    yield from group("resources", (*SPEC, "shm_size"), shm)
    too_much = {"more memory than the limit": ("memory", "257Mi"), "more processors": ("num_of_cpus", 2.01)}
    for title, (name, value) in too_much.items():
        yield Row("resources", title, (*RESOURCES, name), value, "limits")
    yield Row("resources", "more shared memory than the limit", (*SPEC, "shm_size"), "1Gi", "limits")


def paths() -> Iterator[AnyRow]:
    ids = {
        "a job that is the folder above": "..",
        "a job that is this folder": ".",
        "a job outside": "../other-job",
        "a job inside another": "a/b",
        "a job with a backslash": "a\\b",
        "a job at an absolute path": "/etc",
        "a job that is the site's memory": ".flcore",
        "a job that is the site's keys": "startup",
        "a job that is the site's config": "local",
        "a hidden job": ".hidden",
        "a job that is a home": "~root",
    }
    yield from group("paths and workspace", ("job_id",), ids)
    yield Row("paths and workspace", "a job with a NUL", ("job_id",), "job\0", words=("'job\\x00'",))
    apps = {
        "an app outside": "../startup",
        "an app at an absolute path": "/etc",
        "an app that is the folder above": "..",
        "a hidden app": ".flcore",
        "an app inside a folder": "a/b",
        "an app that ends in a newline": "app\n",
        "an app of 129 characters": "a" * 129,
        "an app without a name": "",
    }
    for title, app in apps.items():
        path = f"deploy_map.{app if app.isprintable() else repr(app)[1:-1]}[0]"
        yield Row("paths and workspace", title, ("deploy_map", app), ["server"], path=path, shows=app)
    for title, make, says in (
        ("an app that is not there", lambda folder: _deploy(folder, "nowhere"), ["'nowhere'"]),
        ("an app that is a link", lambda folder: _link(folder / "linked", Path("/etc"), folder), ["'linked'"]),
        ("metadata that are a pipe", lambda folder: fifo(folder / "meta.json"), ["meta.json"]),
        ("metadata that are a folder", lambda folder: _folder(folder / "meta.json"), ["meta.json"]),
        ("metadata that are a link to the site's secrets", _secret_metadata, ["meta.json"]),
        ("no metadata", lambda folder: (folder / "meta.json").unlink(), ["meta.json"]),
        ("a pipe in the app", lambda folder: fifo(folder / "app/custom/pipe"), ["app"]),
    ):
        yield FolderRow("paths and workspace", title, make, says, title)


def messages() -> Iterator[AnyRow]:
    texts = {"a screen that is cleared": CLEAR_SCREEN, "a line that is forged": FORGED_LINE, "a bell": "\a" * 300}
    for title, text in texts.items():
        yield Row("messages", f"{title}, by the id", ("job_id",), text)
        yield Row("messages", f"{title}, by the image", (*SPEC, "image"), text)
        yield Row("messages", f"{title}, by a variable", (*SPEC, "env"), {text: "1"}, shows=text)
        yield Row("messages", f"{title}, by a key", (*SPEC, text), 1, words=(repr(text)[1:-1][:100],))
        yield Row("messages", f"{title}, by a site", ENTRY, text)
        yield meta_change("messages", f"{title}, by a file", "mandatory_clients", [text], shows=text)
    yield Row("messages", "a key of 5,000 characters", (*SPEC, "k" * 5000), 1, words=("k" * 100,))
    yield Row("messages", "an id of 5,000 characters", ("job_id",), "j" * 5000)
    yield Row("messages", "a memory of 5,000 characters", (*RESOURCES, "memory"), "1" * 5000)


def _deploy(folder: Path, app: str) -> None:
    (folder / "meta.json").write_text(f'{{"deploy_map": {{"{app}": ["@ALL"]}}}}')


def _link(link: Path, target: Path, folder: Path) -> None:
    link.symlink_to(target)
    _deploy(folder, link.name)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _secret_metadata(folder: Path) -> None:
    meta = folder / "meta.json"
    meta.rename(folder / "secret.json")
    meta.symlink_to(folder / "secret.json")


TABLE: list[AnyRow] = [
    row
    for rows in (identity, shape, image, arguments, environment, privilege, resources, paths, messages)
    for row in rows()
]
