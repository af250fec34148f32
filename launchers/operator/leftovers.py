"""``flcore gc``: removes what jobs have left in engines, if it is nobody's any more; names what a site cannot read."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from flcore.cli.command import EXIT_FAILED, EXIT_OK
from flcore.errors import FLCoreError
from flcore.plain_text import harmless, visible

from ..docker_state import DOCKER_STATE, TERMINAL_STATES, ContainerState, effective_state
from .durations import as_age
from .hints import where_looked
from .job_index import Holding, claim
from .left_networks import LeftNetwork
from .scope import index_of
from .terminal import Terminal, warn

_STYLES = {"failed": "bad", "left": "dim"}
"""Of what is said to be done; the rest is good."""


class Decision(NamedTuple):
    """Whether a container is to be removed, and why, or why not."""

    remove: bool
    why: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What is removed: ended, and never started, containers that are nobody's, and old enough."""

    older_than: float
    """Seconds since the end, or since the creation of what never started."""
    now: float

    def decide(self, holding: Holding) -> Decision:
        """Say what becomes of a container. May ask its engine. Raises FLCoreError."""
        state = holding.summary.state or holding.runtime.inspect(holding.summary.id).state
        if not holding.is_known:
            return Decision(False, claim(holding.runtime))
        if state not in (*TERMINAL_STATES, DOCKER_STATE.CREATED):
            return Decision(
                False, f"is {state}" + ("" if holding.is_followed else ", and no process of its site follows it")
            )
        if holding.is_followed:
            return Decision(False, "a process of its site follows it")
        if holding.is_on_record:
            return Decision(False, "is on its site's record: the site's next start tells how it ended, and removes it")
        return self._by_age(holding.runtime.inspect(holding.summary.id))

    def _by_age(self, seen: ContainerState) -> Decision:
        """The list is older than this look, which tells when it ended, too."""
        if effective_state(seen) not in TERMINAL_STATES and seen.state is not DOCKER_STATE.CREATED:
            return Decision(False, f"is {seen.state}")
        since = seen.finished_at or seen.created_at
        if since is None:
            return Decision(False, "is gone")
        word = "ended" if seen.finished_at else "was made, and never started,"
        age = f"{word} {as_age(self.now - since)} ago"
        return Decision(self.now - since >= self.older_than, age)


def run(args: argparse.Namespace) -> int:
    """Remove leftovers, a line for each; return the exit status."""
    with index_of(args) as index:
        terminal = Terminal()
        holdings, records, networks = index.holdings(), index.unreadable_records(), index.left_networks()
        rules = Rules(args.older_than, time.time())
        complete = clear(holdings, rules, terminal, dry=args.dry_run)
        complete &= clear_networks(networks, rules, terminal, dry=args.dry_run)
        for record in records:
            what = "a job's record, which could not be read: look at it, and remove it when the job is over"
            terminal.print(f"{terminal.styled('left', 'dim')}  {harmless(str(record))}: {what}")
        for problem in index.problems:
            warn(problem)
        if not (holdings or records or networks or index.problems):
            terminal.print(f"nothing is left over: {visible(where_looked(index))}")
    return EXIT_OK if complete and not index.problems else EXIT_FAILED


def clear(holdings: Iterable[Holding], rules: Rules, terminal: Terminal, *, dry: bool) -> bool:
    """Remove what is to be removed, or, where that is ``dry``, nothing; say so; return False if something cannot be."""
    done = [_deal_with(holding, rules, terminal, dry=dry) for holding in holdings]
    return all(done)


def _deal_with(holding: Holding, rules: Rules, terminal: Terminal, *, dry: bool) -> bool:
    """Remove a container if it is to be removed, and say so; False if it cannot be."""
    try:
        decision = rules.decide(holding)
        if decision.remove and not dry:
            holding.runtime.remove(holding.summary.id)
            _forget(holding)
    except FLCoreError as error:
        _say(terminal, "failed", holding, str(error))
        return False
    done = "would remove" if dry else "removed"
    _say(terminal, done if decision.remove else "left", holding, decision.why)
    return True


def clear_networks(networks: Iterable[LeftNetwork], rules: Rules, terminal: Terminal, *, dry: bool) -> bool:
    """Do the same with networks that jobs have had for themselves."""
    complete = True
    for network in networks:
        done, why = "left", "is no job's, and not old enough"
        if network.is_old(rules.older_than, rules.now):
            done, why = "would remove" if dry else "removed", "is no job's any more"
            try:
                if not dry:
                    network.remove()
            except FLCoreError as error:
                done, why, complete = "failed", str(error), False
        style = _STYLES.get(done, "good")
        terminal.print(f"{terminal.styled(done, style)}  network {harmless(network.summary.name)}: {harmless(why)}")
    return complete


def _forget(holding: Holding) -> None:
    if holding.note:
        with suppress(OSError):
            holding.note.unlink()


def _say(terminal: Terminal, done: str, holding: Holding, why: str) -> None:
    style = _STYLES.get(done, "good")
    terminal.print(
        f"{terminal.styled(done, style)}  {harmless(holding.summary.name)} ({holding.summary.id[:12]}): {harmless(why)}"
    )
