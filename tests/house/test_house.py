"""The house keeps itself: what is too long to be read in a sitting, and who enters by a door that is not theirs."""

from __future__ import annotations

import ast
import gc
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("flcore", "launchers")
MAX_FILE, MAX_CLASS, MAX_FUNCTION = 400, 300, 49
MAX_MEDIAN, MAX_P90 = 6, 15
LONG_FUNCTIONS = {"LaunchPlanner.__init__", "DockerJobLauncher.__init__"}
"""Each parameter of these is a key that a site's config may have: their list is one list."""
PYTHONS_OWN = {"_asdict", "_exit", "_fields", "_make", "_replace"}
"""Public, for all that their names begin with an underscore."""
PATH_OF_PRIVATE = re.compile(rf"({'|'.join(PRODUCT)})(\.\w+)*\._[A-Za-z]\w*(\.\w+)*")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Class:
    """A class: where it is, what it defines, and the full names of its bases."""

    module: str
    name: str
    node: ast.ClassDef
    bases: tuple[str, ...]

    @property
    def methods(self) -> dict[str, int]:
        """Name the methods, each with its line."""
        return {node.name: node.lineno for node in self.node.body if isinstance(node, Function)}


@dataclass
class Module:
    """A file of ours, parsed."""

    path: str
    nodes: list[ast.AST]
    lines: int
    imported: dict[str, str] = field(default_factory=dict)
    """The full name of what each name of the file stands for, where that is of another module."""

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        return self.path.rpartition("/")[0].replace("/", ".")

    def imports(self) -> Iterator[tuple[str, ast.alias, int]]:
        """Yield the full name of each module from which something is imported, what, and the line."""
        for node in self.nodes:
            if isinstance(node, ast.ImportFrom):
                above = self.package.split(".")[: -node.level + 1 or None] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                yield from ((source, alias, node.lineno) for alias in node.names)

    def classes(self) -> Iterator[Class]:
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                yield Class(self.name, node.name, node, tuple(self.full_name(base) for base in node.bases))

    def full_name(self, expression: ast.expr) -> str:
        first, _, rest = ast.unparse(expression).partition("[")[0].partition(".")
        known = self.imported.get(first, f"{self.name}.{first}")
        return f"{known}.{rest}" if rest else known

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Yield each function and method, with the name of its class if it is a method."""
        method_of = {id(node): c.name for c in self.classes() for node in c.node.body}
        for node in self.nodes:
            if isinstance(node, Function):
                of = method_of.get(id(node))
                yield f"{of}.{node.name}" if of else node.name, node


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Parse the files of some folders; look for no garbage meanwhile, which takes longer; all of it stays."""
    gc.disable()
    try:
        return tuple(read(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    finally:
        gc.enable()


@cache
def read(path: Path) -> Module:
    text = path.read_text()
    module = Module(str(path.relative_to(ROOT)), list(ast.walk(ast.parse(text))), text.count("\n"))
    for source, alias, _ in module.imports():
        module.imported[alias.asname or alias.name] = f"{source}.{alias.name}"
    for node in module.nodes:
        if isinstance(node, ast.Import):
            module.imported.update({a.asname or a.name.partition(".")[0]: a.name for a in node.names if a.asname})
    return module


def all_modules() -> tuple[Module, ...]:
    return modules(*PRODUCT, "tests", "configs")


@cache
def all_classes() -> dict[str, Class]:
    """Return the classes by full name; that of one that a package passes on is its name there, too."""
    classes = {f"{module.name}.{found.name}": found for module in all_modules() for found in module.classes()}
    passed_on = {f"{module.name}.{name}": full for module in all_modules() for name, full in module.imported.items()}
    return {**classes, **{name: classes[full] for name, full in passed_on.items() if full in classes}}


def ancestors(of: Class) -> Iterator[Class]:
    for base in of.bases:
        if found := all_classes().get(base):
            yield found
            yield from ancestors(found)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in {"_", *PYTHONS_OWN}


def length(node: Function | ast.ClassDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def check_none(places: Iterable[str]) -> None:
    """Fail with all of them, one a line."""
    found = sorted(set(places))
    assert not found, "\n".join(["", *found])


def test_no_file_is_too_long() -> None:
    check_none(f"{m.path}: {m.lines} lines" for m in modules(*PRODUCT) if m.lines > MAX_FILE)


def test_no_class_is_too_long() -> None:
    check_none(
        f"{m.path}:{c.node.lineno}: {c.name} has {length(c.node)} lines"
        for m in modules(*PRODUCT)
        for c in m.classes()
        if length(c.node) > MAX_CLASS
    )


def test_no_function_is_too_long() -> None:
    long = {
        name: f"{m.path}:{node.lineno}: {name} has {length(node)} lines"
        for m in modules(*PRODUCT)
        for name, node in m.functions()
        if length(node) > MAX_FUNCTION
    }
    check_none(where for name, where in long.items() if name not in LONG_FUNCTIONS)
    check_none(f"{name} needs no exception any more" for name in LONG_FUNCTIONS - long.keys())


def test_most_functions_are_short() -> None:
    lengths = sorted(length(node) for m in modules(*PRODUCT) for _, node in m.functions())
    assert statistics.median(lengths) <= MAX_MEDIAN
    assert lengths[int(len(lengths) * 0.9)] <= MAX_P90


def test_nobody_imports_a_private_name() -> None:
    check_none(
        f"{m.path}:{line}: {alias.name} is of {source}"
        for m in all_modules()
        for source, alias, line in m.imports()
        if is_private(alias.name)
    )


def test_nobody_names_a_private_thing_in_a_text() -> None:
    """As a test does that would replace it."""
    check_none(
        f"{m.path}:{node.lineno}: {node.value}"
        for m in all_modules()
        for node in m.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PATH_OF_PRIVATE.fullmatch(node.value)
    )


def test_nobody_overrides_a_private_method_of_another_module() -> None:
    check_none(
        f"{c.module.replace('.', '/')}.py:{line}: {c.name}.{name} is of {base.module}.{base.name}"
        for c in all_classes().values()
        for name, line in c.methods.items()
        for base in ancestors(c)
        if is_private(name) and name in base.methods and base.module != c.module
    )


def test_nobody_reaches_for_what_is_private_to_another_module() -> None:
    """Where a name is private, the module that uses it also defines it."""
    check_none(f"{m.path}:{line}: {name}" for m in all_modules() for name, line in reached_for(m))


def test_nobody_tells_of_what_a_disk_refuses_by_a_number() -> None:
    """An error of the system as a text says ``[Errno 13]``; ``in_words`` says what, where, and whose it is."""
    check_none(f"{m.path}:{line}: {what}" for m in modules(*PRODUCT) for what, line in told_bare(m))


def told_bare(module: Module) -> Iterator[tuple[str, int]]:
    """Yield where the error of a handler of OSErrors is made a text, or logged, as it is."""
    for handler in module.nodes:
        if isinstance(handler, ast.ExceptHandler) and handler.type and "OSError" in ast.unparse(handler.type):
            for node in ast.walk(handler):
                texts = [node.value] if isinstance(node, ast.FormattedValue) else []
                if isinstance(node, ast.Call) and re.fullmatch(r"str|repr|logger\.\w+", ast.unparse(node.func)):
                    texts = node.args
                if any(isinstance(text, ast.Name) and text.id == handler.name for text in texts):
                    yield ast.unparse(node), handler.lineno


def test_nobody_says_by_himself_how_an_extra_is_got() -> None:
    """Not all have flcore from an index, and not all have a pip: ``flcore.extras`` knows."""
    check_none(
        f"{m.path}:{node.lineno}: {node.value}"
        for m in modules(*PRODUCT)
        for node in m.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "pip install" in node.value
    )


def reached_for(module: Module) -> Iterator[tuple[str, int]]:
    own = set(defined(module))
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield ast.unparse(node), node.lineno


def defined(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id
