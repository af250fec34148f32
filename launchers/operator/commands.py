"""The commands of an operator. This only says how they are called: what they do is imported when one of them runs."""

from __future__ import annotations

import argparse
from importlib import import_module

from flcore.cli.command import Commands, add_command, whole_number
from flcore.cli.completion import completed_by
from flcore.cli.parser import Parser

_SCOPE = """which jobs: by default those of the sites in ./workspace, and of those, root's or your own, whose containers
Docker's default engine has; with --site only those of that site, wherever its config says that they run. The engines on
which these sites say that they have launched jobs are asked, too. A folder, such as an NVIDIA FLARE site's kit, in the
place of a job means the jobs of the sites in it only; KIT/JOB means one of these.
"""
_PS = f"""{_SCOPE}
examples:
  flcore ps
  flcore ps --watch --site configs/docker/site-1.json
  flcore ps -a /opt/nvflare/site-1
  flcore ps -a --study cardio-2026
  flcore ps --all --json | jq -r 'select(.result.return_code != "SUCCESS") | [.site, .job_id, .reason] | @tsv'

A job that has ended shows its result, any other its container's state; or 'launching': there is no container yet;
'lost': nobody follows it, and nothing is left of it; 'unknown': nobody follows it, and no engine that was asked has it;
'ended' (with --all, or by its id): only its folder and its output tell of it, and not how it ended. There is a column
STUDY where a job is of one; NVIDIA FLARE's study 'default' is none.
--json prints one JSON object per line; with --watch, one per change. An engine that does not answer is told on standard
error, and jobs are shown as far as they are known from disk.

exit status: 0, also without any job; 2 for an error, such as a job that is not there; 130 after Ctrl-C"""
_LOGS = f"""{_SCOPE}
examples:
  flcore logs digits-f41165e6 --tail 20
  flcore logs site-1/digits --follow
  flcore logs /opt/nvflare/site-1/8c6d --tail 20

JOB is a job's id, or the beginning of one that no other has; SITE/JOB means it at that site only. Where there are
several sites, each line begins with its site. What would make a terminal do something is left out; --raw leaves it in,
and writes to no terminal. A line of more than 64 KiB comes in pieces of that size, each a line of its own.

exit status: 0; 1 if no site has any output; 2 for an error, such as a job that is not there; 130 after Ctrl-C"""
_STOP = f"""{_SCOPE}
examples:
  flcore stop digits-f41165e6
  flcore stop site-1/digits

JOB is a job's id, or the beginning of one that no other has; SITE/JOB means it at that site only. The wish is written
down first, then the job's process gets a SIGTERM, and, after the site's grace, a SIGKILL. The site's process, or its
next start, tells of the job as ABORTED. A job that has ended already stays as it is.

exit status: 0 if all of it has ended; 1 if an end is not confirmed (the wish stays); 2 for an error, such as a job that
is not there; 130 after Ctrl-C"""
_GC = f"""{_SCOPE}
examples:
  flcore gc --dry-run
  flcore gc --older-than 7d

Removes ended, and never started, containers that a launcher has made, that no process of a site follows, and that are
on no site's record: such a one belongs to the site's next start, which tells how its job ended. What runs, and what is
not ours, is never touched; nor is what only its labels say to be a job's, which no site that can be read here has
written down: a line names it, and says what to do.

exit status: 0; 1 if something could not be removed, or an engine did not answer; 2 for an error"""
_INSPECT = f"""{_SCOPE}
examples:
  flcore inspect digits-f41165e6
  flcore inspect site-1/digits --json | jq .states

JOB is a job's id, or the beginning of one that no other has; SITE/JOB means it at that site only. --json prints one
JSON object per site and line.

exit status: 0; 2 for an error, such as a job that is not there"""


def add_commands(commands: Commands) -> None:
    """Add all of them."""
    _add_ps(commands)
    _add_logs(commands)
    _add_stop(commands)
    _add_inspect(commands)
    _add_gc(commands)


def add_scope(parser: Parser) -> None:
    """Add the options that ``scope.index_of`` reads."""
    parser.add_argument(
        "--site", metavar="CONFIG", action="append", help="only the jobs of the site with this config; repeatable"
    )
    parser.add_argument(
        "--workspace", metavar="DIR", help="a site's workspace, or the folder of several (default: workspace)"
    )


def add_job(parser: Parser, nargs: str | None = None) -> None:
    """Add the argument that names a job, or several."""
    action = parser.add_argument(
        "job", metavar="JOB", nargs=nargs, help="a job's id, the beginning of one, or SITE/JOB; or a site's folder"
    )
    completed_by(action, job_ids)
    parser.hint = "list jobs by: flcore ps --all"


def add_folder(parser: Parser) -> None:
    """Add the argument that names a site's folder, to a command that takes no job."""
    parser.add_argument("folder", metavar="KIT", nargs="?", help="only the jobs of the site with this folder")


def job_ids(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return the ids that begin so, for a shell's completion: of what is on disk, as no engine is quick enough."""
    from .scope import index_of

    parsed_args.folder = None
    with index_of(parsed_args, ask_engines=False) as index:
        return index.job_ids(prefix)


def add_scoped(commands: Commands, name: str, module: str, summary: str, epilog: str) -> Parser:
    """Add a command that a module's ``run`` does."""

    def run(args: argparse.Namespace) -> int:
        from .scope import read_paths

        read_paths(args)
        return int(import_module(f"{__package__}.{module}").run(args))

    parser = add_command(commands, name, run, summary, epilog)
    add_scope(parser)
    return parser


def _add_ps(commands: Commands) -> None:
    parser = add_scoped(commands, "ps", "ps", "list jobs, also those of sites that do not run", _PS)
    parser.add_argument("-a", "--all", action="store_true", help="all jobs, not only the last that have ended")
    parser.add_argument(
        "-n", "--last", metavar="N", type=whole_number, default=5, help="how many ended jobs are listed (default: 5)"
    )
    parser.add_argument("--study", metavar="STUDY", help="only the jobs of this study; '' is those of none")
    parser.add_argument("--json", action="store_true", help="print a JSON object per line")
    parser.add_argument("-w", "--watch", action="store_true", help="go on, and show what changes, until Ctrl-C")
    add_job(parser, "*")


def _add_logs(commands: Commands) -> None:
    parser = add_scoped(commands, "logs", "logs", "show a job's output, while it runs and afterwards", _LOGS)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    parser.add_argument("-n", "--tail", metavar="N", type=whole_number, help="only the last N lines of each site")
    parser.add_argument("--raw", action="store_true", help="leave in what makes a terminal do things")
    add_job(parser)


def _add_stop(commands: Commands) -> None:
    add_job(add_scoped(commands, "stop", "stop", "end a job, also without a running site", _STOP))


def _add_inspect(commands: Commands) -> None:
    parser = add_scoped(commands, "inspect", "details", "show all that is known of a job", _INSPECT)
    parser.add_argument("--json", action="store_true", help="print a JSON object per site and line")
    add_job(parser)


def _add_gc(commands: Commands) -> None:
    parser = add_scoped(commands, "gc", "leftovers", "remove the containers that jobs have left behind", _GC)
    add_folder(parser)
    parser.add_argument("--dry-run", action="store_true", help="remove nothing: say what would be removed")
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=_duration,
        default="24h",
        help="only what has ended so long ago, such as 30m, 24h or 7d (default: 24h)",
    )


def _duration(text: str) -> float:
    from .durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
