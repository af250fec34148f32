"""``flcore check KIT``: what a parent would find, before it is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flcore.config.component_config import ComponentBuilder
from flcore.config.problems import Problems
from flcore.errors import ConfigError, FLCoreError, JobLaunchError, RuntimeUnavailableError
from flcore.fl_constant import FLContextKey
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import Check, LaunchRequest
from flcore.submitted_job import SubmittedJob
from flcore.workspace import Workspace

from ..container_spec import THIS_PROCESS, JobNetwork
from ..docker_launcher import DockerJobLauncher
from ..flare.kit_layout import KitLayout
from ..flare.parent_config import KIT_ARGUMENTS, OURS, KitComponent, ParentConfig
from ..flare.process import PARENT_HOST
from ..flare.study_file import take_in_studies
from ..probe.targets import Called
from ..runtime.docker import DockerRuntime
from ..runtime.docker_clients import default_address
from ..runtime.docker_networks import Network
from .component_findings import component_problems, metrics_findings, waiting_findings
from .host_findings import gpu_findings, key_finding, memory_findings, socket_findings
from .image_findings import DEFAULT_PATH, found_in, image_finding
from .kit_job import check_can_tell, launch_of
from .launcher_findings import CLASSES, launcher_findings
from .listener_findings import address_finding, listener_findings
from .parent_python import ParentPython, without_nvflare
from .parents import EVERY_ADDRESS
from .study_findings import kit_studies_findings, study_findings
from .verdicts import missing, warned

_CLASSES = {"client": f"{OURS}.ClientKitLauncher", "server": f"{OURS}.ServerKitLauncher"}


@dataclass(frozen=True, slots=True)
class KitCheck:
    """Of one kit.

    Args:
        layout: the kit's.
        others: kits whose parents run on this host, too, wherever they are.
    """

    layout: KitLayout
    others: Sequence[Path] = ()

    @property
    def title(self) -> str:
        return f"{self.layout.role} {self.layout.site}, a kit of NVIDIA FLARE"

    def checks(self) -> Iterator[Check]:
        """Yield what was found. Raises ConfigError at the end, with a line for each thing that is wrong with a file."""
        config, parent = ParentConfig.read(self.layout), ParentPython.of(self.layout)
        yield from without_nvflare()
        yield from parent.findings()
        yield from launcher_findings(config)
        problems = [*config.problems, *component_problems(config)]
        for component in config.own_launchers[:1]:
            try:
                launcher = build(component, self.layout.role)
            except ConfigError as error:
                problems += str(error).splitlines()
                yield from self._without_launcher(config, component)
            else:
                problems += self._studies_of(launcher)
                yield from self._with_launcher(config, component, launcher, parent.nvflare)
        yield from metrics_findings(config, self.others)
        yield from waiting_findings(config)
        yield from study_findings(self.layout)
        if problems:
            raise ConfigError("\n".join(problems))

    def reach_checks(self) -> Iterator[Check]:
        """Yield what its jobs reach. What is wrong with its files has been told."""
        config = ParentConfig.read(self.layout)
        with suppress(ConfigError):
            for component in config.own_launchers[:1]:
                with closing(build(component, self.layout.role)) as launcher:
                    for found in launcher.check_reach(self._context(), _called_in(config)):
                        yield replace(found, what=f"{component.id}: {found.what}")

    def launch_of(self, job: SubmittedJob) -> LaunchRequest | FLCoreError | str:
        """Return what a job would be launched with, why it would be refused, or why it is not launched there.

        Raises ConfigError if that cannot be told.
        """
        check_can_tell(self.layout)
        config = ParentConfig.read(self.layout)
        if not config.own_launchers:
            return "jobs are launched by others than flcore"
        return launch_of(build(config.own_launchers[0], self.layout.role), config, job)

    def _studies_of(self, launcher: DockerJobLauncher) -> list[str]:
        """Have a launcher heed the kit's own file of studies; return what is wrong with that, a line each."""
        problems = Problems()
        if find_spec("yaml") is not None:  # else it is said that nobody can look
            problems.attempt(take_in_studies, launcher, self.layout.root)
        return problems.lines

    def _with_launcher(
        self, config: ParentConfig, component: KitComponent, launcher: DockerJobLauncher, nvflare: str
    ) -> Iterator[Check]:
        """Say what is to be said of a launcher; ``nvflare`` is the version that the parent has, if it is known."""
        address = launcher.docker_host or default_address()
        yield from socket_findings(address, self.layout.root)
        for found in (*self._asked(launcher), *_image_findings(launcher, nvflare)):
            yield Check(f"{component.id}: {found.what}", found.ok, found.detail, found.warning)
        network = _found(launcher, launcher.network)
        yield from listener_findings(config, launcher.network, network, self.others)
        for other in launcher.policy.study_networks():
            yield address_finding(config, other, _found(launcher, other))
        yield from kit_studies_findings(self.layout, launcher.policy)
        yield key_finding(config, component.args.get("private_key", False))
        yield from gpu_findings(config, launcher.gpu_ids)
        yield from memory_findings(launcher.isolation.tmpfs, launcher.mounts, self.layout.root)

    def _asked(self, launcher: DockerJobLauncher) -> Iterator[Check]:
        """Yield what a launcher says itself; an engine that does not answer any more ends that, and nothing else."""
        with closing(launcher):
            try:
                yield from launcher.check(self._context())
            except JobLaunchError as error:
                yield missing("engine", str(error))

    def _without_launcher(self, config: ParentConfig, component: KitComponent) -> Iterator[Check]:
        network = component.args.get("network", "")
        if isinstance(network, str):
            yield from listener_findings(config, network, None, self.others)

    def _context(self) -> FLContext:
        fl_ctx = FLContext()
        workspace = Workspace(self.layout.root, self.layout.site)
        fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)
        return fl_ctx


def check_of(folder: Path, others: Sequence[Path]) -> KitCheck:
    """Return the check of a folder, for ``flcore check``. Raises ConfigError if it is no kit that runs jobs."""
    return KitCheck(KitLayout.of(folder), others)


def build(component: KitComponent, role: str) -> DockerJobLauncher:
    """Return a kit's launcher; where NVIDIA FLARE is not installed, that of flcore's own sites in its place.

    Raises ConfigError, with a line for each thing that is wrong with its arguments.
    """
    path, args = _CLASSES[role], component.args
    if find_spec("nvflare") is None:
        path = f"launchers.docker_launcher.{CLASSES[role]}"
        args = {key: value for key, value in args.items() if key not in KIT_ARGUMENTS}
    config: Mapping[str, Any] = {"id": component.id or "launcher", "path": path, "args": args}
    built = ComponentBuilder(str(component.file)).build_all([config]).values()
    return next(launcher for launcher in built if isinstance(launcher, DockerJobLauncher))


def _called_in(config: ParentConfig) -> Called:
    """Return where jobs call their parent, if they do so by the network."""
    listener = config.listener
    if not listener.port or not listener.host:
        return Called()
    if listener.host in EVERY_ADDRESS:
        return Called((PARENT_HOST, listener.port), {PARENT_HOST: THIS_PROCESS})
    return Called((listener.host, listener.port))


def _image_findings(launcher: DockerJobLauncher, nvflare: str) -> Iterator[Check]:
    """Say what the image of jobs that name none has; whether it is there, has been told."""
    image, python = launcher.policy.image, launcher.python
    if image is None:
        yield warned("image", "'image' names none, so jobs that name none themselves are refused")
        return
    try:
        with closing(_engine_of(launcher)) as engine:
            if engine.find_image(image) is None:
                return
            with engine.images.opened(image) as files:
                path = {"PATH": DEFAULT_PATH, **files.environment, **launcher.env}["PATH"]
                yield image_finding(image, found_in(files, python, path), python, nvflare)
    except RuntimeUnavailableError:
        return  # which has been told
    except JobLaunchError as error:
        yield warned("image", f"which NVIDIA FLARE {image} has is not told: {error}")


def _found(launcher: DockerJobLauncher, network: JobNetwork) -> Network | None:
    """Return what the engine says of a network of jobs; None if nothing: why, has been told."""
    if isinstance(network, str):
        with suppress(JobLaunchError), closing(_engine_of(launcher)) as engine:
            return engine.networks.find(network)
    return None


def _engine_of(launcher: DockerJobLauncher) -> DockerRuntime:
    return DockerRuntime(launcher.docker_host, tls=launcher.docker_tls)
