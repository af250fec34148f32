"""Which sites' jobs a command is about: ``--site CONFIG``, ``--workspace DIR``, or all of this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flcore.errors import ConfigError
from flcore.job_journal import JobJournal
from flcore.site_config import SiteConfig
from flcore.workspace import STATE_DIR

from ..container_spec import LABEL_SITE
from ..job_launcher import JobLauncher
from ..runtime.base import Runtime
from .job_index import JobIndex
from .site_files import SiteFiles

DEFAULT_WORKSPACE = "workspace"


def add_scope(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`index_of` reads."""
    parser.add_argument(
        "--site", metavar="CONFIG", action="append", help="only the jobs of the site with this config; repeatable"
    )
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        help="a site's workspace, or a folder of sites' workspaces, as for `flcore run` (default: "
        f"'{DEFAULT_WORKSPACE}', if it is there); without --site also what Docker's default engine has of any site",
    )


def index_of(args: argparse.Namespace) -> JobIndex:
    """Return the index of the jobs that the options mean. Raises ConfigError."""
    if args.site:
        return index_of_sites(args.site, args.workspace)
    if args.workspace and not Path(args.workspace).is_dir():
        raise ConfigError(f"--workspace: {args.workspace} is no folder")
    return index_of_machine(Path(args.workspace or DEFAULT_WORKSPACE))


def index_of_sites(configs: Sequence[str], workspace: str | None = None) -> JobIndex:
    """Return the index of what sites have, by their configs, and by the engines of their launchers. Starts no site.

    ``workspace`` is where all sites have their folder, by its name, if not where their configs say.
    """
    sites: list[SiteFiles] = []
    engines: list[Callable[[], Runtime]] = []
    for config in map(SiteConfig.read, configs):
        components = config.build().values()
        journals = [Path(part.path) for part in components if isinstance(part, JobJournal) and part.path]
        folder = Path(workspace, config.site) if workspace else config.workspace
        sites.append(SiteFiles(folder, *journals[:1]))
        engines += [part.make_runtime for part in components if isinstance(part, JobLauncher)]
    return JobIndex(lambda: sites, engines)


def index_of_machine(workspace: Path) -> JobIndex:
    """Return the index of what a folder's sites have, and of all that the default Docker engine has of any site."""
    return JobIndex(lambda: sites_in(workspace), [_default_engine], whole_machine=True)


def sites_in(folder: Path) -> Iterable[SiteFiles]:
    """Return the sites whose workspace is a folder, or lies in it; none if it is not there."""
    folders = [folder] if (folder / STATE_DIR).is_dir() else sorted(folder.glob("*/"))
    return [SiteFiles(path) for path in folders if (path / STATE_DIR).is_dir()]


def _default_engine() -> Runtime:
    from ..runtime.docker import DockerRuntime  # slow, and perhaps not installed

    return DockerRuntime(watched_label=LABEL_SITE)
