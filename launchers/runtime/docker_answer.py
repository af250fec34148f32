"""What an engine's answers mean: inspections, lists, statistics, events, output and refusals, in our words. Pure."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from flcore.config.sizes import size_in_words
from flcore.disk.os_errors import in_words
from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeRefusedError,
)
from flcore.extras import how_to_install

from ..docker_state import DOCKER_STATE, ContainerState
from .base import ContainerSummary, ContainerUsage, FoundImage, OutputChunk
from .docker_dialect import DOCKER, Dialect


class NothingToDoError(JobLaunchError):
    """It is gone, ended or being removed by somebody else: as good as done."""


Refusals = Mapping[int, type[JobLaunchError]]
"""What an HTTP status means as the answer to one request; any other is a RuntimeRefusedError."""

OF_A_CREATE: Refusals = {409: NameInUseError}
OF_A_START: Refusals = dict.fromkeys((400, 404, 500), JobStartError)
OF_A_NAME_OF_AN_IMAGE: Refusals = {400: ImageError}
OF_A_CHECK: Refusals = {404: NetworkError}
OF_A_REMOVAL: Refusals = {404: NothingToDoError}
OF_WHAT_NEEDS_A_CONTAINER: Refusals = dict.fromkeys((404, 409), NothingToDoError)
_NOT_FOUND = 404
FORBIDDEN = (401, 403, 404, 405, 501)
"""What stands in front of an engine may answer to a question that it lets nobody ask."""
IN_PROGRESS = 409
"""The status of a removal that somebody else has asked for already."""

_STALE_ENDPOINT = re.compile(r"endpoint with name (\S+) already exists in network (\S+)")
"""What an engine that was killed may leave in a network, in the name of a container that is gone."""
_HOLDER_OF_NAME = re.compile(r"in use by (?:container )?\"?([0-9a-f]{12})[0-9a-f]*")
_NO_SUCH_USER = re.compile(r"unable to setup user: set\w+: invalid argument")
_CDI_GPU = "nvidia.com/gpu="
_MOST_OF_AN_IMAGE = {"ExposedPorts": 1000, "Volumes": 100, "Env": 1000, "Labels": 1000}
_LONGEST_CONFIG = 256 << 10
"""Characters, as JSON; those of the largest usual images have a tenth of it."""
_EXIT_CODE = "exitCode"
"""Of an event's attributes; a label of this name, be it the image's, takes its place."""
_UNSEEN = 255
"""The exit code of an end that the engine has not seen."""
_NOT_REACHED = (
    ConnectionRefusedError,
    FileNotFoundError,
    PermissionError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
    NameError,  # the SDK's, where a package that it needs is missing
)


_WANTS_TLS = "HTTP request to an HTTPS server"
"""What an engine behind TLS says to who asks it without."""
_LOCAL = "unix://"
_ANOTHER = "or name another by DOCKER_HOST or docker_host"
_START = f"start it (sudo systemctl start docker), {_ANOTHER}"
_IS_INCOMPLETE = re.compile("Missing Authority Key Identifier|Missing Subject Key Identifier|not include key usage")
"""What a certificate lacks that is else in order; made as many guides of Docker's have it, it lacks all of these."""


# --- a container ---


def inspected_state(inspection: Mapping[str, Any], dialect: Dialect = DOCKER) -> ContainerState:
    state = inspection["State"]
    started_at, finished_at = epoch_seconds(state.get("StartedAt")), epoch_seconds(state.get("FinishedAt"))
    is_running = state.get("Running", False)
    if started_at and finished_at and not is_running:
        finished_at = max(started_at, finished_at)  # of a very short life, the engine may note the end first
    return ContainerState(
        state=dialect.state(state.get("Status")) or _state_by_times(is_running, started_at, finished_at),
        exit_code=_known_code(state.get("ExitCode")),
        oom_killed=state.get("OOMKilled", False),
        error=dialect.error(one_line(state.get("Error") or "")),
        created_at=epoch_seconds(inspection.get("Created")),
        started_at=started_at,
        finished_at=finished_at,
    )


def listed_container(entry: Mapping[str, Any], dialect: Dialect = DOCKER) -> ContainerSummary:
    """Return an entry of a list as what counts of it. Of a state that is not known, an inspection tells more."""
    name = (entry.get("Names") or [""])[0].lstrip("/")
    state = dialect.state(entry.get("State"))
    return ContainerSummary(entry["Id"], name, state, entry.get("Labels") or {}, entry.get("Created"))


def _known_code(code: int | None) -> int | None:
    """Return an exit code; None where it is an engine's word for one that it has not seen (Podman's: -1)."""
    return None if code is None or code < 0 else code


def _state_by_times(is_running: bool, started_at: float | None, finished_at: float | None) -> DOCKER_STATE:
    """Return the state of a container whose engine has another word for it."""
    if is_running:
        return DOCKER_STATE.RUNNING
    if started_at is None:
        return DOCKER_STATE.CREATED
    return DOCKER_STATE.EXITED if finished_at else DOCKER_STATE.RUNNING


def measured_usage(stats: Mapping[str, Any]) -> ContainerUsage | None:
    """Return an engine's statistics of a container as usage; None if they are not the container's.

    Of one that does not run they are empty. An engine that cannot give it a control group, as one without root on a
    host with cgroup v1, tells that of the whole host: what it has no figures of is 0, and its processes nobody counts.
    """
    memory, cpu = stats.get("memory_stats") or {}, stats.get("cpu_stats") or {}
    if "usage" not in memory or "current" not in (stats.get("pids_stats") or {}):
        return None
    details = memory.get("stats") or {}
    cached = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, v2
    in_use = memory["usage"] - (cached if cached < memory["usage"] else 0)
    return ContainerUsage(cpu["cpu_usage"]["total_usage"] / 1e9, in_use)


def output_chunk(line: bytes) -> OutputChunk:
    """Return output that has its time in front; the times are all of one length, so that they sort as texts."""
    time, _, data = line.partition(b" ")
    return OutputChunk(time.decode(errors="replace"), data)


def epoch_seconds(text: str | None) -> float | None:
    """Return an engine's RFC 3339 time as seconds since the epoch; None for its "never": the year 1, or nothing."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return None if time.year == 1 else time.timestamp()


# --- what the events say of it ---


def told_container(event: Mapping[str, Any]) -> str:
    """Return the id of the container to which an event happened; empty if it names none.

    Every engine says who the actor is; from 29 on (API 1.52) nothing else in an event names it.
    """
    return str((event.get("Actor") or {}).get("ID") or event.get("id") or "")


class ToldEnd(NamedTuple):
    """What an event said of a container's end."""

    time: float
    """Seconds since the epoch."""
    exit_code: int


def told_end(event: Mapping[str, Any]) -> ToldEnd | None:
    """Return the end that an event tells of; None if it tells of none, or is not as it should be."""
    with suppress(KeyError, ValueError):
        if event["Action"] == "die":
            code = _known_code(int(event["Actor"]["Attributes"][_EXIT_CODE]))
            return None if code is None else ToldEnd(event["timeNano"] / 1e9, code)
    return None


def is_end_disguised(inspection: Mapping[str, Any]) -> bool:
    """Whether an image's label stands in place of the exit code in what the events say of a container."""
    return _EXIT_CODE in ((inspection.get("Config") or {}).get("Labels") or {})


def is_unseen(state: ContainerState) -> bool:
    """Whether an engine says that a container has ended, and perhaps not how."""
    return state.state is DOCKER_STATE.EXITED and state.exit_code == _UNSEEN


def as_it_ended(state: ContainerState, told: ToldEnd) -> ContainerState:
    """Return a state with the end that the engine has told, where it has forgotten it since.

    An engine that is killed between its event and its writing that down says at its next start that the end was
    then, with the code 0 or 255. Its event may say 255, too, of an end that it has not seen: that tells nothing.
    """
    is_forgotten = (
        state.state is DOCKER_STATE.EXITED
        and state.exit_code in (None, 0, _UNSEEN)
        and told.exit_code not in (state.exit_code, _UNSEEN)
        and told.time >= (state.started_at or 0)  # else it is the end of an earlier start
    )
    return replace(state, exit_code=told.exit_code, finished_at=told.time) if is_forgotten else state


# --- an image ---


def found_image(image: str, found: Mapping[str, Any]) -> FoundImage:
    """Return an image that the engine has. Raises ImageError for one whose config is out of all proportion.

    Its maker has a say in that: each list and event repeats the labels, each list the ports, and each volume costs the
    engine a folder at each creation.
    """
    config = found.get("Config") or {}
    for key, most in _MOST_OF_AN_IMAGE.items():
        if (found_there := len(config.get(key) or ())) > most:
            raise ImageError(f"image {image}: its config has {found_there} {key}, more than {most}; build it without")
    if len(json.dumps(config)) > _LONGEST_CONFIG:
        raise ImageError(f"image {image}: its config is longer than {size_in_words(_LONGEST_CONFIG)}; build it shorter")
    named = (name.partition("@")[2] for name in found.get("RepoDigests") or ())
    return FoundImage(found["Id"], frozenset({found["Id"], *named}))


# --- the engine ---


def cdi_gpus(info: Mapping[str, Any]) -> list[str]:
    """Return the GPUs among an engine's devices, which it says from 28.2 on: by UUID, else by index."""
    devices = (device.get("ID", "") for device in info.get("DiscoveredDevices") or ())
    names = [device.removeprefix(_CDI_GPU) for device in devices if device.startswith(_CDI_GPU)]
    return [name for name in names if name.startswith("GPU-")] or [name for name in names if name.isdigit()]


# --- a refusal, or no answer ---


def refusal(
    what: str, status: int | None, explanation: object, refusals: Refusals, dialect: Dialect = DOCKER
) -> JobLaunchError:
    """Return the error that an engine's refusal is, with the way out where its words tell of one."""
    said = one_line(explanation)
    as_dockers = dialect.status(status, said)
    kind = refusals.get(as_dockers) or refusals.get(status or 0, RuntimeRefusedError)
    way_out, command = "", dialect.command
    if kind is NameInUseError and (match := _HOLDER_OF_NAME.search(said)):
        # The engine's own way out is to remove that container, in which another site's job may run.
        holder = match[1]
        return kind(
            f"{what}: its name is in use by the container {holder}; see whose that is with: {command} inspect {holder}"
            ". A job runs once on an engine for each site's name; what a job has left goes with: flcore gc"
        )
    if (kind is JobStartError or as_dockers == _NOT_FOUND) and (match := dialect.no_network.fullmatch(said)):
        kind = NetworkError
        way_out = f"; make it with: {command} network create {match[1]}"
    elif match := _STALE_ENDPOINT.search(said):
        kind = NetworkError
        way_out = f"; an earlier one has left it, end it with: {command} network disconnect -f {match[2]} {match[1]}"
    elif _NO_SUCH_USER.search(said):
        way_out = "; its containers have other users: name such in 'user' or 'user_range', 1 to 65535 as a rule"
    elif dialect.no_gpus.search(said):
        way_out = f"; {dialect.gpus_way_out}"
    return kind(f"{what}: the engine says: {said}{way_out}")


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def may_have_arrived(error: BaseException) -> bool:
    """Whether a request may have got to the engine, though no answer came."""
    return not any(
        isinstance(cause, _NOT_REACHED) or _is_of_ssh(cause) or _WANTS_TLS in str(cause) for cause in _causes(error)
    )


def _is_of_ssh(error: BaseException) -> bool:
    """Whether no way to the engine could be had by ssh. What fails on such a way is raised by others."""
    return type(error).__module__ == "paramiko.ssh_exception"


def root_cause(error: BaseException) -> str:
    """Return, in one line, what is behind all that the layers of a client make of it."""
    root = _root(error)
    return one_line(f"{type(root).__name__}: {in_words(root)}")


def no_answer(error: BaseException, address: str, *, is_told: bool = False) -> str:
    """Return why an engine has not answered, at which address it was asked, and the way out, in one line.

    ``is_told``: whether the address is named already.
    """
    where = f" at {address}" if address and not is_told else ""
    return f"{root_cause(error)}{where}; {_way_out(error, address)}"


def _way_out(error: BaseException, address: str) -> str:
    root = _root(error)
    if "paramiko" in str(root):
        return f"by 'ssh://' it is asked with: {how_to_install('ssh')}"
    if address.startswith("ssh://"):  # a login, a host's key, a command or an engine may be missing there
        return f"this must answer, and ask nothing: ssh {address} docker version"
    if _WANTS_TLS in str(root):
        return "it is asked by TLS only: set docker_tls, or DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
    if isinstance(root, ssl.SSLError):
        return _way_out_of_tls(root)
    if isinstance(root, PermissionError):
        return f"join the group docker (sudo usermod -aG docker $USER, and log in anew), or be root, {_ANOTHER}"
    if isinstance(root, socket.gaierror):
        return f"correct its host's name, {_ANOTHER}"
    if isinstance(root, ConnectionRefusedError) or (isinstance(root, FileNotFoundError) and address.startswith(_LOCAL)):
        return _START if address.startswith(_LOCAL) else f"start it there, {_ANOTHER}"
    return "does it run, and is DOCKER_HOST or docker_host right?"


def _way_out_of_tls(error: ssl.SSLError) -> str:
    if _IS_INCOMPLETE.search(str(error)):
        return "from 3.13 on Python takes no such certificate: make it anew, with keyUsage and authorityKeyIdentifier"
    return "are docker_tls, or DOCKER_CERT_PATH and its files, and DOCKER_HOST or docker_host right?"


def _root(error: BaseException) -> BaseException:
    """Return what is behind an error, and explains it.

    Nothing is behind what an engine has explained, and some errors have no words. Where a package is missing the SDK
    meets a NameError, which it explains itself.
    """
    causes = [cause for cause in _causes(error) if str(cause) and not isinstance(cause, NameError)] or [error]
    return next((cause for cause in causes if getattr(cause, "explanation", None)), causes[-1])


def told_address(address: str) -> str:
    """Return an engine's address as it may be told: without the password that may stand in it."""
    return re.sub(r"^(\w+://[^/:@]*):[^/@]*@", r"\1:***@", address)


def without_password(address: str) -> str:
    """Return an engine's address as it may be written down: it is asked by it, if it asks for no password."""
    return re.sub(r"^(\w+://[^/:@]*):[^/@]*@", r"\1@", address)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the root last."""
    while error:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
