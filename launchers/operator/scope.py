"""Which sites' jobs a command is about: a folder, ``--site CONFIG``, ``--workspace DIR``, or all of this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flcore.cli.command import read_config
from flcore.config.strict_json import load_json
from flcore.disk.presence import is_folder
from flcore.errors import ConfigError
from flcore.observers.journal_sieve import ALL, Wanted
from flcore.workspace import STATE_DIR

from ..container_spec import LABEL_SITE
from ..runtime.base import Runtime
from ..settings import EngineTls
from .engines import Engines
from .job_index import JobIndex
from .site_files import SiteFiles

if TYPE_CHECKING:
    from flcore.site_config import SiteConfig

DEFAULT_WORKSPACE = "workspace"
_OF_A_KIT = ("startup", "local")
"""Folders of a kit as NVIDIA FLARE provisions it, which is the workspace of its site."""

_LAUNCHERS = "launchers.nvflare_launcher."
_JOURNALS = ("flcore.observers.JobJournal", "flcore.observers.job_journal.JobJournal")


def index_of(args: argparse.Namespace, *, ask_engines: bool = True, wanted: Wanted = ALL) -> JobIndex:
    """Return the index of the jobs that the options of ``commands.add_scope`` mean. Raises ConfigError."""
    if args.folder:
        folder = Path(args.folder)
        sites = partial(_sites_with_journals, folder)
        engines = _asked(_engines_of(folder)) if ask_engines else None
        return JobIndex(sites, engines, places=_in_words([folder]), wanted=wanted)
    if args.site:
        return index_of_sites(args.site, args.workspace, ask_engines=ask_engines, wanted=wanted)
    if args.workspace and not _may_be_folder(Path(args.workspace)):
        raise ConfigError(f"--workspace: {args.workspace} is no folder")
    return index_of_machine(Path(args.workspace or DEFAULT_WORKSPACE), ask_engines=ask_engines, wanted=wanted)


def read_paths(args: argparse.Namespace) -> None:
    """Have what stands where jobs are named, but is the path of a site's folder, or of a job's in it, be taken as that.

    So ``args.folder`` is that of the site, or of several; None if there is none such. Raises ConfigError.
    """
    args.folder = getattr(args, "folder", None)
    if args.folder and not _is_of_sites(Path(args.folder)):
        raise ConfigError(f"{args.folder} is no kit, and no workspace of a site: there is no {STATE_DIR} in it")
    if args.folder and (args.site or args.workspace):
        raise ConfigError(f"name a folder, --site or --workspace, one of them: {args.folder}")
    if args.folder or args.site or args.workspace or not getattr(args, "job", None):
        return
    named = [_site_and_job(name) for name in ([args.job] if isinstance(args.job, str) else args.job)]
    folders = {folder for folder, _ in named}
    if folders == {None}:
        return
    if len(folders) > 1:
        raise ConfigError(f"name jobs of one folder only: {', '.join(map(str, filter(None, folders)))} and others")
    jobs = [job for _, job in named if job]
    if isinstance(args.job, str) and not jobs:
        raise ConfigError(f"{args.job} is a site's folder: name a job of it, as {Path(args.job) / 'JOB'}")
    (args.folder,) = folders
    args.job = jobs[0] if isinstance(args.job, str) else jobs


def _site_and_job(name: str) -> tuple[Path | None, str]:
    """Return the folder and the job that a path means; no folder if it is none."""
    path = Path(name)
    if _is_of_sites(path):
        return path, ""
    if "/" in name and _is_of_sites(path.parent):
        return path.parent, path.name
    return None, name


def _is_of_sites(folder: Path) -> bool:
    """Whether a folder is a site's, which may never have run a job, or that of several."""
    is_kit = all(_may_be_folder(folder / name) for name in _OF_A_KIT)
    return is_kit or (_may_be_folder(folder) and any(True for _ in sites_in(folder)))


def workspaces_of(args: argparse.Namespace) -> list[Path]:
    """Return the folders of the sites that the options of ``commands.add_scope`` mean. Raises ConfigError."""
    if args.folder:
        return [site.workspace for site in sites_in(Path(args.folder))] or [Path(args.folder).absolute()]
    if args.site:
        return [
            Path(args.workspace, config.site) if args.workspace else config.workspace
            for config in map(read_config, args.site)
        ]
    if args.workspace and not _may_be_folder(Path(args.workspace)):
        raise ConfigError(f"--workspace: {args.workspace} is no folder")
    return [site.workspace for site in sites_in(Path(args.workspace or DEFAULT_WORKSPACE))]


def index_of_sites(
    configs: Sequence[str], workspace: str | None = None, *, ask_engines: bool = True, wanted: Wanted = ALL
) -> JobIndex:
    """Return the index of what sites have, by their configs, and by the engines of their launchers. Starts no site.

    ``workspace`` is where all sites have their folder, by its name, if not where their configs say.
    """
    from ..job_launcher import JobLauncher  # of no use without a config, and slow

    sites: list[SiteFiles] = []
    engines: list[Callable[[], Runtime]] = []
    for config in map(read_config, configs):
        site, components = _site_of(config, workspace, JobLauncher)
        sites.append(site)
        engines += [part.make_runtime for part in components if isinstance(part, JobLauncher)]
    places = _in_words([site.workspace for site in sites])
    return JobIndex(lambda: sites, _asked(engines) if ask_engines else None, places=places, wanted=wanted)


def index_of_machine(workspace: Path, *, ask_engines: bool = True, wanted: Wanted = ALL) -> JobIndex:
    """Return the index of what a folder's sites have, and of all that the default Docker engine has of any site."""
    engines = _asked([_engine]) if ask_engines else None
    return JobIndex(
        lambda: sites_in(workspace), engines, whole_machine=True, places=_in_words([workspace]), wanted=wanted
    )


def sites_of(args: argparse.Namespace) -> list[SiteFiles]:
    """Return the sites that the same options mean; of none it is asked where its jobs run. Raises ConfigError."""
    if args.folder:
        return _sites_with_journals(Path(args.folder))
    if args.site:
        return [_site_of(config, args.workspace)[0] for config in map(read_config, args.site)]
    return list(sites_in(Path(args.workspace or DEFAULT_WORKSPACE)))


def _site_of(config: SiteConfig, workspace: str | None, *kinds: type[Any]) -> tuple[SiteFiles, list[Any]]:
    """Return a site, and the components of some kinds that its config lists."""
    from flcore.observers.job_journal import JobJournal

    components = config.build(JobJournal, *kinds).values()  # what else there is may open a port as it is made
    journals = [Path(part.path) for part in components if isinstance(part, JobJournal) and part.path]
    folder = Path(workspace, config.site) if workspace else config.workspace
    return SiteFiles(folder, *journals[:1]), list(components)


def sites_in(folder: Path) -> Iterable[SiteFiles]:
    """Return the sites whose workspace is a folder, or lies in it; none if it is not there.

    What is not ours to look into counts as one, so that whoever reads it finds that out, and says so.
    """
    if _may_be_folder(folder / STATE_DIR):
        return [SiteFiles(folder)]
    try:
        inside = sorted(folder.iterdir())
    except PermissionError:
        return [SiteFiles(folder)]
    except OSError:
        return []
    return [SiteFiles(path) for path in inside if _may_be_folder(path / STATE_DIR)]


def _sites_with_journals(folder: Path) -> list[SiteFiles]:
    """Return the sites in a folder, of kits with the journals that these name."""
    found = []
    for site in sites_in(folder):
        paths = [Path(args["path"]) for args in _args_in_kit(site.workspace, _is_journal) if args.get("path")]
        found.append(SiteFiles(site.workspace, *paths[:1]))
    return found


def _engines_of(folder: Path) -> list[Callable[[], Runtime]]:
    """Return the engines of the sites in a folder: those that the launchers of kits name, or Docker's default one."""
    named = [args for site in sites_in(folder) for args in _args_in_kit(site.workspace, _is_launcher)]
    return [partial(_engine_of, args) for args in named] or [_engine]


def _args_in_kit(kit: Path, is_meant: Callable[[str], bool]) -> Iterable[Mapping[str, Any]]:
    """Yield the arguments of a kit's components of some class; what cannot be read is its parent's to complain of."""
    for file in sorted(kit.glob("local/*resources.json")):
        with suppress(ConfigError):
            content = load_json(file)
            listed = content.get("components") if isinstance(content, Mapping) else None
            named = [one for one in listed or () if isinstance(one, Mapping)]
            yield from (one.get("args") or {} for one in named if is_meant(str(one.get("path"))))


def _is_launcher(path: str) -> bool:
    return path.startswith(_LAUNCHERS)


def _is_journal(path: str) -> bool:
    return path in _JOURNALS


def _may_be_folder(path: Path) -> bool:
    """Whether something is a folder, or only its owner can tell."""
    try:
        return is_folder(path)
    except PermissionError:
        return True
    except OSError:
        return False


def _engine_of(args: Mapping[str, Any]) -> Runtime:
    """Return that which a launcher's arguments name. Raises ConfigError for what no launcher takes."""
    from ..policy.docker_args import engine_tls

    host = args.get("docker_host")
    try:
        return _engine(host, engine_tls("docker_tls", args.get("docker_tls"), host))
    except ValueError as error:
        raise ConfigError(f"a kit's launcher: {error}") from error


def _in_words(folders: Iterable[Path]) -> str:
    """Return the names of folders, and which are not there."""
    each = (f"{folder.absolute()}{'' if _may_be_folder(folder) else ', which is not there'}" for folder in folders)
    return " and ".join(each)


def _asked(named: Sequence[Callable[[], Runtime]]) -> Engines:
    """Return these engines, and those of which sites say that they have jobs there."""
    return Engines(named, lambda where: _engine(*where))


def _engine(host: str | None = None, tls: EngineTls | None = None) -> Runtime:
    from ..runtime.docker import DockerRuntime  # slow, and perhaps not installed

    return DockerRuntime(docker_host=host, watched_label=LABEL_SITE, tls=tls)
