"""What NVIDIA FLARE hands to a job's process, made fit for one in a container; and what that leaves. Pure, mostly."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from flcore.disk.safe_files import closing, open_file, open_folder, remove
from flcore.errors import JobLaunchError
from flcore.fl_constant import JobProcessArgs
from flcore.job_launcher_spec import JobArgs

from ..container_spec import THIS_PROCESS, OwnNetwork
from ..docker_state import ContainerState
from ..policy.job_command import CREDENTIAL_VARIABLES

PARENT_HOST = "flare-parent"
"""The name by which a job finds its parent, where that listens on every address of its machine or container."""
RETURN_CODE_FILE = "_process_rc.txt"
"""In a job's folder: what its process has written as its return code, before it killed itself."""
PARENT_ALONE = {"NVFLARE_BACKBONE_CONN_GEN": "1"}
"""Has a job's process make no connection but the one to its parent, which passes on what is meant for others."""

_MOST_DIGITS = 16
_KILLED_ITSELF = 137
"""What the engine says of a process that was killed, be it by itself."""
_HIGHEST_CODE = 128
"""Above it, an exit code says which signal has ended the process."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - to be told from others, not listened on
_SHARED_FILE = "shared-file"
_WITH_CREDENTIALS = """\
import os, runpy, sys
words = [word for flag, name in {pairs} for word in (flag, os.environ.pop(name))]
module, sys.argv[1:] = sys.argv[1], [*words, *sys.argv[2:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def reachable(url: str, network: str) -> str:
    """Return the URL of a parent as its jobs in a network reach it. Raises JobLaunchError if they cannot."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == _SHARED_FILE or host not in (*_LOOPBACK, *_EVERY_ADDRESS):
        return url
    if network == "host":
        host = "localhost"
    elif host in _EVERY_ADDRESS:
        host = PARENT_HOST
    else:
        raise JobLaunchError(
            f"the site listens for its jobs on {host} only, which no container in the network {network} reaches: name "
            "the address of that network's gateway (or, of a site in a container, 0.0.0.0) as the host in 'internal' "
            "of local/comm_config.json"
        )
    return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}"))


def check_leads_to_parent(job_id: str, job_args: JobArgs, own_network: OwnNetwork, *, alone: bool) -> None:
    """Raise JobLaunchError if a job does not find what it calls from a network of its own.

    ``alone``: it calls nobody but its parent.
    """
    parts = urlsplit(value_of(job_args, JobProcessArgs.PARENT_URL))
    why = ""
    if not alone:
        why = "it calls the server itself ('private_key'), and finds no way out of a network of its own"
    elif parts.scheme == _SHARED_FILE:
        return
    elif not own_network.reaches_host:
        why = "jobs of NVIDIA FLARE call their parent, and 'parent' of 'network' is 'none'"
    elif parts.hostname not in (PARENT_HOST, None):
        why = (
            f"the site listens for its jobs on {parts.hostname}, where no network of a job's own leads: name 0.0.0.0 "
            "as the host in 'internal' of local/comm_config.json, as flcore nvflare install does"
        )
    if why:
        raise JobLaunchError(f"job {job_id}: {why}")


def value_of(job_args: JobArgs, name: str) -> str:
    """Return one argument's value as a text; empty if it is missing, or None."""
    value = job_args.get(name, ("", None))[1]
    return "" if value is None else str(value)


def shared_folder(job_args: JobArgs) -> str:
    """Return the folder by which a job and its parent talk, if they do so by files; else nothing."""
    parts = urlsplit(value_of(job_args, JobProcessArgs.PARENT_URL))
    return parts.path if parts.scheme == _SHARED_FILE else ""


def parent_hosts(job_args: JobArgs) -> dict[str, str]:
    """Return the name of the parent that its URL has, if :func:`reachable` has put it there."""
    host = urlsplit(value_of(job_args, JobProcessArgs.PARENT_URL)).hostname
    return {PARENT_HOST: THIS_PROCESS} if host == PARENT_HOST else {}


def server_hosts(job_args: JobArgs, hosts_file: str) -> dict[str, str]:
    """Return what a host's own file says of the server's name, which a container would not know."""
    name = value_of(job_args, JobProcessArgs.TARGET).rpartition(":")[0]
    for line in hosts_file.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if name in names:
            return {name: THIS_PROCESS if address in _LOOPBACK else address}
    return {}


def credential_flags(job_args: JobArgs, names: Sequence[str]) -> dict[str, str]:
    """Return the credentials among the arguments that a process takes: ``flag -> variable that holds it``."""
    return {
        job_args[name][0]: CREDENTIAL_VARIABLES[name]
        for name in names
        if name in CREDENTIAL_VARIABLES & job_args.keys()
    }


def with_credentials(command: str, flags: Mapping[str, str]) -> str:
    """Return a command whose process takes credentials from its environment, though its module wants arguments.

    Nobody outside sees them among these.
    """
    if not flags:
        return command
    python, unbuffered, _, module, *words = shlex.split(command)
    code = _WITH_CREDENTIALS.format(pairs=list(flags.items()))
    return shlex.join([python, unbuffered, "-c", code, module, *words])


def written_code(folder: Path) -> int | None:
    """Return what a job has written down as its return code; None if nothing, or no number."""
    try:
        with closing(open_folder(folder)) as opened, open_file(RETURN_CODE_FILE, opened) as file:
            said = file.read(_MOST_DIGITS)
        return 0 if said == b"None" else int(said)  # up to 2.8 it writes None for a job that has returned nothing
    except (OSError, ValueError):
        return None


def forget_written_code(folder: Path) -> None:
    """Remove what a job has written down as its return code, if it has; what cannot be removed stays."""
    with suppress(OSError), closing(open_folder(folder)) as opened:
        remove(RETURN_CODE_FILE, opened)


def counted_end(seen: ContainerState, written: int | None) -> ContainerState:
    """Return the end that counts, of what the engine has seen and what the job had written down before."""
    if written is None or seen.exit_code is None or not _is_believed(written, seen.exit_code, seen.oom_killed):
        return seen
    return replace(seen, exit_code=written)


def _is_believed(written: int, exit_code: int, oom_killed: bool) -> bool:
    """Whether a process has ended as one does that was done when it wrote its code, or has failed as it said.

    Up to 2.8 such a process kills itself; nobody can tell that from another's SIGKILL, but from the kernel's it can be.
    """
    if exit_code == _KILLED_ITSELF:
        return not oom_killed
    return exit_code == 0 or (exit_code <= _HIGHEST_CODE and written != 0)
