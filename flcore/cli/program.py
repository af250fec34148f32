"""The ``flcore`` command. What runs sites is imported when one is to run: most commands only look at jobs."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..errors import ConfigError, FLCoreError
from ..import_path import leave_current_folder
from ..plain_text import visible
from . import streams
from .command import (
    EXIT_BROKEN_PIPE,
    EXIT_ERROR,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO_OUTPUT,
    EXIT_OK,
    Commands,
    FolderCheck,
    add_command,
    add_commands_of_packages,
    check_of_folder,
    disk_in_words,
    read_config,
)
from .completion import add_completion, complete_if_asked
from .parser import Parser
from .schema import add_schema

if TYPE_CHECKING:
    from ..job_launcher_spec import Check, JobLauncherSpec, LaunchRequest
    from ..site import Site
    from ..submitted_job import SubmittedJob
    from ..workflow import JobWorkflow
    from .view import View

_RUN_EXAMPLE = """example:
  flcore run configs/jobs/digits --site configs/docker/server.json \\
      --site configs/docker/site-1.json --site configs/docker/site-2.json
  flcore run hello --site site-1.json

The server's process runs the module 'server' of the job's app, any other site's its module 'client'. Where no
server is named each of them runs for itself, and gets no address of one.

exit status: 0 if every site succeeded, 1 if not, 2 for an error before the job ran, 130 after Ctrl-C"""
_CHECK_EXAMPLE = """example:
  flcore check configs/docker/*.json
  flcore check prod_00/site-1

A folder is a startup kit of NVIDIA FLARE's, whose parent is to launch its jobs by flcore: what it would find is looked
at before it is started (see `flcore nvflare install`).

a line per thing: ok; warning, of what an engine does not enforce; MISSING, without which no job runs

exit status: 0 if all is there, be it with warnings, 1 if something is missing, 2 if a config is wrong"""


_EPILOG = "flcore COMMAND --help has examples, and what the exit statuses mean."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    leave_current_folder()  # first: what else is imported is imported only when it is needed
    streams.prepare()
    try:
        status = _run_command(argv)
    except (OSError, SystemExit):
        if streams.failure_of_output() is None:
            raise
        status = EXIT_ERROR
    return _status_of_output() or status


def _run_command(argv: Sequence[str] | None) -> int:
    parser = _parser()
    complete_if_asked(parser)
    args = _parsed(parser, sys.argv[1:] if argv is None else argv)
    args.log = log_to_stderr(_level(args.verbose))
    try:
        return int(args.command(args))
    except FLCoreError as error:
        if args.debug:
            streams.tell(*map(visible, "".join(traceback.format_exception(error)).splitlines()))
        streams.tell(*(f"flcore: error: {visible(line)}" for line in str(error).splitlines()))
        return EXIT_ERROR
    except KeyboardInterrupt:
        streams.tell("flcore: interrupted; everything that ran has been ended")
        return EXIT_INTERRUPTED


def _parsed(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Return what a command line says. What it does not understand ends the process, in words of the command's own."""
    args: argparse.Namespace
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        args.parser.refuse(unknown)
    if args.command is None:
        parser.error("a COMMAND is required")
    return args


def print_versions(args: argparse.Namespace) -> int:
    """Print which versions are installed, in a line; where, if asked for details."""
    from .. import __version__

    found = find_spec("docker")
    docker = version("docker") if found else "is not installed"
    print(f"flcore {__version__} (Python {platform.python_version()}, Docker SDK {docker})")
    if args.debug:
        print(f"flcore: {Path(__file__).parents[1]}\nPython: {sys.executable}")
        print(f"Docker SDK: {Path(found.origin or '').parent}" if found else "Docker SDK: none")
    return EXIT_OK


def _status_of_output() -> int:
    """Return the exit status for a standard output that has not taken all, and say so; 0 if it has."""
    failure = streams.failure_of_output()
    if failure is None:
        return EXIT_OK
    if isinstance(failure, BrokenPipeError):  # nobody reads on, as in `flcore check … | head`
        return EXIT_BROKEN_PIPE
    streams.tell(f"flcore: error: standard output takes no more: {failure.strerror}")
    return EXIT_NO_OUTPUT


def run(args: argparse.Namespace) -> int:
    """Run a job on its sites, all in this process."""
    from ..submitted_job import SubmittedJob
    from ..workflow import JobWorkflow

    job = SubmittedJob.read(args.job_dir)
    sites = [_site(config, args.workspace) for config in args.site]
    workflow = JobWorkflow(job, sites)
    _check_all_take_part(dict(zip(args.site, sites, strict=True)), workflow, job)
    if args.dry_run:
        return _print_launches(_launches_of(workflow), args.json, workflow)
    for site in sites:
        if hindrance := site.workspace.hindrance():
            raise ConfigError(f"site {site.name}: its workspace cannot be used: {hindrance}")
    view = _view(args.json)(workflow)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    if not args.verbose:
        args.log.addFilter(lambda record: not _is_shown(record, workflow))
    try:
        with ExitStack() as stack:
            for site in sites:
                site.add_component("flcore-view", view)
                stack.enter_context(site)
            stack.enter_context(view)
            results = workflow.run()
    except (KeyboardInterrupt, SystemExit):
        view.show_interrupted()
        raise
    view.show_results(results)
    return EXIT_OK if all(result.succeeded for result in results.values()) else EXIT_FAILED


def _is_shown(record: logging.LogRecord, workflow: JobWorkflow) -> bool:
    """Whether a record of the log tells what the view does: how a job ended, or why it was not launched."""
    from ..site_log import site_of_outage, tells_of_end

    site = site_of_outage(record)  # where no job of it runs, the launch fails for that
    return tells_of_end(record, workflow.job_id) or (site != "" and site not in workflow.handles)


def _check_all_take_part(sites: Mapping[str, Site], workflow: JobWorkflow, job: SubmittedJob) -> None:
    """Raise ConfigError for a site that somebody has named, by its config, and the job has not."""
    for config, site in sites.items():
        if site not in workflow.sites:
            way_out = f"leave out --site {config}, or add it to {job.meta_file}"
            raise ConfigError(f"{job.path}: the deploy_map does not name site {site.name!r}: {way_out}")


def check(args: argparse.Namespace) -> int:
    """Say whether configs load, and whether what their launchers need is there. No site starts: jobs stay alone."""
    from ..site import Site
    from ..submitted_job import SubmittedJob
    from ..workflow import JobWorkflow

    folders = [path for path in args.config if os.path.isdir(path)]  # noqa: PTH112 - pathlib's may raise
    complete = True
    sites: list[Site] = []
    checked: dict[str, FolderCheck] = {}
    wrong: list[ConfigError] = []
    for path in args.config:
        try:
            if path in folders:
                with disk_in_words():
                    checked[path] = check_of_folder(Path(path), list(map(Path, folders)))
                    complete &= _check_folder(path, checked[path], args.network)
                continue
            site = Site.from_config(read_config(path))
        except ConfigError as error:
            wrong.append(error)
            continue
        sites.append(site)
        print(f"{path}: site {site.name}, {len(site.components())} components")
        complete &= _check_workspace(site)
        complete &= _check_launchers(site, args.network)
    if wrong:
        raise ConfigError("\n".join(map(str, wrong))) from wrong[0]
    if args.job:
        job = SubmittedJob.read(args.job)
        launches = {path: folder.launch_of(job) for path, folder in checked.items()}
        workflow = JobWorkflow(job, sites) if sites else None
        of_sites = _launches_of(workflow) if workflow else {}
        complete &= _print_launches({**launches, **of_sites}, False, workflow) == EXIT_OK
    return EXIT_OK if complete else EXIT_FAILED


def _launches_of(workflow: JobWorkflow) -> Mapping[str, LaunchRequest | FLCoreError | None]:
    """Return what each site would be asked for."""
    with ExitStack() as stack:
        for site in workflow.sites:
            for launcher in _launchers(site).values():
                stack.callback(launcher.close)
        return workflow.describe_launches()


def _print_launches(
    launches: Mapping[str, LaunchRequest | FLCoreError | str | None], as_json: bool, workflow: JobWorkflow | None
) -> int:
    """Print what would be asked for, and who of a workflow's job is left out; return the exit status."""
    from .view import launches_as_json, launches_as_text, left_out_in_words

    if workflow and workflow.left_out and not as_json:
        print(left_out_in_words(workflow))
    print(launches_as_json(launches) if as_json else launches_as_text(launches))
    return EXIT_FAILED if any(isinstance(launch, FLCoreError) for launch in launches.values()) else EXIT_OK


def _launchers(site: Site) -> dict[str, JobLauncherSpec]:
    from ..launcher_choice import launchers_among

    return launchers_among(site.components())


def _check_folder(path: str, checked: FolderCheck, network: bool) -> bool:
    """Say the same of a site whose config is a folder, as NVIDIA FLARE's are."""
    complete = True
    print(f"{visible(path)}: {visible(checked.title)}")
    for found in chain(checked.checks(), checked.reach_checks() if network else ()):
        print(f"  {_level_of(found)}  {visible(f'{found.what}: {found.detail}')}")
        complete &= found.ok
    return complete


def _check_workspace(site: Site) -> bool:
    hindrance = site.workspace.hindrance()
    if hindrance:
        print(f"  MISSING  workspace: {visible(hindrance)}")
    return not hindrance


def _check_launchers(site: Site, network: bool) -> bool:
    from ..fl_constant import FLContextKey

    launchers = _launchers(site)
    if not launchers:
        print("  MISSING  a launcher: the site can run no job")
    complete = bool(launchers)
    fl_ctx = site.new_context()
    fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, site.workspace, private=True, sticky=False)
    for name, launcher in launchers.items():
        with closing(launcher):
            for found in chain(launcher.check(fl_ctx), launcher.check_reach(fl_ctx) if network else ()):
                print(f"  {_level_of(found)}  {name}: {visible(f'{found.what}: {found.detail}')}")
                complete &= found.ok
    return complete


def _level_of(found: Check) -> str:
    if not found.ok:
        return "MISSING"
    return "warning" if found.warning else "ok     "


def _site(path: str, workspace: str | None) -> Site:
    """Build a site; ``workspace`` is where all sites have their folder, by its name."""
    from ..site import Site

    config = read_config(path)
    return Site.from_config(config, workspace and Path(workspace, config.site))


def _view(as_json: bool) -> type[View]:
    from .view import JsonView, LiveView, PlainView

    if as_json:
        return JsonView
    live = sys.stdout.isatty() and find_spec("rich") is not None
    return LiveView if live else PlainView


def _level(verbose: int) -> int:
    return (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]


def log_to_stderr(level: int) -> logging.Handler:
    """Log what no site's own log writes to standard error; return what does."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)  # a site's log may have the root logger let more pass
    handler.addFilter(_is_not_yet_on_standard_error)
    handler.setFormatter(_PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    return handler


def _is_not_yet_on_standard_error(record: logging.LogRecord) -> bool:
    from ..site_log import is_on_standard_error

    return not is_on_standard_error(record)


class _PlainFormatter(logging.Formatter):
    """A record's lines, which do nothing to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).split("\n")))


def _terminated(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


@cache
def _parser() -> Parser:
    """Return what parses all commands: once in a process, for it takes longer than most of what a command does."""
    parser = Parser(prog="flcore", description="Run federated-learning jobs, isolated, on sites.", epilog=_EPILOG)
    parser.add_argument(
        "--version",
        action="store_const",
        const=print_versions,
        dest="command",
        help="print those of flcore, Python and the Docker SDK; with --debug, where they are",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.set_defaults(verbose=0, parser=parser)
    parser.hint = "see: flcore --help"
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_run(commands)
    _add_check(commands)
    add_schema(commands)
    add_completion(commands)
    add_commands_of_packages(commands)
    return parser


def _add_run(commands: Commands) -> None:
    parser = add_command(commands, "run", run, "run a job on its sites", _RUN_EXAMPLE)
    parser.add_argument("job_dir", metavar="JOB_DIR", help="the job's folder: meta.json (or meta.conf) and its app")
    parser.add_argument(
        "--site",
        metavar="CONFIG",
        action="append",
        required=True,
        help="a site's config; repeatable: the job runs on those that are named, of the sites of its deploy_map",
    )
    parser.add_argument("--workspace", metavar="DIR", help="keep the sites' workspaces in DIR, not where configs say")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per state change and one with the results"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="launch nothing: print what each site's engine would be asked for, and where each setting comes from",
    )


def _add_check(commands: Commands) -> None:
    parser = add_command(
        commands, "check", check, "say whether configs load, and what of their needs is there", _CHECK_EXAMPLE
    )
    parser.add_argument("config", metavar="CONFIG", nargs="+", help="a site's config, or a kit of NVIDIA FLARE's")
    parser.add_argument(
        "--job",
        metavar="JOB_DIR",
        help="also print what a job on these sites would be launched with, and what of it is passed over",
    )
    parser.add_argument(
        "--network",
        action="store_true",
        help="also try what a job reaches of the network, by containers like a job's, which takes some seconds",
    )
