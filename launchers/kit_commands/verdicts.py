"""The three things that a check can say."""

from __future__ import annotations

from flcore.job_launcher_spec import Check


def well(what: str, detail: str) -> Check:
    """Say that something is as it should be."""
    return Check(what, True, detail)


def warned(what: str, detail: str) -> Check:
    """Say what an operator should know of something that may be meant."""
    return Check(what, True, detail, warning=True)


def missing(what: str, detail: str) -> Check:
    """Say what has to be mended, and how."""
    return Check(what, False, detail)
