"""``flcore report`` and ``flcore serve``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flcore.cli.command import EXIT_OK, Commands, add_command, whole_number
from flcore.cli.streams import tell, write_bytes
from flcore.disk.safe_files import write_output
from flcore.errors import ConfigError
from flcore.extras import how_to_install
from flcore.plain_text import visible

from ..operator.commands import add_folder, add_job, add_scope

_REPORT_EXAMPLE = """examples:
  flcore report -o report.html
  flcore report /opt/nvflare/site-1 -o report.html
  flcore report digits-f41165e6 --site configs/docker/site-1.json -o - | mail -s report …

JOB is a job's id, the beginning of one, or SITE/JOB; without any, the report is of all jobs. The file needs nothing
else: no network, no other file, no script.

exit status: 0 if the report was written, 2 if not, or if nothing is known of a job"""
_SERVE_EXAMPLE = """examples:
  flcore serve
  flcore serve /opt/nvflare/site-1
  flcore serve --host 0.0.0.0 --port 8090 --token-file /etc/flcore/token

Who can reach this host by its loopback address alone needs no token. For another address one is needed, from a file or
made up and printed; it goes over the network as it is, so have a proxy or `ssh -L` encrypt it.

exit status: 0 after Ctrl-C, 2 if it could not start"""


def add_commands(commands: Commands) -> None:
    """Add both, to the subcommands of ``flcore``."""
    report = add_command(
        commands, "report", run_report, "write a page of jobs that needs nothing else", _REPORT_EXAMPLE
    )
    add_job(report, nargs="*")
    report.add_argument("-o", "--output", metavar="FILE", default="report.html", help="'-' is standard output")
    report.add_argument(
        "--details", metavar="N", type=whole_number, default=None, help="give the details of the newest N jobs (20)"
    )
    add_scope(report)
    serve = add_command(commands, "serve", run_serve, "serve a page of jobs that follows what happens", _SERVE_EXAMPLE)
    serve.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (127.0.0.1)")
    serve.add_argument("--port", metavar="N", type=_port, default=8090, help="0 takes a free one (8090)")
    serve.add_argument("--token-file", metavar="FILE", help="ask readers for the token in this file")
    serve.add_argument(
        "--name", metavar="HOST", action="append", default=[], help="another name by which this host is asked for"
    )
    add_folder(serve)
    add_scope(serve)


def run_report(args: argparse.Namespace) -> int:
    """Write a report."""
    from ..operator.hints import hinting, no_job_here
    from ..operator.scope import index_of, read_paths
    from ..operator.terminal import warn

    read_paths(args)
    with _needing_extra():
        from .findings import Findings
        from .page import DETAILED, Page
        from .words import byte_size
    with index_of(args) as index:
        with hinting(index):
            findings = Findings.of(index, args.job)
        for problem in findings.problems:
            warn(problem)
        if not findings.jobs:
            tell(f"flcore: {visible(no_job_here(index))}")
        detailed = args.details if args.details is not None else max(DETAILED, len(args.job))
        html = Page(detailed).report(findings)
    data = html.encode()  # as the page says itself, whatever the terminal's encoding is
    if args.output == "-":
        write_bytes(data)
        return EXIT_OK
    try:
        write_output(Path(args.output), data)
    except OSError as error:
        raise ConfigError(f"--output: {args.output} cannot be written: {error.strerror}") from error
    count = len(findings.jobs)
    print(f"{args.output}: {count} job{'s' if count != 1 else ''}, {byte_size(len(data))}")
    return EXIT_OK


def run_serve(args: argparse.Namespace) -> int:
    """Serve the live page until it is interrupted."""
    from ..operator.scope import index_of, read_paths

    read_paths(args)
    with _needing_extra():
        from .access import Access, is_loopback, new_token, own_names, read_token
        from .live import LivePages
        from .server import Server, address_of, listen, make_app
    token = read_token(Path(args.token_file)) if args.token_file else None
    made_up = None
    if token is None and not is_loopback(args.host):
        token = made_up = new_token()
    with index_of(args) as index, listen(args.host, args.port) as listening:
        pages = LivePages(index)
        app = make_app(pages, Access(token, [*own_names(), *args.name]))
        _say_where(address_of(listening), made_up)  # who connects from now on is served when the server is up
        try:
            Server(app, pages).run(sockets=[listening])
        except KeyboardInterrupt:
            tell("flcore: serves no longer")
    return EXIT_OK


def _say_where(address: str, made_up: str | None) -> None:
    print(f"serving {address}{f'?token={made_up}' if made_up else ''} until Ctrl-C", flush=True)


@contextmanager
def _needing_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: {how_to_install('web')}") from error


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be a port's number, 0 to 65535, got {text!r}")
    return int(text)
