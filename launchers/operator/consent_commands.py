"""The commands of who decides which code may run. This only says how they are called."""

from __future__ import annotations

import argparse

from flcore.approvals.approvals_file import APPROVE, DENY
from flcore.cli.command import Commands
from flcore.cli.completion import completed_by
from flcore.cli.parser import Parser

from .commands import add_folder, add_scoped

_SCOPE = """at which site: by default those in ./workspace; with --site the one with that config; with --workspace the
one with that folder, or those in it. KIT, an NVIDIA FLARE site's folder, or KIT/FINGERPRINT, means that site.
"""
_APPROVALS = f"""{_SCOPE}
examples:
  flcore approvals
  flcore approvals --all --site configs/docker/site-1.json
  flcore approvals --json | jq -r '[.fingerprint, .name, .study] | @tsv'

A site with a JobApproval among its components refuses what nobody has approved, or has it wait. --json prints one JSON
object per line.

exit status: 0, also if nothing waits; 2 for an error"""
_SHOW = f"""{_SCOPE}
examples:
  flcore show 3f2a9c1b04d7
  flcore show 3f2a9c1b04d7 --file custom/client.py
  flcore show prod_00/site-1/3f2a --json | jq .asks

FINGERPRINT is one, or the beginning of one that no other has. What is shown: what the job asks for and gets, the files
of its app, and what of that is other than in the last version of the job, by its name, that was approved; if there is
none, all of it. Characters that hide something stand there as escapes.

exit status: 0; 2 for an error, such as a fingerprint that nobody has asked for"""
_APPROVE = f"""{_SCOPE}
examples:
  flcore approve 3f2a9c1b04d7e8a60b5f1c2d93847e6a
  flcore approve 3f2a9c1b04d7e8a60b5f1c2d93847e6a --until 2030-12-31 --note "read it all; ticket 4711"

FINGERPRINT is one, or the beginning of one that no other has; a whole one may be approved before it is asked for. What
is approved is just that: one changed byte of the app, another image, or another request has another fingerprint. Who
approves is whom the operating system says has logged in, be it behind sudo. What waits goes on within a second.

exit status: 0; 2 for an error, such as a fingerprint that nobody has asked for"""
_DENY = f"""{_SCOPE}
examples:
  flcore deny 3f2a9c1b04d7 --note "sends images home"

FINGERPRINT is one, or the beginning of one that no other has. It voids what anybody has approved of it before, and no
rule lets it run; whoever approves it later has it run again. What runs already goes on: flcore stop ends it.

exit status: 0; 2 for an error, such as a fingerprint that nobody has asked for"""


def add_commands(commands: Commands) -> None:
    """Add all of them."""
    parser = add_scoped(commands, "approvals", "approvals", "list what waits to be approved", _APPROVALS)
    parser.add_argument("-a", "--all", action="store_true", help="what was decided, too")
    parser.add_argument("--json", action="store_true", help="print a JSON object per line")
    add_folder(parser)
    parser = add_scoped(commands, "show", "show_request", "show what has a fingerprint, and what is new in it", _SHOW)
    parser.add_argument("--file", metavar="PATH", help="only this file of the app, all of it")
    parser.add_argument("--json", action="store_true", help="print it as a JSON object")
    _add_fingerprint(parser)
    _add_approve(commands)
    parser = add_scoped(commands, "deny", "decide", "have a job that asks for this not run", _DENY)
    _add_decision(parser, DENY)


def _add_approve(commands: Commands) -> None:
    parser = add_scoped(commands, "approve", "decide", "let run what has a fingerprint", _APPROVE)
    parser.add_argument("--study", metavar="NAME", help="only if it is of this study, and for no other")
    parser.add_argument("--until", metavar="DATE", type=_until, help="the last day, or the moment at which it ends")
    _add_decision(parser, APPROVE)


def _add_decision(parser: Parser, verdict: str) -> None:
    parser.add_argument("--note", metavar="TEXT", default="", help="what there is to say of it; it is kept")
    parser.set_defaults(verdict=verdict)
    _add_fingerprint(parser)


def _add_fingerprint(parser: Parser) -> None:
    action = parser.add_argument(
        "job", metavar="FINGERPRINT", help="a fingerprint, or the beginning of one; or a site's folder, / and that"
    )
    completed_by(action, _fingerprints)
    parser.hint = "list what waits by: flcore approvals"


def _fingerprints(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    from .asked_for import approvals_of, fingerprints

    parsed_args.folder = None
    return fingerprints(approvals_of(parsed_args), prefix)


def _until(text: str) -> float:
    from .decide import until

    return until(text)
