"""``flcore audit``. This only says how it is called: what it does is imported when it runs."""

from __future__ import annotations

import argparse
from datetime import timedelta
from importlib import import_module

from flcore.cli.command import Commands, add_command, disk_in_words
from flcore.cli.parser import Parser

from .commands import add_scope
from .durations import parse_date

_WHICH = """which journals: by default those of the sites in ./workspace; with --site that of this site, with
--workspace another folder's. PATH is a site's folder, such as an NVIDIA FLARE site's kit, that of several, or a
journal's newest file.
"""
_VERIFY = f"""{_WHICH}
examples:
  flcore audit verify
  flcore audit verify --site site-1.json --head /mnt/elsewhere/flcore-heads
  journalctl -t flcore -o cat | flcore audit verify /opt/nvflare/site-1 --head -

Each line of a journal carries the hash of the one before. So a line that was removed, changed, put in or put elsewhere
is found, by file and number. What was cut off at the end is found by a head that was kept elsewhere ('audit_head' of
JobJournal): --head takes the file that has some, a log that has them among other lines, - for standard input, one
head, or the hash of a line. Lines of a version that chained none are told of, and prove nothing.

exit status: 0 if all holds, 1 if not, 2 for an error"""
_EXPORT = f"""{_WHICH}
examples:
  flcore audit export --study cardio-2026 --from 2026-01-01 --to 2026-03-31
  flcore audit export --site site-1.json --csv > jobs.csv
  flcore audit export --json --head /mnt/elsewhere/flcore-heads | jq -r '[.job_id, .submitter, .result] | @tsv'

Says of each job that ran in that time, or was refused: which code, by its image and, where somebody has approved it,
its fingerprint; whose it is; of which study; on which datasets; when; who has approved it; with what result. Nothing
else of it: no output, no arguments, no variables. Without an offset a time is this machine's; --to means that day, too.
It says whether the journals' chains hold, as `flcore audit verify` does; --json and --csv say so on standard error, and
in each line.

exit status: 0 if all holds, 1 if not, which exports all the same, 2 for an error"""


def add_commands(commands: Commands) -> None:
    """Add the group, and the commands in it."""
    summary = "say what ran on whose data, and prove it"
    group = commands.add_parser("audit", help=summary, description=summary)
    group.hint = "see: flcore audit --help"
    within = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add(within, "verify", "find what was done to the journals of sites", _VERIFY)
    _add_export(within)


def _add(commands: Commands, name: str, summary: str, epilog: str) -> Parser:
    """Add a command that a module's ``run`` does."""

    def run(args: argparse.Namespace) -> int:
        with disk_in_words():
            return int(import_module(f"{__package__}.audit_{name}").run(args))

    parser = add_command(commands, name, run, summary, epilog)
    add_scope(parser)
    parser.add_argument("folder", metavar="PATH", nargs="?", help="only the journals of this folder, or this one")
    parser.add_argument(
        "--head", metavar="FILE_OR_HASH", help="the heads that were kept elsewhere: a file, -, a head, or a hash"
    )
    return parser


def _add_export(commands: Commands) -> None:
    parser = _add(commands, "export", "list jobs as an auditor asks for them", _EXPORT)
    parser.add_argument("--study", metavar="NAME", help="only the jobs of this study")
    parser.add_argument("--from", dest="since", metavar="DATE", type=_begin, help="only what ran then or later")
    parser.add_argument("--to", dest="until", metavar="DATE", type=_end, help="only what ran until then, that day too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON object per line")
    form.add_argument("--csv", action="store_true", help="print comma-separated values, for spreadsheets")


def _begin(text: str) -> float:
    return _moment(text, end=False)


def _end(text: str) -> float:
    """Return the moment at which what is meant is over."""
    return _moment(text, end=True)


def _moment(text: str, *, end: bool) -> float:
    try:
        moment, is_day = parse_date(text)
        return (moment + timedelta(days=1) if is_day and end else moment).timestamp()
    except (ValueError, OverflowError) as error:
        words = f"must be a date or a time such as 2026-01-31 or 2026-01-31T18:00+01:00, got {text!r}"
        raise argparse.ArgumentTypeError(words) from error
