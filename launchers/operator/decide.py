"""``flcore approve`` and ``flcore deny``: what one user says of one fingerprint is written down, and told."""

from __future__ import annotations

import argparse
import time
from datetime import timedelta

from flcore.approvals.approvals_file import APPROVE, Approval
from flcore.approvals.caller import caller
from flcore.approvals.fingerprint import SURE
from flcore.cli.command import EXIT_OK, disk_in_words
from flcore.errors import ConfigError
from flcore.plain_text import harmless

from .asked_for import Asked, approvals_of, the_one_asked
from .durations import as_time, parse_date
from .terminal import Terminal

NOTE_LENGTH = 1000
"""Characters of a note, at most."""


def run(args: argparse.Namespace) -> int:
    """Write down what the caller decides; return the exit status."""
    asked = the_one_asked(approvals_of(args), args.job)
    if args.verdict == APPROVE and len(args.job.rpartition("/")[2]) < SURE:
        named = f"name {SURE} digits of what was looked at, for another request can be made that begins with fewer"
        raise ConfigError(f"{asked.short}: {named}: flcore approve {asked.fingerprint[:SURE]}: nothing was approved")
    approval = _decision(asked, args)
    with disk_in_words():
        asked.site.file.add(approval)
    (now,) = (site for site in approvals_of(args) if site.workspace == asked.site.workspace)
    terminal = Terminal()
    terminal.print(*_told(now.about(asked.fingerprint, asked.request), approval, terminal))
    return EXIT_OK


def until(text: str) -> float:
    """Return the time at which an approval ends that holds until a day, which it does to its end, or a moment."""
    try:
        moment, is_day = parse_date(text)
        ends = (moment + timedelta(days=1, seconds=-1) if is_day else moment).timestamp()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"must be a date, such as 2030-12-31, got {text!r}") from error
    if ends <= time.time():
        raise argparse.ArgumentTypeError(f"must be a date that is yet to come, got {text!r}")
    return ends


def _decision(asked: Asked, args: argparse.Namespace) -> Approval:
    """Return what is to be written down. Raises ConfigError if it is about another study than the caller means."""
    request, study = asked.request, getattr(args, "study", None)
    if request and study is not None and study != request.study:
        of = f"the study {request.study!r}" if request.study else "no study"
        raise ConfigError(f"--study: {asked.short} is of {of}, not of {study!r}: nothing was approved")
    if len(args.note) > NOTE_LENGTH:
        raise ConfigError(f"--note: must have {NOTE_LENGTH} characters at most, got {len(args.note)}")
    who = caller()
    return Approval(
        args.verdict,
        asked.fingerprint,
        who.uid,
        who.name,
        time.time(),
        getattr(args, "until", None),
        study or (request.study if request else ""),
        args.note,
        request.app if request else "",
        request.image if request else "",
        asked.name,
    )


def _told(asked: Asked, approval: Approval, terminal: Terminal) -> list[str]:
    """Return what was written down, and what that means now."""
    done = terminal.styled(*(("approved", "good") if approval.verdict == APPROVE else ("denied", "bad")))
    what = f"{asked.name} at {asked.where}" if asked.request else f"what nobody has asked for yet at {asked.where}"
    ends = f", until {as_time(approval.until)}" if approval.until else ""
    lines = [f"{done}  {asked.short}  {harmless(what)}, by {harmless(approval.user)} (uid {approval.uid}){ends}"]
    if approval.verdict == APPROVE and asked.waits:
        lines.append(f"{asked.verdict.wanted} different users must approve it: {harmless(asked.status())}")
    return lines
