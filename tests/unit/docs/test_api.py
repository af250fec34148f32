"""The reference has every public name: what an ``__all__`` names. `make docs` says what lacks a docstring.

Modules are read, not imported: some need what is not installed here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cache

from tests.environments import ROOT

PRODUCT = ("flcore", "launchers")
INNER = ("launchers.policy.site_args",)
"""What these name is passed on within their room."""
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: ([\w.]+)\n((?:   :.*\n)*)", re.MULTILINE)


@cache
def body(module: str) -> list[ast.stmt]:
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.stmt)]


def public_names(module: str) -> list[str]:
    """Return what the ``__all__`` of a module names; nothing without one."""
    for node in body(module):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def home(name: str) -> str:
    """Return the full name of a thing where it is defined, not only passed on."""
    module, _, own = name.rpartition(".")
    for node in body(module):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if own == (alias.asname or alias.name):
                    return home(f"{source(node, module)}.{alias.name}")
    return name


def source(node: ast.ImportFrom, module: str) -> str:
    """Return the full name of the module from which one imports."""
    if not node.level:
        return str(node.module)
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    above = module.split(".")[: len(module.split(".")) - node.level + is_package]
    return ".".join([*above, *([node.module] if node.module else [])])


def modules() -> Iterator[str]:
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name not in INNER:
                yield name


def documented() -> list[str]:
    """Return the full names of what the reference shows."""
    shown = []
    for page in sorted((ROOT / "docs/api").glob("*.md")):
        for kind, name, options in DIRECTIVE.findall(page.read_text()):
            if kind != "module":
                shown.append(home(name))
            elif ":no-members:" not in options:
                shown += [f"{name}.{own}" for own in public_names(name)]
    return shown


def test_each_public_name_is_in_the_reference() -> None:
    public = {home(f"{module}.{name}") for module in modules() for name in public_names(module)}
    assert len(public) > 100
    assert sorted(public - set(documented())) == []


def test_what_is_in_the_reference_is_public_and_there_once() -> None:
    public = {home(f"{module}.{name}") for module in modules() for name in public_names(module)}
    shown = documented()
    assert sorted(set(shown) - public) == []
    assert [name for name in set(shown) if shown.count(name) > 1] == []


def test_what_a_config_may_call_by_a_short_name_is_in_the_reference() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    entries = setup["options.entry_points"]["flcore.components"].split("\n")
    named = {home(entry.partition(" = ")[2].replace(":", ".")) for entry in entries if entry}
    assert len(named) >= 7
    assert sorted(named - set(documented())) == []


def test_each_argument_of_a_public_class_is_described() -> None:
    """But for an error's message."""
    unsaid = [f"{name}: {argument}" for name in documented() for argument in undescribed(name)]
    assert [each for each in unsaid if not each.endswith(": message")] == []


def undescribed(name: str) -> Iterator[str]:
    """Yield the arguments of a class's own constructor of which neither its docstring nor the class's speaks."""
    module, _, own = name.rpartition(".")
    for node in body(module):
        if isinstance(node, ast.ClassDef) and node.name == own:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    said = f"{ast.get_docstring(node)} {ast.get_docstring(method)}"
                    arguments = [each.arg for each in (*method.args.args[1:], *method.args.kwonlyargs)]
                    yield from (each for each in arguments if not re.search(rf"\b{each}\b", said))
