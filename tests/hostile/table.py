"""The table: hostile jobs, by the classes of what they attack.

What a job does when it runs is tried in ``tests/integration/test_inside_a_job.py``.
"""

from __future__ import annotations

from typing import Any

from .folder_rows import FOLDER_ROWS, FolderRow, meta_change
from .rows import SITE, Place, Row, escaped, group, variables

HUGE = 10**5000
"""More digits than Python writes."""
NAN, INFINITY = float("nan"), float("inf")
HEX = "0123456789abcdef" * 4
TOO_LONG = "x" * (128 << 10)
"""Linux runs no program with an argument or a variable that is longer than this."""
TOO_MANY = {f"JOB_{i}": "x" * 1000 for i in range(2200)}
"""Linux gives a program 2 MiB of them in all."""

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


IDS: dict[str, Any] = {
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
SITES: dict[str, Any] = {
    "a site that is a number": 5,
    "all sites, almost": "@ALL ",
    "a site outside": "../site-1",
    "a site that ends in a newline": "site-1\n",
}

IDENTITY = [
    *group("identity", ("job_id",), IDS),
    *group("identity", ENTRY, SITES),
    *group(
        "identity",
        ENTRY,
        {"sites that are a text, of which ours is a part": {"sites": f"my-{SITE}"}},
        path="deploy_map.app[2].sites",
        shows=f"my-{SITE}",
    ),
]

SHAPE = [
    *group("shape", ("launcher_spec",), {"specs in a list": [SITE], "specs that are a text": "docker"}),
    *group("shape", ("launcher_spec", SITE), {"a site's spec that is a list": [], "one that is true": True}),
    *group("shape", SPEC, {"a launcher's spec that is a text": "--privileged", "one that is 0": 0}),
    *group("shape", DEFAULT, {"a default spec that is a list": ["image"]}),
    *group("shape", LEGACY, {"a legacy spec that is a text": "image"}),
    *group("shape", ("resource_spec",), {"resources in a list": [{"memory": 1}]}),
    *group("shape", RESOURCES, {"a site's resources that are a number": 64}),
    *group("shape", ("deploy_map",), {"a deploy map that is a list": ["app"], "one that is null": None}),
    *group("shape", ("deploy_map", "app"), {"an app's sites that are a number": 5}),
    *group("shape", ENTRY, {"an entry that is a list": [SITE], "an entry that is null": None}),
    *group("shape", ENTRY, {"an entry without sites": {}}, path="deploy_map.app[2].sites", shows=None),
    *group(
        "shape",
        (*SPEC, "image"),
        {"40 levels": nested(40), "100,000 levels": nested(100_000), "a list that contains itself": endless()},
        words=("nested deeper than 32 levels",),
    ),
    *group(
        "shape",
        (*SPEC, "image"),
        {"a lone surrogate": "\ud800", "half a smiley in a key": {"\ud83d": 1}},
        words=("\\ud8", "surrogate"),
    ),
    *group("shape", ("name",), {"a NUL in a name that nobody reads": "a\0b"}, words=("'a\\x00b'", "NUL")),
]

NO_IMAGES: dict[str, Any] = {
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
NOT_LISTED: dict[str, Any] = {
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
    "a digest behind a listed tag, which Docker ignores": f"job:1.2@sha256:{'2' * 64}",
    "a digest behind a listed name and tag": f"flcore-demo:latest@sha256:{'2' * 64}",
}

BY_ENTRY: Place = ("deploy_map", "app", 1, "image")
IMAGE = [
    *group("image", (*SPEC, "image"), NO_IMAGES),
    *group("image", (*SPEC, "image"), NOT_LISTED, key="images"),
    *group("image", (*DEFAULT, "image"), {"another image, by the default": "evil:1"}, key="images"),
    *group("image", (*LEGACY, "image"), {"another image, by the legacy spec": "evil:1"}, key="images"),
    *group("image", BY_ENTRY, {"another image, by the deploy map": "evil:1"}, key="images"),
    *group("image", BY_ENTRY, {"an id, by the deploy map": HEX, "a list, by the deploy map": ["x"]}),
]

OPTIONS: dict[str, Any] = {
    "a NUL among the options": ("--set", "a=1\0b"),
    "options that cannot be split": ("--set", "a='1"),
    "an option over 128 KiB": ("--set", f"a={TOO_LONG}"),
    "options with a lone surrogate": ("--set", "a=\ud800"),
    "three in place of two": ("--set", "a=1", "--privileged"),
    "a text in place of a pair": "--set a=1",
    "two million characters in all": ("--set", " ".join(f"{name}={value}" for name, value in TOO_MANY.items())),
}

ARGUMENTS = [
    *group("arguments", ("options",), OPTIONS, words=("options",), in_arguments=True),
    *group("arguments", ("target",), {"a NUL": ("-g", "host\0:1")}, words=("target",), in_arguments=True),
    *group(
        "arguments", ("client_name",), {"a lone surrogate": ("-c", "\ud800")}, words=("client_name",), in_arguments=True
    ),
]

RESERVED = (
    *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONPATH", "pythonpath", "PYTHONSTARTUP", "PYTHONHOME"),
    *("HTTP_PROXY", "https_proxy", "all_proxy", "DOCKER_HOST", "NVFLARE_JOB_AUTH_TOKEN", "FLCORE_DATASET_DIGITS"),
    *("HOME", "IFS", "ENV", "BASH_ENV"),
)
NO_VARIABLES: dict[str, str] = {
    "an empty name": "",
    "a name with =": "JOB_A=1;LD_PRELOAD",
    "a name with a blank": "JOB_A B",
    "a name with a newline": "JOB_A\n",
    "a name with a hyphen": "JOB-A",
    "a name in Cyrillic letters": "JOB_\u0410",
    "a name of 129 characters": "JOB_" + "A" * 125,
    "a name with a shell in it": "JOB_A() { :;}; reboot",
}
NOT_ALLOWED = {"a name that the site does not allow": "EPOCHS", "a prefix in other letters": "job_epochs"}
NO_VALUES: dict[str, Any] = {
    "a value that is a number": 1,
    "a value that is true": True,
    "a value that is null": None,
    "a value that is a list": ["1"],
    "a value that is an object": {"A": "1"},
    "a value over 128 KiB": TOO_LONG,
}

ENVIRONMENT = [
    *variables({f"the variable {name}": name for name in RESERVED}),
    *variables(NO_VARIABLES),
    *variables(NOT_ALLOWED, key="job_env_prefixes"),
    *group("environment", (*SPEC, "env", "JOB_A"), NO_VALUES),
    *group("environment", (*SPEC, "env", "JOB_A"), {"a value with a NUL": "a\0b"}, words=("'a\\x00b'", "NUL")),
    *group("environment", (*SPEC, "env"), {"a list of variables": ["JOB_A=1"], "a text": "JOB_A=1"}),
    *group("environment", (*SPEC, "env"), {"two million characters in all": TOO_MANY}, words=("env",)),
    *group("environment", (*DEFAULT, "env"), {"a variable, by the default": {"PATH": "/tmp"}}, shows="PATH"),
    *group("environment", (*LEGACY, "env"), {"a variable, by the legacy spec": {"PATH": "/tmp"}}, shows="PATH"),
]

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
DISGUISES = {
    "in capitals": "IMAGE",
    "with a blank": "image ",
    "with a Cyrillic letter": "im\u0430ge",
    "with a zero-width space": "image\u200b",
    "of no characters": "",
}

PRIVILEGE = [
    Row("privilege and isolation", f"Docker's {option}", (*SPEC, option), value)
    for option, value in DOCKER_OPTIONS.items()
]
PRIVILEGE += [
    Row(
        "privilege and isolation",
        f"privileged, by {place[0]}.{'.'.join(map(str, place[1:]))}",
        (*place, "privileged"),
        True,
    )
    for place in (DEFAULT, LEGACY, RESOURCES)
]
PRIVILEGE += [
    Row(
        *("privilege and isolation", f"a key {title}", (*SPEC, key), "evil:1"),
        path=escaped(f"launcher_spec.{SITE}.docker.{key}"),
    )
    for title, key in DISGUISES.items()
]
PRIVILEGE += group(
    "privilege and isolation",
    ENTRY,
    {"privileged, by the deploy map": {"sites": [SITE], "privileged": True}},
    path="deploy_map.app[2].privileged",
    shows=True,
)

PRIVILEGE += [
    *group("privilege and isolation", (*SPEC, "python_path"), {"another interpreter": "/bin/sh"}, key="python_paths"),
    *group("privilege and isolation", (*DEFAULT, "python_path"), {"no interpreter": ["/bin/sh"]}),
    *group("privilege and isolation", (*SPEC, "entrypoint"), {"an entry point": ["/bin/sh"]}, key="entrypoints"),
    *group("privilege and isolation", (*LEGACY, "entrypoint"), {"half an entry point": "'/bin/sh"}),
    *group("privilege and isolation", (*SPEC, "entrypoint"), {"a long one": TOO_LONG}),
]

NO_MEMORY: dict[str, Any] = {
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
NO_CPUS: dict[str, Any] = {
    "no processor": 0,
    "less than no processor": -1,
    "a nano-processor": 1e-9,
    "endless processors": INFINITY,
    "processors that are no number": NAN,
    "a number of processors as text": "1",
    "processors that are true": True,
    "processors in a list": [1],
}
NO_GPUS = {"GPUs as text": "1", "GPUs that are true": True, "less than no GPU": -1, "a float of GPUs": 1.0}
FOR_ALL: Place = ("resource_spec", "@default")
NO_SHM = {"shared memory below zero": -1, "shared memory with an exponent": "1e9", "true": True}

RESOURCE = [
    *group("resources", (*RESOURCES, "memory"), NO_MEMORY),
    *group("resources", (*RESOURCES, "num_of_cpus"), NO_CPUS),
    *group("resources", (*RESOURCES, "memory"), {"memory of 5,000 digits": HUGE}, words=("a number is too large",)),
    *group("resources", (*SPEC, "shm_size"), {"5,000 digits of shared memory": HUGE}, words=("a number is too large",)),
    *group("resources", (*RESOURCES, "num_of_gpus"), NO_GPUS),
    *group("resources", (*SPEC, "shm_size"), NO_SHM),
    *group("resources", (*RESOURCES, "num_of_gpus"), {"a GPU": 1, "all GPUs": 10**9}, key="gpu_ids"),
    *group("resources", (*FOR_ALL, "num_of_gpus"), {"a GPU, of all sites": 1}, key="gpu_ids"),
    *group("resources", (*FOR_ALL, "num_gpus"), {"a GPU of all sites, written wrong": 1}),
    *group("resources", FOR_ALL, {"all sites, by a list": ["num_of_gpus"], "by true": True}),
    *group("resources", (*SPEC, "num_of_gpus"), {"a GPU, by the launcher's spec": 1}, key="gpu_ids"),
    *group("resources", (*RESOURCES, "memory"), {"more memory than the limit": "257Mi"}, key="limits"),
    *group("resources", (*RESOURCES, "num_of_cpus"), {"more processors than the limit": 2.01}, key="limits"),
    *group("resources", (*SPEC, "shm_size"), {"more shared memory than the limit": "1Gi"}, key="limits"),
]

PATHS_AS_JOBS: dict[str, Any] = {
    "a job that is the folder above": "..",
    "a job that is this folder": ".",
    "a job outside": "../other-job",
    "a job inside another": "a/b",
    "a job with a backslash": "a\\b",
    "a job at an absolute path": "/etc",
    "a job that is the site's memory": ".flcore",
    "a job that is the site's keys": "startup",
    "a job that is the site's config": "local",
    "a job that is the site's config, in capitals": "LOCAL",
    "a job that is the site's files": "transfer",
    "a hidden job": ".hidden",
    "a job that is a home": "~root",
}
PATHS_AS_APPS: dict[str, str] = {
    "an app outside": "../startup",
    "an app at an absolute path": "/etc",
    "an app that is the folder above": "..",
    "a hidden app": ".flcore",
    "an app inside a folder": "a/b",
    "an app that ends in a newline": "app\n",
    "an app of 129 characters": "a" * 129,
    "an app without a name": "",
}

PATHS = [
    *group("paths and workspace", ("job_id",), PATHS_AS_JOBS),
    *group("paths and workspace", ("job_id",), {"a job with a NUL": "job\0"}, words=("'job\\x00'",)),
]
PATHS += [
    Row(
        *("paths and workspace", title, ("deploy_map", app), ["server"]),
        path=f"deploy_map.{escaped(app)}[0]",
        shows=app,
    )
    for title, app in PATHS_AS_APPS.items()
]

TERMINAL_S = {
    "a screen that is cleared": "\x1b[2J\x1b]0;owned\x07",
    "a line that is forged": "x\nINFO site: the job was approved\r",
    "300 bells": "\a" * 300,
    "a text from right to left": "\u202egpj.exe",
}


def messages(title: str, text: str) -> list[Row | FolderRow]:
    """Return what a text can get into an error by."""
    return [
        Row("messages", f"{title}, by the id", ("job_id",), text),
        Row("messages", f"{title}, by the image", (*SPEC, "image"), text),
        Row("messages", f"{title}, by a variable", (*SPEC, "env"), {text: "1"}, shows=text),
        Row("messages", f"{title}, by a key", (*SPEC, text), 1, words=(escaped(text)[:100],)),
        Row("messages", f"{title}, by a site", ENTRY, text),
        meta_change("messages", f"{title}, by a file", "mandatory_clients", [text], shows=text),
    ]


MESSAGES: list[Row | FolderRow] = [
    *(row for title, text in TERMINAL_S.items() for row in messages(title, text)),
    Row("messages", "a key of 5,000 characters", (*SPEC, "k" * 5000), 1, words=("k" * 100,)),
    Row("messages", "an id of 5,000 characters", ("job_id",), "j" * 5000),
    Row("messages", "a memory of 5,000 characters", (*RESOURCES, "memory"), "1" * 5000),
]

TABLE: list[Row | FolderRow] = [
    *(*IDENTITY, *SHAPE, *IMAGE, *ARGUMENTS, *ENVIRONMENT, *PRIVILEGE, *RESOURCE, *PATHS, *MESSAGES, *FOLDER_ROWS)
]
