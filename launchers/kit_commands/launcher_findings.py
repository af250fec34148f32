"""Whether a kit's parent launches jobs by this package: by this package alone, and as parents do. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches

from flcore.job_launcher_spec import Check

from ..flare.kit_layout import SERVER
from ..flare.parent_config import OURS, KitComponent, ParentConfig
from .verdicts import missing, well

CLASSES = {"client": "ClientDockerJobLauncher", "server": "ServerDockerJobLauncher"}

_FOR_PARENTS = "*__p_resources.json"


def launcher_findings(config: ParentConfig) -> Iterator[Check]:
    """Say what of a kit's launchers is as it should be, and what is not."""
    install = f"flcore nvflare install {config.layout.root}"
    others = [launcher for launcher in config.launchers if launcher not in config.own_launchers]
    if not config.own_launchers:
        by = f"by {', '.join(map(_told, others))}" if others else "by nobody"
        yield missing("launcher", f"jobs are launched {by}, not by flcore: {install} --image IMAGE --network NETWORK")
        yield from (missing(other.id, _wrong_class(other)) for other in others if other.is_ours)
    else:
        yield from (missing(other.id, f"{_still_there(other)}: {install} takes it out") for other in others)
    yield from _own_findings(config, install)
    yield from _component_findings(config)


def _own_findings(config: ParentConfig, install: str) -> Iterator[Check]:
    own = config.own_launchers
    if len(own) > 1:
        told = ", ".join(f"{launcher.id} in {launcher.where}" for launcher in own)
        yield missing("launcher", f"flcore's is there {len(own)} times: {told}; take out all but one")
    for launcher in own:
        if wrong := _wrong_side(launcher, config.layout.role):
            yield missing(launcher.id, wrong)
        elif not launcher.file.match(_FOR_PARENTS):
            why = f"is in {launcher.where}, which jobs read, too, whose images have no flcore"
            yield missing(launcher.id, f"{why}: {install} puts it where only parents look")
        elif len(own) == 1:
            yield well("launcher", f"{launcher.path.rpartition('.')[2]}, in {launcher.where}")


def _component_findings(config: ParentConfig) -> Iterator[Check]:
    """Say with which components NVIDIA FLARE does not start."""
    times = Counter(component.id for component in config.components)
    for component_id in [component_id for component_id, count in times.items() if count > 1 or not component_id]:
        files = _files(component for component in config.components if component.id == component_id)
        told = f"stands {times[component_id]} times" if component_id else "one has no id"
        yield missing(
            component_id or "components",
            f"{told} in {files}: NVIDIA FLARE does not start so; give each a name of its own",
        )


def _files(components: Iterator[KitComponent]) -> str:
    return ", ".join(dict.fromkeys(component.where for component in components))


def _told(launcher: KitComponent) -> str:
    return f"{launcher.path.rpartition('.')[2]} ({launcher.id}, in {launcher.where})"


def _still_there(launcher: KitComponent) -> str:
    name = launcher.path.rpartition(".")[2]
    if launcher.is_ours:
        return _wrong_class(launcher)
    if name in CLASSES.values():
        return f"{launcher.path} is still in {launcher.where}: of two classes of one name only the first hears anything"
    return f"{name} is still in {launcher.where}: where two would launch a job NVIDIA FLARE takes the first, or none"


def _wrong_class(launcher: KitComponent) -> str:
    return f"{launcher.path} (in {launcher.where}) is for flcore's own sites; in a kit it is one of {OURS}"


def _wrong_side(launcher: KitComponent, role: str) -> str:
    """Return what is wrong with a launcher's class; empty if nothing is."""
    name, right = launcher.path.rpartition(".")[2], CLASSES[role]
    if name == right:
        return ""
    if name in CLASSES.values():
        other = "a client" if role == SERVER else "a server"
        return f"{name} (in {launcher.where}) is for {other}, and this is a {role}'s kit: {right}"
    hint = get_close_matches(name, CLASSES.values(), n=1)
    did_you_mean = f"; did you mean {hint[0]!r}?" if hint else f"; here it is {right!r}"
    return f"{OURS} has no {name!r} (in {launcher.where}){did_you_mean}"
