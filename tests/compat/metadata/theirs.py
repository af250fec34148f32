"""What NVIDIA FLARE makes of metadata: its validator at the submission, its Docker launcher at one of the sites."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import docker
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContextManager
from nvflare.app_opt.job_launcher import docker_launcher
from nvflare.private.fed.server.job_meta_validator import JobMetaValidator
from nvflare.private.fed.utils.fed_utils import extract_participants
from nvflare.utils import job_launcher_utils

from .made_up import APPS, SITE, MadeUp
from .outcome import Outcome, Refused, Taken

JOB = "made-up"
IMAGE = "the-sites:1"
PYTHON = "/the/sites/python"
_CONFIGS = ("config/", "config/config_fed_server.json", "config/config_fed_client.json", "custom/", "custom/own.py")
"""What an app has."""
_OPTIONS = ("shm_size", "mem_limit", "nano_cpus", "device_requests", "ipc_mode")
_HAS_SPECS = hasattr(job_launcher_utils, "get_job_launcher_spec")
"""Whether a job asks the launcher for more than an image: from 2.8 on."""


class AskedOfDocker(Exception):  # noqa: N818 - it is an answer
    """What a launcher wants to run."""

    def __init__(self, image: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.image, self.options = image, options


class Theirs:
    """A federation of NVIDIA FLARE's, of the version that is installed."""

    def __init__(self) -> None:
        self._zip = _zip_of_apps()
        self._launch = _launcher() if _HAS_SPECS else _image_alone

    def outcome(self, made_up: MadeUp) -> Outcome:
        data = BytesIO(self._zip)
        with ZipFile(data, "a") as file:
            file.writestr(f"{JOB}/{made_up.file}", made_up.text)
        try:
            is_good, why, meta = JobMetaValidator().validate(JOB, data.getvalue())
            return self._at_the_site(meta) if is_good else Refused(why)
        except Exception as error:  # noqa: BLE001 - whatever it does not expect is no job that it takes
            return Refused(f"{type(error).__name__}: {error}")

    def _at_the_site(self, meta: dict[str, Any]) -> Outcome:
        app = _app(meta)
        return replace(Taken() if app is None else self._launch(app, {**meta, "job_id": "job-1"}), meta=meta)


def _zip_of_apps() -> bytes:
    data = BytesIO()
    with ZipFile(data, "w") as file:
        for app in APPS:
            for path in _CONFIGS:
                file.writestr(f"{JOB}/{app}/{path}", "{}" if path.endswith("json") else "")
    return data.getvalue()


def _app(meta: dict[str, Any]) -> str | None:
    """Return the app that the scheduler sends to the site."""
    for app, entries in meta["deploy_map"].items():
        if any(name == SITE or name.upper() == "@ALL" for name in extract_participants(entries)):
            return str(app)
    return None


def _image_alone(app: str, meta: dict[str, Any]) -> Taken:
    return Taken(app, job_launcher_utils.extract_job_image(meta, SITE))


def _launcher() -> Callable[[str, dict[str, Any]], Taken]:
    """Return what launches a job as far as to the call of the engine, and says what was asked there."""
    named: list[bool] = []
    read = docker_launcher.get_job_launcher_spec

    def with_an_image(*args: Any) -> dict[str, Any]:
        """Return a spec whose job has an image, as it would be by its study."""
        spec: dict[str, Any] = read(*args)
        named[:] = [bool(spec.get("image"))]
        return spec if named[0] or spec.get("image") not in (None, "") else {**spec, "image": IMAGE}

    def run(image: str, **options: Any) -> None:
        raise AskedOfDocker(image, options)

    docker_launcher.get_job_launcher_spec = with_an_image
    launcher = docker_launcher.ClientDockerJobLauncher(workspace="/kit", default_python_path=PYTHON)
    launcher._docker_client = SimpleNamespace(containers=SimpleNamespace(run=run))
    fl_ctx = FLContextManager(engine=None, identity_name=SITE, job_id="").new_context()
    fl_ctx.set_prop(FLContextKey.JOB_PROCESS_ARGS, {"exe_module": ("-m", "client")}, private=True, sticky=False)

    def launch(app: str, meta: dict[str, Any]) -> Taken:
        try:
            launcher.launch_job(meta, fl_ctx)
        except AskedOfDocker as asked:
            return _taken(app, asked.image if named[0] else None, asked.options)
        raise AssertionError("it has launched without an engine")

    return launch


def _taken(app: str, image: str | None, options: dict[str, Any]) -> Taken:
    """Return what Docker's SDK makes of the options. It raises what it raises."""
    asked: dict[str, Any] = {key: options.get(key) for key in _OPTIONS}
    host = docker.types.HostConfig(version="1.41", **asked)
    if type(host.get("ShmSize", 0)) is not int or host.get("ShmSize", 0) < 0:
        raise ValueError("the engine takes no such shared memory")
    python, entrypoint = options["command"][0], options.get("entrypoint") or ()
    words = shlex.split(entrypoint) if isinstance(entrypoint, str) else entrypoint
    return Taken(
        app=app,
        image=image,
        gpus=sum(request["Count"] for request in host.get("DeviceRequests") or ()),
        cpus=host.get("NanoCpus", 0) / 1e9,
        memory=host.get("Memory"),
        shm_size=host.get("ShmSize"),
        python=None if python == PYTHON else python,
        entrypoint=tuple(words),
    )
