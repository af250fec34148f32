"""Which sites' jobs a command is about: ``--site CONFIG``, ``--workspace DIR``, or all of this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flcore.cli.command import read_config
from flcore.errors import ConfigError
from flcore.observers.journal_sieve import ALL, Wanted
from flcore.workspace import STATE_DIR

from ..container_spec import LABEL_SITE
from ..runtime.base import Runtime
from .job_index import JobIndex
from .site_files import SiteFiles

DEFAULT_WORKSPACE = "workspace"


def index_of(args: argparse.Namespace, *, ask_engines: bool = True, wanted: Wanted = ALL) -> JobIndex:
    """Return the index of the jobs that the options of ``commands.add_scope`` mean. Raises ConfigError."""
    if args.site:
        return index_of_sites(args.site, args.workspace, ask_engines=ask_engines, wanted=wanted)
    if args.workspace and not Path(args.workspace).is_dir():
        raise ConfigError(f"--workspace: {args.workspace} is no folder")
    return index_of_machine(Path(args.workspace or DEFAULT_WORKSPACE), ask_engines=ask_engines, wanted=wanted)


def index_of_sites(
    configs: Sequence[str], workspace: str | None = None, *, ask_engines: bool = True, wanted: Wanted = ALL
) -> JobIndex:
    """Return the index of what sites have, by their configs, and by the engines of their launchers. Starts no site.

    ``workspace`` is where all sites have their folder, by its name, if not where their configs say.
    """
    from flcore.observers.job_journal import JobJournal

    from ..job_launcher import JobLauncher  # of no use without a config, and slow

    sites: list[SiteFiles] = []
    engines: list[Callable[[], Runtime]] = []
    for config in map(read_config, configs):
        components = config.build().values()
        journals = [Path(part.path) for part in components if isinstance(part, JobJournal) and part.path]
        folder = Path(workspace, config.site) if workspace else config.workspace
        sites.append(SiteFiles(folder, *journals[:1]))
        engines += [part.make_runtime for part in components if isinstance(part, JobLauncher)]
    return JobIndex(lambda: sites, engines if ask_engines else (), wanted=wanted)


def index_of_machine(workspace: Path, *, ask_engines: bool = True, wanted: Wanted = ALL) -> JobIndex:
    """Return the index of what a folder's sites have, and of all that the default Docker engine has of any site."""
    engines = [_default_engine] if ask_engines else []
    return JobIndex(lambda: sites_in(workspace), engines, whole_machine=True, wanted=wanted)


def sites_in(folder: Path) -> Iterable[SiteFiles]:
    """Return the sites whose workspace is a folder, or lies in it; none if it is not there."""
    folders = [folder] if (folder / STATE_DIR).is_dir() else sorted(folder.glob("*/"))
    return [SiteFiles(path) for path in folders if (path / STATE_DIR).is_dir()]


def _default_engine() -> Runtime:
    from ..runtime.docker import DockerRuntime  # slow, and perhaps not installed

    return DockerRuntime(watched_label=LABEL_SITE)
