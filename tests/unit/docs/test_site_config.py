"""The page of a site's config has every key, and no other."""

from __future__ import annotations

import ast
import inspect
import re

from flcore.site_config import KEYS
from launchers.docker_launcher import DockerJobLauncher
from launchers.launch_plan import LaunchPlanner
from tests.environments import ROOT

PAGE = (ROOT / "docs/site-config.md").read_text()
NO_KEYS = {"self", "args", "kwargs"}


def keys_in_first_cells(section: str) -> set[str]:
    """Return what stands as code in the first cells of the tables of a section, those below it too."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def arguments_of_kits() -> set[str]:
    """Return those of the launchers for kits: they are read, since making one needs NVIDIA FLARE."""
    tree = ast.parse((ROOT / "launchers/flare/kit_launcher.py").read_text())
    (launcher,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "KitLauncher")
    (made,) = (node for node in launcher.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return {each.arg for each in (*made.args.args, *made.args.kwonlyargs)}


def test_it_has_every_argument_of_the_launchers() -> None:
    wanted = arguments_of_kits()
    for kind in (LaunchPlanner, DockerJobLauncher):
        wanted |= set(inspect.signature(kind.__init__).parameters)
    assert keys_in_first_cells("The launcher's arguments") == wanted - NO_KEYS


def test_it_has_every_key_of_a_site() -> None:
    assert keys_in_first_cells("The file") == KEYS.keys() - {"format_version"}  # which nobody reads
