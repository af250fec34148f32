"""Which jobs a site approves without a person: what its config says of them. Pure.

Of a job's study and submitter an NVIDIA FLARE server tells; elsewhere they are what the job's author wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.rules import Schema, rule
from ..config.strict_json import shown
from ..fl_constant import JobMetaKey
from ..job_meta import JobMeta

_TEXT: Schema = {"type": "string", "minLength": 1}
_SCHEMA: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"study": _TEXT, "submitter": _TEXT, "same_app": {"const": True}},
        "additionalProperties": False,
        "minProperties": 1,
    },
}
_WANTED = "must be an object with some of study, submitter (texts) and same_app (true)"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """All that it says must hold."""

    study: str = ""
    submitter: str = ""
    same_app: bool = False

    def holds(self, study: str, job_meta: JobMeta, is_app_approved: Callable[[], bool]) -> bool:
        """Whether it approves a job of a study. ``is_app_approved`` is asked last, and only where that counts."""
        if self.study and self.study != study:
            return False
        if self.submitter and self.submitter != job_meta.get(JobMetaKey.SUBMITTER_NAME):
            return False
        return not self.same_app or is_app_approved()


@rule(_SCHEMA)
def approval_rules(key: str, value: Any) -> tuple[ApprovalRule, ...]:
    """Return the rules of a config. Raises ValueError."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{key} must be a list, got {shown(value)}")  # noqa: TRY004 - as for all wrong arguments
    return tuple(_one(f"{key}[{index}]", each) for index, each in enumerate(value))


def _one(key: str, value: Any) -> ApprovalRule:
    if isinstance(value, Mapping) and value and value.keys() <= {"study", "submitter", "same_app"}:
        study, submitter = value.get("study", ""), value.get("submitter", "")
        texts = [value[name] for name in ("study", "submitter") if name in value]
        if all(isinstance(text, str) and text for text in texts) and value.get("same_app", True) is True:
            return ApprovalRule(study, submitter, "same_app" in value)
    raise ValueError(f"{key} {_WANTED}, got {shown(value)}")
