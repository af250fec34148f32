"""What the approvals of a site say of one fingerprint."""

from __future__ import annotations

from typing import Any

from flcore.approvals.approvals_file import APPROVE, DENY, Approval
from flcore.approvals.verdict import State, Verdict, is_app_approved, verdict_on

NOW = 1000.0
ONE, OTHER = "1" * 64, "2" * 64
ALICE, BOB = 1001, 1002


def said(verdict: str = APPROVE, uid: int = ALICE, **more: Any) -> Approval:
    fields: dict[str, Any] = {"verdict": verdict, "fingerprint": ONE, "uid": uid, "user": str(uid), "time": 1.0}
    return Approval(**fields | more)


def state(*approvals: Approval, **how: Any) -> State:
    return verdict_on(ONE, approvals, NOW, **how).state


def test_what_nobody_has_approved_waits() -> None:
    assert state() is State.WAITING
    assert state(said(fingerprint=OTHER)) is State.WAITING


def test_what_one_user_has_approved_is_approved() -> None:
    assert verdict_on(ONE, [said()], NOW) == Verdict(State.APPROVED, (said(),))


def test_two_users_are_two_not_one_twice() -> None:
    assert state(said(), said(), wanted=2) is State.WAITING
    assert state(said(), said(uid=BOB), wanted=2) is State.APPROVED


def test_an_approval_holds_until_its_time_and_no_longer() -> None:
    assert state(said(until=NOW + 1)) is State.APPROVED
    assert state(said(until=NOW)) is State.WAITING
    assert state(said(until=NOW), said(uid=BOB), wanted=2) is State.WAITING


def test_the_newest_word_of_a_user_counts() -> None:
    assert state(said(), said(until=NOW - 1)) is State.WAITING
    assert state(said(until=NOW - 1), said()) is State.APPROVED


def test_a_denial_voids_what_was_approved_by_whomever() -> None:
    assert state(said(), said(DENY, BOB)) is State.DENIED
    assert state(said(), said(DENY, BOB), said(), wanted=2) is State.WAITING


def test_what_was_denied_can_be_approved_later() -> None:
    assert state(said(DENY), said(uid=BOB)) is State.APPROVED


def test_an_approval_for_a_study_is_for_no_other() -> None:
    assert state(said(study="cardio"), study="cardio") is State.APPROVED
    assert state(said(study="cardio"), study="onco") is State.WAITING
    assert state(said(), study="onco") is State.APPROVED


def test_an_app_is_approved_that_was_for_another_request() -> None:
    known = said(fingerprint=OTHER, app="app", image="image")
    assert is_app_approved("app", "image", [known], NOW)
    assert not is_app_approved("app", "another", [known], NOW)
    assert not is_app_approved("another", "image", [known], NOW)
    assert not is_app_approved("app", "image", [known], NOW, wanted=2)


def test_an_app_that_was_approved_for_a_study_is_for_no_other() -> None:
    known = said(fingerprint=OTHER, app="app", image="image", study="cardio")
    assert is_app_approved("app", "image", [known], NOW, study="cardio")
    assert not is_app_approved("app", "image", [known], NOW, study="onco")
    of_none = said(fingerprint=OTHER, app="app", image="image", study="")
    assert not is_app_approved("app", "image", [of_none], NOW, study="onco")
    assert is_app_approved("app", "image", [of_none], NOW, study="")


def test_an_app_that_was_denied_later_is_not() -> None:
    known = said(fingerprint=OTHER, app="app", image="image")
    assert not is_app_approved("app", "image", [known, said(DENY, fingerprint=OTHER)], NOW)


def test_of_no_app_nothing_is_known() -> None:
    assert not is_app_approved("", "", [said()], NOW)
