"""JSON to components.

A component's config is ``{"id", "path" | "class_path" | "name", "args", "disabled", "config_type"}``: ``path`` (or
``class_path``) names a class by its module, ``name`` one that an installed package registered as an entry point of
the group ``flcore.components``. An argument that has a ``path`` or ``class_path`` is a component config itself and
is built, in lists and objects too, unless its ``config_type`` is ``dict``. ``${CONFIG_DIR}`` in an argument stands
for the folder of the config file.

All that is wrong is said at once, in a line each that names the file, the component's id and the key. Building never
changes the config.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..fl_component import FLComponent
from .problems import Problems, did_you_mean
from .strict_json import check_values, shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

COMPONENTS_GROUP = "flcore.components"
COMPONENT = "component"
"""What a JSON Schema calls the definition of a site's component."""

CLASS_KEYS = ("path", "class_path", "name")
_KEYS = frozenset({"id", *CLASS_KEYS, "args", "disabled", "config_type"})
DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


class ComponentBuilder:
    """Builds the components of one config; ``source`` names it in errors, ``variables`` are put into arguments."""

    def __init__(self, source: str, variables: Mapping[str, str] | None = None) -> None:
        self._source = source
        self._variables = variables or {}

    def build_all(self, configs: Any, *kinds: type[FLComponent]) -> dict[str, FLComponent]:
        """Return the components by id, in their order, without the disabled ones; those of some kinds only, if given.

        Of the others nothing but the class is looked at. All ids are checked before anything is built. Raises
        ConfigError, with a line for each thing that is wrong.
        """
        if not isinstance(configs, list):
            raise self._error("components", "must be a list", configs)
        self._check_values(configs)
        ids = [self._checked_id(config, f"components[{i}]") for i, config in enumerate(configs)]
        for index, component_id in enumerate(ids):
            if component_id in ids[:index]:
                raise self._error(f"components[{index}]", f"the id {component_id!r} stands twice")
        problems = Problems()
        components = {
            component_id: problems.attempt(self._build_component, component_id, config)
            for component_id, config in zip(ids, configs, strict=True)
            if not problems.attempt(self._is_disabled, config, f"component {component_id!r}")
            and (not kinds or problems.attempt(self._is_of, kinds, config, f"component {component_id!r}"))
        }
        problems.raise_all(ConfigError)
        return components

    def find_classes(self, configs: Any) -> tuple[dict[str, type[Any]], list[str]]:
        """Return the classes that configs name by path, those in arguments, too; and why others cannot be had.

        They are imported, and nothing is built.
        """
        problems = Problems()
        found: dict[str, type[Any]] = {}
        for where, config in _component_configs(configs):
            path = str(config.get("path", config.get("class_path", "")))
            if path and path not in found and config.get("disabled") is not True:
                cls = problems.attempt(self._find_class, config, where)
                found.update({path: cls} if cls else {})
        return found, problems.lines

    def _check_values(self, configs: list[Any]) -> None:
        try:
            check_values(configs)
        except ValueError as error:
            raise self._error("components", str(error)) from error

    def _checked_id(self, config: Any, where: str) -> str:
        if not isinstance(config, Mapping):
            raise self._error(where, "must be an object", config)
        if "id" not in config:
            raise self._error(where, "needs an 'id'")
        component_id = config["id"]
        if not isinstance(component_id, str) or not component_id:
            raise self._error(f"{where}: id", "must be a non-empty string", component_id)
        return component_id

    def _is_disabled(self, config: Mapping[str, Any], where: str) -> bool:
        disabled = config.get("disabled", False)
        if type(disabled) is not bool:
            raise self._error(f"{where}: disabled", "must be true or false", disabled)
        return disabled

    def _is_of(self, kinds: tuple[type[FLComponent], ...], config: Mapping[str, Any], where: str) -> bool:
        return issubclass(self._find_class(config, where), kinds)

    def _build_component(self, component_id: str, config: Mapping[str, Any]) -> FLComponent:
        where = f"component {component_id!r}"
        component = self._build(config, where)
        if not isinstance(component, FLComponent):
            raise self._error(where, f"{type(component).__qualname__} is no FLComponent, so it would get no events")
        component.name = component_id
        return component

    def _build(self, config: Mapping[str, Any], where: str) -> Any:
        check_keys(config, _KEYS, f"{self._source}: {where}")
        config_type = config.get("config_type", "component")
        if config_type != "component":
            rule = "must be 'component' (or 'dict', for an argument that is not to be built)"
            raise self._error(f"{where}: config_type", rule, config_type)
        args = config.get("args", {})
        if not isinstance(args, Mapping):
            raise self._error(f"{where}: args", "must be an object", args)
        cls = self._find_class(config, where)
        arguments = {key: self._value(value, f"{where}: args.{key}") for key, value in args.items()}
        self._check_arguments(cls, arguments, where)
        return self._make(cls, arguments, where)

    def _make(self, cls: type[Any], arguments: Mapping[str, Any], where: str) -> Any:
        """Return an object of a class. Raises ConfigError, with a line for each thing that is wrong."""
        try:
            return cls(**arguments)
        except ConfigError as error:
            raise ConfigError("\n".join(f"{self._source}: {where}: {line}" for line in _lines(error))) from error
        except (TypeError, ValueError) as error:
            raise ConfigError("\n".join(self._wrong_arguments(error, cls, arguments, where))) from error
        except Exception as error:
            raise self._error(where, f"{cls.__qualname__} cannot be built: {_describe(error)}") from error

    def _wrong_arguments(
        self, error: Exception, cls: type[Any], arguments: Mapping[str, Any], where: str
    ) -> Iterable[str]:
        """Return what is wrong with the arguments for which a class raised an error, a line each."""
        problems = Problems()
        unknown = _unexpected(error, arguments)
        problems.attempt(check_keys, unknown, _parameters(cls), f"{self._source}: {where}: args")
        if not problems.lines:
            return [f"{self._source}: {where}: args: {cls.__qualname__}: {line}" for line in _lines(error)]
        others = {key: value for key, value in arguments.items() if key not in unknown}
        problems.attempt(self._make, cls, others, where)  # what else is wrong?
        return problems.lines

    def _value(self, value: Any, where: str) -> Any:
        """Return an argument: a copy, with variables put in and component configs built."""
        if isinstance(value, str):
            return expand(value, self._variables)
        if isinstance(value, list):
            return [self._value(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        if _is_component_config(value):
            return None if self._is_disabled(value, where) else self._build(value, where)
        return {key: self._value(item, f"{where}.{key}") for key, item in value.items()}

    def _find_class(self, config: Mapping[str, Any], where: str) -> type[Any]:
        given = [key for key in CLASS_KEYS if key in config]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise self._error(where, f"needs exactly one of {', '.join(CLASS_KEYS)}; it has {found}")
        key, value = given[0], config[given[0]]
        where = f"{where}: {key}"
        if not isinstance(value, str):
            raise self._error(where, "must be a string", value)
        found = self._registered(value, where) if key == "name" else self._import(value, where)
        if not inspect.isclass(found):
            raise self._error(where, f"{value} is {_with_article(type(found).__name__)}, not a class")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            raise self._error(where, f"{value} is abstract: a subclass must define {missing}")
        return found

    def _registered(self, name: str, where: str) -> Any:
        registered = registered_components()
        if name not in registered.names:
            raise self._error(where, f"no installed package registers {name!r}{did_you_mean(name, registered.names)}")
        return self._import(registered[name].value.replace(":", "."), where)

    def _import(self, path: str, where: str) -> Any:
        if not DOTTED_PATH.fullmatch(path):
            raise self._error(where, "must be a class by its module, such as 'my_package.my_module.MyClass'", path)
        module_name, _, class_name = path.rpartition(".")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            why = f"{error}; install its package, or put its folder on PYTHONPATH"
            raise self._error(where, f"cannot import {module_name}: {why}") from error
        except Exception as error:
            raise self._error(where, f"cannot import {module_name}: {_describe(error)}") from error
        if not hasattr(module, class_name):
            if hasattr(module, "__path__") and importlib.util.find_spec(path):
                raise self._error(where, f"{path} is a module, not a class")
            hint = did_you_mean(class_name, dir(module))
            raise self._error(where, f"the module {module_name} has no {class_name}{hint}")
        return getattr(module, class_name)

    def _check_arguments(self, cls: type[Any], arguments: Mapping[str, Any], where: str) -> None:
        try:
            signature = inspect.signature(cls)
        except ValueError:  # a class that is written in C may have none
            return
        known = signature.parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        if not takes_any:
            check_keys(arguments, known, f"{self._source}: {where}: args")
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise self._error(f"{where}: args", f"{cls.__qualname__}: {error}") from error

    def _error(self, where: str, why: str, *value: Any) -> ConfigError:
        got = f", got {shown(value[0])}" if value else ""
        return ConfigError(f"{self._source}: {where}: {why}{got}")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the values of variables in place of their names, as in ``${NAME}``."""
    for name, value in variables.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def check_keys(config: Iterable[Any], known: Any, where: str) -> None:
    """Raise ConfigError for keys that are not known, each with the known one that looks like it, or all of them."""
    problems = Problems()
    for key in config:
        if key not in known:
            hint = did_you_mean(key, known) or f"; known are {', '.join(sorted(known)) or 'none'}"
            problems.lines.append(f"{where}: unknown key {key!r}{hint}")
    problems.raise_all(ConfigError)


def _component_configs(components: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each component config of a site's list, and of their arguments, however deep, with where it stands."""
    for index, config in enumerate(components if isinstance(components, list) else ()):
        if isinstance(config, Mapping):
            yield from _with_those_in_arguments(config, f"components[{index}]")


def _with_those_in_arguments(config: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield where, config
    args = config.get("args")
    for key, value in (args if isinstance(args, Mapping) else {}).items():
        yield from _in_argument(value, f"{where}: args.{key}")


def _in_argument(value: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_argument(item, f"{where}[{index}]")
    elif isinstance(value, Mapping) and _is_component_config(value):
        yield from _with_those_in_arguments(value, where)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_argument(item, f"{where}.{key}")


@cache
def registered_components() -> EntryPoints:
    """Return what installed packages register by short names; all their metadata are read for that, so once."""
    from importlib.metadata import entry_points  # here: it takes a quarter of the time of importing flcore

    return entry_points(group=COMPONENTS_GROUP)


def _is_component_config(value: Mapping[str, Any]) -> bool:
    if value.get("config_type") == "dict":
        return False
    return value.get("config_type") == "component" or "path" in value or "class_path" in value


def _unexpected(error: Exception, arguments: Mapping[str, Any]) -> list[str]:
    """Return the argument that a class passed on by its ``**kwargs`` to one that does not take it, if that is it."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    return [found[1]] if found and found[1] in arguments else []


def _parameters(cls: type[Any]) -> set[str]:
    """Return the names of all arguments that a class, or one that it inherits from, takes."""
    makers = [vars(base).get("__init__") for base in cls.__mro__]
    signatures = [inspect.signature(maker) for maker in makers if inspect.isfunction(maker)]
    named = [p for s in signatures for p in s.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return {parameter.name for parameter in named} - {"self"}


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {_unfolded(error)}"


def _lines(error: Exception) -> list[str]:
    """Return what an error says; a ValueError may say several things, a line each."""
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


def _unfolded(error: Exception) -> str:
    return " ".join(str(error).split())
