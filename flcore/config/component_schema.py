"""Component configs as a JSON Schema: the classes that are known, each with its arguments, and what all others are.

Known are those that installed packages register, all that lies beside these in their modules, and those that are given.
A config is refused here only if :class:`~flcore.config.component_config.ComponentBuilder` refuses it, too.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, TypeGuard

from ..fl_component import FLComponent
from .arguments import ANYTHING, Argument, arguments_of, summary_of
from .component_config import CLASS_KEYS, COMPONENT, registered_components
from .rules import Schema

_IN_ARGUMENT, _CLASS, _ANYTHING = "component-in-argument", "component-of-class", "anything"
_IS_COMPONENT, _IS_DISABLED = "is-component", "is-disabled"
_PATH = r"^[^\s./\\:0-9-][^\s./\\:-]*(\.[^\s./\\:0-9-][^\s./\\:-]*)+$"
"""A class by its module; of the letters of all languages, as Python takes them."""
_DISABLED: Schema = {"properties": {"disabled": {"const": True}}, "required": ["disabled"]}
_TELLS_THAT_IT_IS: Schema = {
    "type": "object",
    "anyOf": [
        {"required": ["path"]},
        {"required": ["class_path"]},
        {"properties": {"config_type": {"const": "component"}}, "required": ["config_type"]},
    ],
    "not": {"properties": {"config_type": {"const": "dict"}}, "required": ["config_type"]},
}
_ID: Schema = {"type": "string", "minLength": 1, "description": "The component's name in its site, and in logs."}
_SWITCH: Schema = {"type": "boolean", "default": False, "description": "Leaves the component out."}


class ComponentSchema:
    """The definitions of the components that a config may name.

    Args:
        named: further classes, by the paths by which a config names them.
    """

    def __init__(self, named: Mapping[str, type[Any]] | None = None) -> None:
        entries = registered_components()
        self._names = {entry.name: entry.value.replace(":", ".") for entry in entries}
        self._in_modules = dict(_known_modules(entry.module for entry in entries))
        self._paths: dict[str, type[Any]] = dict(named or {})
        for module, classes in self._in_modules.items():
            self._paths |= {f"{module}.{name}": cls for name, cls in classes.items() if cls is not FLComponent}
        self._examples = sorted({*(named or {}), *self._names.values()})
        self._classes = sorted({*self._paths.values()}, key=_full_name)

    def definitions(self) -> dict[str, Schema]:
        """Return all definitions, by name: a schema has them as its ``$defs``."""
        return {
            COMPONENT: self._component(),
            _IN_ARGUMENT: {"if": _ref(_IS_DISABLED), "else": _ref(_CLASS)},
            _CLASS: self._class(),
            _IS_DISABLED: _DISABLED,
            _IS_COMPONENT: _TELLS_THAT_IT_IS,
            _ANYTHING: {
                "if": _ref(_IS_COMPONENT),
                "then": _ref(_IN_ARGUMENT),
                "else": {"items": _ref(_ANYTHING), "additionalProperties": _ref(_ANYTHING)},
            },
            **{_full_name(_made_by(cls)): _arguments(cls) for cls in self._classes},
        }

    def _component(self) -> Schema:
        """Return what a component of a site is: one that is left out may be anything."""
        by_path = {"properties": {key: {"allOf": list(self._known_in_modules())} for key in ("path", "class_path")}}
        return {
            "type": "object",
            "required": ["id"],
            "properties": {"id": _ID, "disabled": _SWITCH},
            "if": _ref(_IS_DISABLED),
            "else": {"allOf": [_ref(_CLASS), by_path]},  # beside a $ref some editors see nothing else
        }

    def _class(self) -> Schema:
        path: Schema = {"type": "string", "pattern": _PATH, "examples": self._examples}
        args = {"type": "object", "additionalProperties": _ref(_ANYTHING)}
        return {
            "type": "object",
            "properties": {
                "id": ANYTHING,
                "path": {**path, "description": "The class, by its module: my_package.my_module.MyClass."},
                "class_path": {**path, "description": "Another word for path."},
                "name": {"enum": sorted(self._names), "description": "A class that an installed package registers."},
                "args": {**args, "description": "What the class is made with."},
                "disabled": _SWITCH,
                "config_type": {"const": "component"},
            },
            "additionalProperties": False,
            "oneOf": [{"required": [key]} for key in CLASS_KEYS],
            "allOf": [self._of_class(cls) for cls in self._classes],
        }

    def _of_class(self, cls: type[Any]) -> Schema:
        """Return what is so where a config names a class, in whatever way."""
        paths = [path for path, found in self._paths.items() if found is cls]
        names = [name for name, path in self._names.items() if self._paths.get(path) is cls]
        ways = [("path", paths), ("class_path", paths), *([("name", names)] if names else [])]
        told = {"description": summary} if (summary := summary_of(cls)) else {}
        needed = {"required": ["args"]} if any(a.is_needed for a in arguments_of(cls).named.values()) else {}
        return {
            "if": {"anyOf": [{"properties": {key: {"enum": words}}, "required": [key]} for key, words in ways]},
            "then": {"properties": {"args": {**told, **_ref(_full_name(_made_by(cls)))}}, **needed},
        }

    def _known_in_modules(self) -> Iterator[Schema]:
        """Yield for each known module that what is named of it is a component there."""
        for module, classes in self._in_modules.items():
            paths = [f"{module}.{name}" for name in classes]
            yield {"if": {"pattern": rf"^{re.escape(module)}\.[^.]+$"}, "then": {"enum": paths}}


def _arguments(cls: type[Any]) -> Schema:
    arguments = arguments_of(cls)
    needed = [name for name, argument in arguments.named.items() if argument.is_needed]
    return {
        "type": "object",
        "properties": {name: _argument(argument) for name, argument in arguments.named.items()},
        **({"required": needed} if needed else {}),
        **({} if arguments.takes_others else {"additionalProperties": False}),
    }


def _argument(argument: Argument) -> Schema:
    """Return what an argument may be: a component config in its place is made to something that nobody knows yet."""
    may_be = argument.may_be
    return argument.schema({"if": _ref(_IS_COMPONENT), "else": may_be} if may_be else may_be)


def _made_by(cls: type[Any]) -> type[Any]:
    """Return of a class, and those that it inherits from, the one whose arguments it takes."""
    return next((base for base in cls.__mro__ if "__init__" in base.__dict__), cls)


def _ref(definition: str) -> Schema:
    return {"$ref": f"#/$defs/{definition}"}


def _full_name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _known_modules(names: Iterable[str]) -> Iterator[tuple[str, Mapping[str, type[FLComponent]]]]:
    """Yield modules, and the packages above them, each with the components that it has, by their names.

    One that cannot be imported, or makes up names when somebody asks, is left out: of that nothing is known.
    """
    packages = {".".join(name.split(".")[:count]) for name in names for count in range(1, name.count(".") + 2)}
    for name in sorted(packages):
        try:
            module = import_module(name)
            found = {word: getattr(module, word, None) for word in dir(module)}
        except Exception:  # noqa: BLE001, S112 - whatever another package's raises; who names a class of it is told
            continue
        if not hasattr(module, "__getattr__") or hasattr(module, "__dir__"):
            yield name, {word: value for word, value in found.items() if _is_component(value)}


def _is_component(value: Any) -> TypeGuard[type[FLComponent]]:
    return inspect.isclass(value) and issubclass(value, FLComponent) and not inspect.isabstract(value)
