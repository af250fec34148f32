"""What a record says of its job. Pure. Only what is as it should be is taken in: any version may have written it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from flcore.job_launcher_spec import JobResult

from ..docker_state import (
    DOCKER_STATE,
    TERMINAL_STATES,
    ContainerState,
    EndRequest,
    Progress,
    Transition,
    effective_state,
    result_of,
)
from .job_record import JobIdentity
from .record_lines import is_number
from .told import TOLD_END_ID, Told, boot


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job as its record knows it."""

    who: JobIdentity
    asked_at: float
    """When the engine was about to be asked for it, in seconds since the epoch."""
    told: Told
    end_request: EndRequest | None
    seen: ContainerState | None
    """How it has ended; None where nobody has seen that."""
    output: str
    output_is_kept: bool


def known_job(fields: Mapping[str, Any]) -> KnownJob:
    """Return what a record says that names its job. Raises ValueError, which names what cannot be read.

    What a newer version says beside what is known here is passed over.
    """
    study = _checked("study", fields.get("study", ""), _is_text)
    who = JobIdentity(fields["job_id"], fields["site"], fields["name"], fields["container_id"], fields["nonce"], study)
    return KnownJob(
        who=who,
        asked_at=fields["time"],
        told=told_in(fields),
        end_request=known_request(fields.get("end_request")),
        seen=_seen(fields.get("seen")),
        output=_checked("output", fields.get("output", ""), _is_text),
        output_is_kept=_checked("kept", fields.get("kept", False), _is_flag),
    )


def known_request(noted: Any) -> EndRequest | None:
    """Return the wish that a job should end, if it is there. Raises ValueError for what is none."""
    if noted is None:
        return None
    said = _checked("end_request", noted, _is_object)
    delivered, tried_at = said.get("delivered"), said.get("tried_at")
    return EndRequest(
        by=_checked("end_request.by", said.get("by"), _is_text),
        time=_checked("end_request.time", said.get("time"), is_number),
        delivered=None if delivered is None else _checked("end_request.delivered", delivered, _is_flag),
        tried_at=_checked("end_request.tried_at", tried_at, _is_number_or_none),
    )


def known_disk(fields: Mapping[str, Any]) -> int | None:
    """Return how many bytes a job's folder may hold; None if its record does not say, or says what cannot be read."""
    size = fields.get("disk")
    return size if _is_count(size) else None


def known_end(fields: Mapping[str, Any]) -> tuple[DOCKER_STATE, JobResult] | None:
    """Return the last state and the result of a job whose end is on record: as who takes it over will tell them.

    Raises ValueError for what cannot be read.
    """
    seen = _seen(fields.get("seen"))
    if seen is None or effective_state(seen) not in TERMINAL_STATES:
        return None
    output = _checked("output", fields.get("output", ""), _is_text)
    return effective_state(seen), result_of(seen, known_request(fields.get("end_request")), output)


def told_in(fields: Mapping[str, Any]) -> Told:
    """Return how far it was told. Raises ValueError, which names what cannot be read."""
    progress = _progress(fields.get("told"))
    begun = _begun(progress.state, fields.get("telling"))
    run = _checked("run", fields.get("run", ""), _is_text)
    number = _checked("number", fields.get("number", 0), _is_count)
    told_end_id = _checked(TOLD_END_ID, fields.get(TOLD_END_ID, ""), _is_text)
    if not run or not run.startswith(boot()):  # of a version without ids, or a power cut may have taken a number
        return Told(progress, begun=begun, told_end_id=told_end_id)
    return Told(progress, run, number, begun, told_end_id)


def _begun(previous: DOCKER_STATE | None, telling: Any) -> Transition | None:
    if telling is None:
        return None
    try:
        state, time = telling
        return Transition(previous, DOCKER_STATE(state), _checked("telling", time, is_number))
    except (TypeError, ValueError):
        _refuse("telling", telling)


def _progress(told: Any) -> Progress:
    if told is None:
        return Progress()
    try:
        state, entered, last_time = told
        return Progress(
            DOCKER_STATE(state), frozenset(map(DOCKER_STATE, entered)), _checked("told", last_time, is_number)
        )
    except (TypeError, ValueError):
        _refuse("told", told)


def _seen(seen: Any) -> ContainerState | None:
    if seen is None:
        return None
    said = _checked("seen", seen, _is_object)
    try:
        state = DOCKER_STATE(said.get("state"))
    except ValueError:
        _refuse("seen.state", said.get("state"))
    times = {key: _checked(f"seen.{key}", said.get(key), _is_number_or_none) for key in _TIMES}
    return ContainerState(
        state,
        exit_code=_checked("seen.exit_code", said.get("exit_code"), _is_code_or_none),
        oom_killed=_checked("seen.oom_killed", said.get("oom_killed", False), _is_flag),
        error=_checked("seen.error", said.get("error", ""), _is_text),
        **times,
    )


_TIMES = ("created_at", "started_at", "finished_at")


def _checked(key: str, value: Any, is_right: Callable[[Any], bool]) -> Any:
    return value if is_right(value) else _refuse(key, value)


def _refuse(key: str, value: Any) -> NoReturn:
    raise ValueError(f"'{key}' is {value!r:.80}, which this version cannot read")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number_or_none(value: Any) -> bool:
    return value is None or is_number(value)


def _is_code_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
