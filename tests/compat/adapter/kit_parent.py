"""A parent of NVIDIA FLARE's: its own engine, and the components that it has built of what a provisioned kit names."""

from __future__ import annotations

import argparse
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nvflare
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.job_def import RunStatus
from nvflare.apis.workspace import Workspace
from nvflare.private.fed.app.fl_conf import FLClientStarterConfiger, FLServerStarterConfiger
from nvflare.private.fed.client.client_engine import ClientEngine
from nvflare.private.fed.server.run_manager import RunManager
from nvflare.private.fed.server.server_engine import ServerEngine

from launchers.nvflare_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.compat import kits
from tests.compat.environments import Flare

SERVER = "server"


def provision(folder: Path) -> Mapping[str, Path]:
    """Make the kits of a federation, by this interpreter's NVIDIA FLARE, and return their folders by site."""
    flare = Flare(nvflare.__version__, Path(sys.executable))
    return kits.provision(flare, folder, kits.Addresses("localhost", "localhost", 20001, 20002, {}))


RUNTIMES: dict[str, FakeRuntime] = {}
"""By name, for launchers that are built of texts."""

PARENTS: list[KitParent] = []
"""Those that were started."""


class ClientLauncher(ClientDockerJobLauncher):
    """A client's launcher, whose engine is a fake."""

    def __init__(self, engine: str, **kwargs: Any) -> None:
        super().__init__(runtime=RUNTIMES.setdefault(engine, FakeRuntime()), **kwargs)


class ServerLauncher(ServerDockerJobLauncher):
    """A server's launcher, whose engine is a fake."""

    def __init__(self, engine: str, **kwargs: Any) -> None:
        super().__init__(runtime=RUNTIMES.setdefault(engine, FakeRuntime()), **kwargs)


def launcher_of(kit: Path, **args: Any) -> dict[str, Any]:
    """Return a launcher of ours as a kit names it. All of one kit have the same engine."""
    args = {"image": "job:1", "network": "flare", "engine": str(kit), "stop_grace": 0, **args}
    kind = "Server" if kit.name == SERVER else "Client"
    return {"id": "launcher", "path": f"{__name__}.{kind}Launcher", "args": args}


def job_arguments(kit: Path, job_id: str) -> argparse.Namespace:
    """Return with what a job's process of a client is called."""
    options = ["secure_train=true", f"uid={kit.name}"]
    server = {"sp_scheme": "grpc", "sp_target": "localhost:8002", "parent_url": "tcp://localhost:8102"}
    return argparse.Namespace(
        workspace=str(kit), job_id=job_id, set=options, local_rank=0, parent_conn_sec="clear", **server
    )


class KitParent:
    """A site's parent, as far as it fires events and launches jobs. Its launcher's runtime is a fake.

    Args:
        components: what the kit's own file for parents names, in place of what NVIDIA FLARE has there by these ids.
        shared: what the file names that jobs' processes read, too, beside what NVIDIA FLARE has there.
    """

    def __init__(
        self, kit: Path, components: Sequence[Mapping[str, Any]], shared: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.kit, self.site = kit, kit.name
        kits.configure(kit, str(kit / "storage"), [], True, None)
        resources = kit / "local/resources.json"
        content, given = json.loads(resources.read_text()), {component["id"] for component in components}
        own = [component for component in content["components"] if component["id"] not in given]
        resources.write_text(json.dumps({**content, "components": [*own, *shared]}))
        (kit / "local/own__p_resources.json").write_text(json.dumps({"components": list(components)}))
        self.workspace = Workspace(str(kit), self.site)
        self.components = self._built()
        self.engine = self._server() if self.site == SERVER else self._client()
        self.launcher = self.components["launcher"]
        self.runtime = RUNTIMES.setdefault(str(kit), FakeRuntime())

    def start(self) -> None:
        """Tell of the start, as a parent does."""
        PARENTS.append(self)
        fl_ctx = self.engine.new_context()
        service = {"scheme": "grpc", "target": "localhost:8002"}
        known = {
            FLContextKey.WORKSPACE_OBJECT: self.workspace,
            FLContextKey.ARGS: self._args,
            FLContextKey.SERVER_CONFIG: [{"name": "compat", "service": service}],
        }
        for key, value in known.items():
            fl_ctx.set_prop(key, value, private=True)
        self.engine.fire_event("_system_bootstrap", fl_ctx)
        self.engine.fire_event("_system_start", self.engine.new_context())

    def close(self) -> None:
        self.engine.fire_event("_system_end", self.engine.new_context())

    def die(self) -> None:
        """Have it let go of all that it knows, as its death does, and of nothing that runs."""
        self.launcher.launcher.close()

    def fire(self, event_type: str, **props: Any) -> None:
        fl_ctx = self.engine.new_context()
        for key, value in props.items():
            fl_ctx.set_prop(key, value, private=True, sticky=False)
        self.engine.fire_event(event_type, fl_ctx)

    def submitted(self) -> str:
        """Have a server know a job, and return its id."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("hello/meta.json", "{}")
        meta = {"name": "hello", "resource_spec": {}, "deploy_map": {"app": ["@ALL"]}, "min_clients": 1}
        return str(self.components["job_manager"].create(meta, content.getvalue(), self.engine.new_context())["job_id"])

    def end_federated(self, job_id: str, status: RunStatus) -> None:
        """Have a server note how a job of all sites has ended, and tell of it, as when its process has ended."""
        self.components["job_manager"].set_status(job_id, status, self.engine.new_context())
        self.fire("_job_completed", **{FLContextKey.EVENT_DATA: {"job_id": job_id}})

    def launch(self, job_id: str, **meta: Any) -> Any:
        """Launch a job as a parent does, whose files it has put there before."""
        (self.kit / job_id / f"app_{self.site}" / "custom").mkdir(parents=True, exist_ok=True)
        job_meta = {"job_id": job_id, "name": "hello", "deploy_map": {"app": ["@ALL"]}, "resource_spec": {}, **meta}
        asked = self.engine.new_context()
        asked.set_prop(FLContextKey.JOB_META, job_meta, private=True, sticky=False)
        self.engine.fire_event("_before_job_launch", asked)
        fl_ctx = self.engine.new_context()
        fl_ctx.set_prop(FLContextKey.JOB_PROCESS_ARGS, self._arguments(job_id), private=True, sticky=False)
        handle = self.launcher.launch_job(job_meta, fl_ctx)
        fl_ctx.set_prop(FLContextKey.JOB_META, job_meta, private=True, sticky=False)
        self.engine.fire_event("_after_job_launch", fl_ctx)
        return handle

    def deploy(self, job_id: str, content: str = "pass", **meta: Any) -> dict[str, Any]:
        """Have a client have a job's app, as NVIDIA FLARE deploys it, and return the metadata."""
        job_meta = {"job_id": job_id, "name": "hello", "deploy_map": {"app": ["@ALL"]}, "resource_spec": {}, **meta}
        custom = self.kit / job_id / f"app_{self.site}/custom"
        custom.mkdir(parents=True, exist_ok=True)
        (custom / "client.py").write_text(content)
        Path(self.workspace.get_job_meta_path(job_id)).write_text(json.dumps(job_meta))
        return job_meta

    def has_room(self, job_id: str) -> tuple[bool, str]:
        """Ask a client's resource manager, as NVIDIA FLARE does before it schedules a job."""
        fl_ctx = self.engine.new_context()
        fl_ctx.set_prop(FLContextKey.CURRENT_JOB_ID, job_id, private=True, sticky=False)
        answer: tuple[bool, str] = self.components["resource_manager"].check_resources({}, fl_ctx)
        return answer

    def start_app(self, job_meta: dict[str, Any]) -> None:
        """Have a client's own executor launch a job that was deployed."""
        executor, client, job_id = self.engine.client_executor, self.engine.client, job_meta["job_id"]
        manager = self.components["resource_manager"]
        executor.start_app(client, job_id, job_meta, self._args, {}, "", manager, fl_ctx=self.engine.new_context())

    def container(self, job_id: str) -> str:
        return f"{self.site}-{job_id}"

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.kit / ".flcore/journal.jsonl").read_text().splitlines()]

    def _built(self) -> dict[str, Any]:
        self._args = argparse.Namespace(
            workspace=str(self.kit), job_id=None, set=["secure_train=true", f"uid={self.site}"], local_rank=0
        )
        kind = FLServerStarterConfiger if self.site == SERVER else FLClientStarterConfiger
        self._config = kind(workspace=self.workspace, args=self._args, kv_list=self._args.set)
        self._config.configure()
        built: dict[str, Any] = self._config.components
        return built

    def _client(self) -> Any:
        sent: list[Any] = []
        cell = SimpleNamespace(
            fire_and_forget=lambda **message: sent.append(message),
            get_internal_listener_url=lambda: "tcp://0.0.0.0:8102",
            get_internal_listener_params=lambda: {"connection_security": "clear"},
        )
        credentials = {name: f"the-{name}" for name in ("token", "token_signature", "ssid")}
        client = SimpleNamespace(
            client_name=self.site,
            components=self.components,
            client_args={},
            secure_train=True,
            cell=cell,
            **credentials,
        )
        return ClientEngine(client, self._args, 0)

    def _server(self) -> Any:
        engine = ServerEngine(SimpleNamespace(), self._args, None, None)
        engine.set_run_manager(
            RunManager(SERVER, engine, "", self.workspace, self.components, handlers=self._config.handlers)
        )
        return engine

    def _arguments(self, job_id: str) -> dict[str, tuple[str, Any]]:
        side = "server.runner_process" if self.site == SERVER else "client.worker_process"
        return {
            "exe_module": ("-m", f"nvflare.private.fed.app.{side}"),
            "job_id": ("-n", job_id),
            "workspace": ("-m", str(self.kit)),
            "parent_url": ("-p", "tcp://0.0.0.0:8102"),
            "startup_config_file": ("-s", "fed_client.json"),
            "options": ("--set", f" secure_train=true uid={self.site}"),
        }
