"""What the approvals of a site say of one fingerprint at one time. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .approvals_file import APPROVE, DENY, Approval


class State(StrEnum):
    """What becomes of what has a fingerprint."""

    APPROVED = "approved"
    DENIED = "denied"
    WAITING = "waiting"
    """Nobody has decided, or too few have approved, or their approvals hold no more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided."""

    state: State
    by: tuple[Approval, ...] = ()
    """The approvals that hold, the newest of each user; or the denial."""
    wanted: int = 1
    """How many users must approve."""


def verdict_on(
    fingerprint: str, approvals: Iterable[Approval], now: float, wanted: int = 1, study: str | None = None
) -> Verdict:
    """Return what was decided about a fingerprint. The last word counts: a denial voids the approvals before it.

    Args:
        fingerprint: of what is asked for.
        approvals: all of the site, the oldest first.
        now: seconds since the epoch.
        wanted: how many different users must approve.
        study: the study that it is of; None: whatever that is.
    """
    of_users: dict[int, Approval] = {}
    denial: Approval | None = None
    for approval in approvals:
        if approval.fingerprint != fingerprint:
            continue
        if approval.verdict == DENY:
            denial = approval
            of_users.clear()
        elif approval.verdict == APPROVE:
            denial = None
            of_users[approval.uid] = approval
    if denial:
        return Verdict(State.DENIED, (denial,), wanted)
    holding = tuple(one for one in of_users.values() if _holds(one, now, study))
    return Verdict(State.APPROVED if len(holding) >= wanted else State.WAITING, holding, wanted)


def is_app_approved(
    app: str, image: str, approvals: Iterable[Approval], now: float, wanted: int = 1, study: str | None = None
) -> bool:
    """Whether an app, with this image, is approved for a study, whatever else it may have asked for.

    What was approved of no study is for that of no study.
    """
    known = list(approvals)
    same = (one for one in known if app and (one.app, one.image) == (app, image) and study in (None, one.study))
    prints = dict.fromkeys(one.fingerprint for one in same)
    return any(verdict_on(each, known, now, wanted, study).state is State.APPROVED for each in prints)


def _holds(approval: Approval, now: float, study: str | None) -> bool:
    is_for_it = study is None or approval.study in ("", study)
    return is_for_it and (approval.until is None or now < approval.until)
