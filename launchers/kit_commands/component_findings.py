"""What a kit's files list beside the launcher: whether its parent can make that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from inspect import isclass
from pathlib import Path
from typing import Any

from flcore.config.component_config import COMPONENTS_GROUP, ComponentBuilder
from flcore.config.problems import Problems
from flcore.errors import ConfigError
from flcore.fl_component import FLComponent
from flcore.import_path import import_from
from flcore.job_launcher_spec import Check

from ..flare.kit_layout import SERVER
from ..flare.parent_config import KitComponent, ParentConfig
from .parents import is_listened_on, is_running, metrics_ports, who_names
from .verdicts import missing, warned, well

_NVIDIA = "nvflare"
_OURS = ("flcore", "launchers")
_MANAGER = "launchers.nvflare_resource_manager.FlareResourceManager"
_EARLY = "launchers.nvflare_early_deployment.FlareEarlyDeployment"
_OF_NVIDIAS_KIND = (_MANAGER, _EARLY)
"""This package's, to make which NVIDIA FLARE is needed."""
_APPROVAL, _SCHEDULER = "JobApproval", "job_scheduler"
_FEW_TRIES = 10
"""After which a server gives a job up, unless its scheduler says more: in some 40 minutes."""
_VARIABLE = "${CONFIG_DIR}"


def component_problems(config: ParentConfig) -> list[str]:
    """Return what is wrong with a kit's components that are not NVIDIA FLARE's, a line each: no parent starts so.

    Those of flcore's kind are made, as the parent makes them; of others the class is looked for.
    """
    import_from(str(config.layout.local / "custom"))  # as NVIDIA FLARE does, last
    problems = Problems()
    for component in config.components:
        if not component.is_launcher:
            problems.attempt(_check, component)
    return problems.lines


def metrics_findings(config: ParentConfig, others: Sequence[Path]) -> Iterator[Check]:
    """Say which of a kit's figures nobody could read, as somebody else has their port."""
    layout = config.layout
    if layout.starts_in_container:
        return
    for port in metrics_ports(config):
        who = who_names(port, layout, "its metrics", others)
        if who:
            yield missing("metrics", f"{port} is named by {who}, too: give each a 'port' of its own")
        elif is_listened_on(port) and not is_running(layout.root):
            yield missing("metrics", f"somebody listens on {port} already: give the MetricsExporter another 'port'")
        else:
            yield well("metrics", f"http://127.0.0.1:{port}/metrics")


def waiting_findings(config: ParentConfig) -> Iterator[Check]:
    """Say whether jobs wait for their approval in the server's queue, or what keeps them from it, if a kit wants it."""
    paths = {component.path for component in config.components}
    for component in config.components:
        if component.path == _EARLY:
            yield _early_finding(config, component)
        waits = component.path.endswith(f".{_APPROVAL}") and component.args.get("wait")
        if waits and config.layout.role == SERVER:
            yield warned(component.id, "'wait' is of clients: a server's own part of a job is refused at once")
        elif waits and _MANAGER not in paths:
            why = "the kit's resource_manager is not flcore's, so that jobs are refused at once, whatever 'wait' says"
            yield warned(component.id, f"{why}: flcore nvflare install {config.layout.root} puts it in")
        elif component.id == _SCHEDULER and _EARLY in paths:
            tries = component.args.get("max_schedule_count", _FEW_TRIES)
            if isinstance(tries, int) and tries <= _FEW_TRIES:
                why = f"jobs that wait for an approval are given up after {tries} tries"
                yield warned(_SCHEDULER, f"{why}: have 'max_schedule_count' of {component.where} say more")


def _early_finding(config: ParentConfig, component: KitComponent) -> Check:
    if config.layout.role == SERVER:
        return well(component.id, "clients get a job's app before they are asked for room, so that they can look at it")
    return warned(component.id, "is for the server's kit: here it does nothing")


def _check(component: KitComponent) -> None:
    """Raise ConfigError if a component cannot be built."""
    if component.key == "name":
        _check_name(component)
    elif component.path in _OF_NVIDIAS_KIND:
        _check_arguments(component)
    elif component.path.partition(".")[0] != _NVIDIA and _is_of_our_kind(component):
        _make(component)


def _check_name(component: KitComponent) -> None:
    """Raise ConfigError for one of flcore's short names. NVIDIA FLARE finds its own classes by theirs."""
    for registered in entry_points(group=COMPONENTS_GROUP, name=component.path):
        path = registered.value.replace(":", ".")
        raise ConfigError(f"{_where(component)}: name: NVIDIA FLARE knows no {component.path!r}; say 'path': {path!r}")


def _check_arguments(component: KitComponent) -> None:
    """Raise ConfigError for wrong arguments of what can be made only where NVIDIA FLARE is."""
    if find_spec(_NVIDIA) is None:
        return
    module, _, name = component.path.rpartition(".")
    try:
        getattr(import_module(module), name)(**component.args)
    except (TypeError, ValueError) as error:
        raise ConfigError("\n".join(f"{_where(component)}: args: {line}" for line in str(error).split("\n"))) from error


def _is_of_our_kind(component: KitComponent) -> bool:
    """Whether a class is of flcore's kind, or one that is not there."""
    module, _, name = component.path.rpartition(".")
    try:
        found: Any = getattr(import_module(module), name, None) if module else None
    except ModuleNotFoundError:
        found = None
        if find_spec(_NVIDIA) is None and component.path.partition(".")[0] not in _OURS:
            return False  # this is not the site's environment
    except Exception:  # noqa: BLE001 - which the builder tells
        found = None
    return found is None or (isclass(found) and issubclass(found, FLComponent))


def _make(component: KitComponent) -> None:
    """Make a component as the parent would. Raises ConfigError, with a line for each thing that is wrong."""
    config = {"id": component.id or "components", "path": component.path, "args": component.args}
    ComponentBuilder(str(component.file)).build_all([config])
    for key, value in component.args.items():
        if isinstance(value, str) and _VARIABLE in value:
            way_out = f"write the folder itself, as {component.file.parent.absolute()}"
            raise ConfigError(f"{_where(component)}: args.{key}: NVIDIA FLARE knows no {_VARIABLE}; {way_out}")


def _where(component: KitComponent) -> str:
    return f"{component.file}: component {component.id!r}"
