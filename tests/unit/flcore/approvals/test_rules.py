"""What a site approves without a person."""

from __future__ import annotations

from typing import Any

import pytest

from flcore.approvals.rules import ApprovalRule, approval_rules

META = {"job_id": "j1", "submitter_name": "alice@hospital"}


def no() -> bool:
    return False


def yes() -> bool:
    return True


def test_they_are_read() -> None:
    listed = [{"study": "cardio", "submitter": "alice", "same_app": True}, {"same_app": True}]
    assert approval_rules("rules", listed) == (ApprovalRule("cardio", "alice", True), ApprovalRule(same_app=True))


@pytest.mark.parametrize(
    "value",
    ["all", {"study": "x"}, [{}], [{"study": ""}], [{"study": 3}], [{"same_app": False}], [{"all": True}], [None]],
)
def test_what_is_no_rule_is_refused_by_its_place(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^rules(\[0\])? must be"):
        approval_rules("rules", value)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (ApprovalRule(study="cardio"), True),
        (ApprovalRule(study="onco"), False),
        (ApprovalRule(submitter="alice@hospital"), True),
        (ApprovalRule(submitter="alice"), False),
        (ApprovalRule(study="cardio", submitter="bob"), False),
    ],
)
def test_all_that_one_says_must_hold(rule: ApprovalRule, holds: bool) -> None:
    assert rule.holds("cardio", META, no) is holds


def test_the_app_must_be_known_where_it_says_so() -> None:
    rule = ApprovalRule(study="cardio", same_app=True)
    assert rule.holds("cardio", META, yes)
    assert not rule.holds("cardio", META, no)


def test_whether_it_is_known_is_not_asked_where_it_does_not_count() -> None:
    def never() -> bool:
        raise AssertionError

    assert not ApprovalRule(study="onco", same_app=True).holds("cardio", META, never)
