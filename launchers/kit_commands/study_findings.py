"""What a kit's own files say of studies: whether that comes to its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from flcore.config.strict_json import read_text
from flcore.disk.presence import is_file
from flcore.errors import ConfigError
from flcore.fl_constant import JobConstants
from flcore.job_launcher_spec import Check

from ..flare.kit_layout import KitLayout
from ..flare.study_file import STUDY_FILE
from ..policy.job_policy import SitePolicy
from .verdicts import warned, well

_WHAT = "study"
_OLD_FILE = "local/study_data.yaml"


def kit_studies_findings(layout: KitLayout, policy: SitePolicy) -> Iterator[Check]:
    """Say of which studies the kit's file tells, which a launcher has taken in; what is wrong with it, is an error."""
    if is_file(layout.root / STUDY_FILE) and find_spec("yaml") is None:
        yield warned(_WHAT, f"{STUDY_FILE} is not looked into: that takes PyYAML, which NVIDIA FLARE brings")
    told = [study.name or JobConstants.DEFAULT_STUDY for study in policy.all_studies() if study.said_in]
    if told:
        yield well(_WHAT, f"{STUDY_FILE} says what jobs see of {', '.join(told)}; those of other studies are refused")


def study_findings(layout: KitLayout) -> Iterator[Check]:
    """Say that an older file of studies is for NVIDIA FLARE's own launchers."""
    path = layout.root / _OLD_FILE
    if is_file(path) and _says_something(layout):
        told = f"{_OLD_FILE} is for NVIDIA FLARE's own launchers: its data come to no job"
        yield warned(_WHAT, f"{told}; say them in {STUDY_FILE}, or by the launcher's 'studies'")


def _says_something(layout: KitLayout) -> bool:
    try:
        lines = [line.strip() for line in read_text(layout.root / _OLD_FILE, trusted=True).splitlines()]
    except ConfigError:
        return True
    return any(line and not line.startswith("#") and line != "{}" for line in lines)
