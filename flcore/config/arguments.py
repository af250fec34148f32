"""What a class takes as arguments, and what each may be: by its rules, its types, its defaults, its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .rules import Schema, is_checked_by_rules, or_null, rules_of

ANYTHING: Schema = {}

_PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    list: {"type": "array"},
    dict: {"type": "object"},
}
_LISTS = (list, Sequence, Collection, Iterable)
_OBJECTS = (dict, Mapping)
_ENTRY = re.compile(r"(\w+(?:, \w+)*)(?: \([^)]*\))?:\s*(.*)")
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?([^`.]+)`")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a class."""

    may_be: Schema
    is_needed: bool = False
    default: Any = None
    description: str = ""

    def schema(self, may_be: Schema) -> Schema:
        """Return its schema, with what it may be as given, and what there is to know of it.

        Its few values are examples, too: editors offer these.
        """
        has_default = self.default is not None and _is_json(self.default)
        few = self.may_be.get("enum") or ([True, False] if self.may_be.get("type") == "boolean" else None)
        return {
            **({"description": self.description} if self.description else {}),
            **({"default": _as_json(self.default)} if has_default else {}),
            **({"examples": few} if few else {}),
            **may_be,
        }


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a class takes."""

    named: Mapping[str, Argument]
    takes_others: bool
    """Whether it may take more than these."""


def arguments_of(cls: type[Any]) -> Arguments:
    """Return what a class takes, and those that it inherits from, as far as it hands on what it does not name itself.

    What a class checks by rules is as these say. Else the types count, those that JSON has values of; and whether it
    takes itself some of what it does not name, nothing tells.
    """
    ruled = next((base for base in cls.__mro__ if is_checked_by_rules(base)), None)
    if ruled is None and any("__new__" in base.__dict__ for base in cls.__mro__[:-1]):
        return Arguments({}, takes_others=True)
    rules, told = (rules_of(ruled) if ruled else {}), descriptions_of(cls)
    named: dict[str, Argument] = {}
    takes_others = False
    for base, maker in _makers(cls):
        by_rules = bool(ruled and issubclass(ruled, base))
        for parameter, hint in _named(maker):
            found = _argument(parameter, rules.get(parameter.name) if by_rules else None, hint, takes_others)
            named.setdefault(parameter.name, replace(found, description=told.get(parameter.name, "")))
        takes_others |= _hands_on(maker) and not by_rules
    return Arguments(named, takes_others)


def type_schema(annotation: Any) -> Schema:
    """Return the JSON values of a type; what no JSON can be, or is not known, may be anything."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_schema(args[0])
    if origin is Literal:
        return {"enum": list(args)} if all(map(_is_json, args)) else ANYTHING
    if origin in (Union, UnionType):
        return _any_of([type_schema(arg) for arg in args])
    if (origin in _LISTS and args) or (origin is tuple and args[-1] is ...):
        return {"type": "array", "items": type_schema(args[0])}
    if origin in _OBJECTS and args and args[0] is str:
        return {"type": "object", "additionalProperties": type_schema(args[1])}
    return ANYTHING


def descriptions_of(cls: type[Any]) -> Mapping[str, str]:
    """Return what the docstrings of a class, and those that it inherits from, say of arguments: their "Args"."""
    docs = [doc for base in cls.__mro__ for doc in (base.__dict__.get("__doc__"), _doc_of_maker(base)) if doc]
    told: dict[str, str] = {}
    for doc in docs:
        for name, description in _entries(doc):
            told.setdefault(name, description)
    return told


def summary_of(cls: type[Any]) -> str:
    """Return the first sentence of a class's docstring; empty where it has none of its own."""
    doc = cls.__dict__.get("__doc__") or ""
    return _plain(inspect.cleandoc(doc).partition("\n\n")[0])


def _argument(parameter: inspect.Parameter, ruled: Schema | None, hint: Any, may_be_given: bool) -> Argument:
    """Return an argument, which the class that is made may give itself to one that it inherits from."""
    has_default = parameter.default is not inspect.Parameter.empty
    may_be = type_schema(hint) if ruled is None else ruled
    if ruled is None and has_default and parameter.default is None and may_be:
        may_be = or_null(may_be)  # be its type so or not
    return Argument(may_be, not has_default and not may_be_given, parameter.default if has_default else None)


def _makers(cls: type[Any]) -> Iterator[tuple[type[Any], Any]]:
    """Yield each class of which the ``__init__`` gets arguments, and that."""
    for base in cls.__mro__:
        maker = base.__dict__.get("__init__")
        if inspect.isfunction(maker):
            yield base, maker
        if maker and not _hands_on(maker):
            return


def _hands_on(maker: Any) -> bool:
    parameters = inspect.signature(maker).parameters.values() if inspect.isfunction(maker) else ()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _named(maker: Any) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Yield what an ``__init__`` takes by name, with its type."""
    try:
        hints = get_type_hints(maker, include_extras=True)
    except Exception:  # noqa: BLE001 - whatever it is, as a name that only checkers import
        hints = {}
    for parameter in list(inspect.signature(maker).parameters.values())[1:]:
        if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            yield parameter, hints.get(parameter.name, Any)


def _any_of(schemas: Sequence[Schema]) -> Schema:
    if ANYTHING in schemas:
        return ANYTHING
    types = [schema["type"] for schema in schemas if set(schema) == {"type"}]
    return {"type": types} if len(types) == len(schemas) else {"anyOf": list(schemas)}


def _doc_of_maker(cls: type[Any]) -> str:
    return getattr(cls.__dict__.get("__init__"), "__doc__", None) or ""


def _entries(doc: str) -> Iterator[tuple[str, str]]:
    """Yield each argument that a docstring tells of, with what it says."""
    lines = inspect.cleandoc(doc).splitlines()
    names: list[str] = []
    said: list[str] = []
    if "Args:" not in lines:
        return
    block = lines[lines.index("Args:") + 1 :]
    indent = next((len(line) - len(line.lstrip()) for line in block if line.strip()), 0)
    for line in [*block, "end:"]:
        depth = len(line) - len(line.lstrip())
        entry = _ENTRY.fullmatch(line.strip()) if depth <= indent else None
        if entry or (line.strip() and depth < indent):
            yield from ((name, _plain(" ".join(said))) for name in names)
            if depth < indent or not entry:
                return
            names, said = entry[1].split(", "), [entry[2]]
        else:
            said.append(line.strip())


def _plain(text: str) -> str:
    """Return what a docstring says in one line, without its markup, and in the words of who writes JSON."""
    return " ".join(re.sub(r"\bNone\b", "null", _ROLE.sub(r"\1", text)).replace("``", "`").split())


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | bool | int | float)


def _as_json(value: Any) -> Any:
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value
