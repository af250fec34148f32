"""The parent processes of sites: what an operator starts from a kit, as a process or in a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from docker.errors import APIError, NotFound

from tests.engines.engine import api_of

from .launchers import SERVER

_STOP_TIMEOUT = 10.0
# Shows a folder that lies in a closed one, such as root's home, to a command that may not enter it; to nobody else.
_OPEN = """
exec 9<"$1"
mount -t tmpfs -o mode=755 none "$2"
mkdir -p "$1"
mount --no-canonicalize --bind /proc/self/fd/9 "$1"
exec 9<&-
shift 2
exec "$@"
"""


class Parent(Protocol):
    """One site's parent, which may live several times."""

    def start(self) -> None: ...

    def kill(self) -> None:
        """Kill it, and nothing else, and return when it is dead. Idempotent."""

    def is_alive(self) -> bool: ...

    def close(self) -> None:
        """End it for good, with all that it has started. Idempotent."""

    def output(self) -> str:
        """Return what all its lives have printed."""


def arguments(site: str, workspace: str) -> list[str]:
    """Return the arguments of Python that a kit's own start script ends with."""
    kind = "server" if site == SERVER else "client"
    options = ["secure_train=true", "org=compat", "config_folder=config"]
    options += [] if site == SERVER else [f"uid={site}"]
    module = f"nvflare.private.fed.app.{kind}.{kind}_train"
    return ["-u", "-m", module, "-m", workspace, "-s", f"fed_{kind}.json", "--set", *options]


def as_user(user: int, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one as a user that has only a number. Needs root."""
    command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *command]
    closed = [folder for folder in Path(sys.base_prefix).parents if not folder.stat().st_mode & 0o001]
    if not closed:
        return command
    return ["unshare", "--mount", "--", "sh", "-ec", _OPEN, "sh", sys.base_prefix, str(closed[-1]), *command]


@dataclass
class ProcessParent:
    """A parent that is a process of this machine."""

    command: Sequence[str]
    kit: Path
    environment: Mapping[str, str]
    log: Path
    user: int | None = None
    """The user and group that it runs as; None is our own."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command if self.user is None else as_user(self.user, self.command),
                cwd=self.kit,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_STOP_TIMEOUT)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class ContainerParent:
    """A parent in a container, on a network where it has the site's name."""

    engine: str
    name: str
    site: str
    create: Mapping[str, Any]
    """Arguments of docker-py's ``create_container``."""
    host_config: Mapping[str, Any]
    network: str
    log: Path

    def start(self) -> None:
        with api_of(self.engine) as api:
            self._remove(api)
            endpoint = api.create_endpoint_config(aliases=[self.site])
            api.create_container(
                name=self.name,
                hostname=self.site,
                host_config=api.create_host_config(**self.host_config),
                networking_config=api.create_networking_config({self.network: endpoint}),
                **self.create,
            )
            api.start(self.name)

    def kill(self) -> None:
        with api_of(self.engine) as api:
            with suppress(APIError):
                api.kill(self.name)
            with suppress(NotFound):
                api.wait(self.name, timeout=_STOP_TIMEOUT)

    def is_alive(self) -> bool:
        with api_of(self.engine) as api, suppress(NotFound):
            return bool(api.inspect_container(self.name)["State"]["Running"])
        return False

    def close(self) -> None:
        with api_of(self.engine) as api:
            self._remove(api)

    def output(self) -> str:
        with api_of(self.engine) as api, suppress(NotFound):
            return self._earlier() + str(api.logs(self.name).decode(errors="replace"))
        return self._earlier()

    def _earlier(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _remove(self, api: Any) -> None:
        """Remove the container of an earlier life, but for its output."""
        with suppress(NotFound):
            with self.log.open("ab") as log:
                log.write(api.logs(self.name))
            api.remove_container(self.name, force=True, v=True)
