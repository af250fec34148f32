"""Contexts: what travels with each event."""

from __future__ import annotations

from collections.abc import Iterator

from flcore import FLContext, FLContextManager

from .framework import Contest, at_most, bench
from .timing import per_call

# NVIDIA FLARE's figures on the same kind of machine.
_SET_PROP = {"sticky": 1.3, "own": 0.5}
_GET_PROP = {"sticky": 1.0, "own": 0.4, "missing": 0.8}


def _context() -> FLContext:
    return FLContextManager(object(), "site-1", "job-1").new_context()


@bench()
def new_context() -> Iterator[Contest]:
    """A context that knows engine, site, job and all sticky properties."""
    props = {"engine": object(), "manager": object(), "job": "job-1", "site": "site-1"}
    yield Contest(
        {
            "flcore": per_call(FLContextManager(object(), "site-1", "job-1").new_context),
            "a copy of a dict of 4": per_call(props.copy),
        },
        floor="a copy of a dict of 4",
        targets={"µs": at_most(2.3)},
    )


@bench(cases=("sticky", "own"))
def set_prop(kind: str) -> Iterator[Contest]:
    """A property set again: kept by the manager (sticky), or by the context (own)."""
    props: dict[str, object] = {}
    yield Contest(
        {
            "flcore": per_call(_context().set_prop, "key", "value", True, kind == "sticky"),
            "a store in a dict": per_call(props.__setitem__, "key", "value"),
        },
        floor="a store in a dict",
        targets={"µs": at_most(_SET_PROP[kind])},
    )


@bench(cases=("sticky", "own", "missing"))
def get_prop(kind: str) -> Iterator[Contest]:
    """A property got from the manager (sticky), from the context (own), or in vain (missing)."""
    fl_ctx = _context()
    if kind != "missing":
        fl_ctx.set_prop("key", "value", True, kind == "sticky")
    props = {"key": "value"}
    yield Contest(
        {"flcore": per_call(fl_ctx.get_prop, "key"), "a look-up in a dict": per_call(props.get, "key")},
        floor="a look-up in a dict",
        targets={"µs": at_most(_GET_PROP[kind])},
    )
