"""HOCON as untrusted input is read: as bounded as JSON is, and with no way to what else the site has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..extras import how_to_install
from .strict_json import MAX_JSON_DEPTH, parse_json, read_text

MAX_HOCON_BYTES = 16 << 10
"""The parser takes some two seconds for the worst of this length (measured); a job's metadata have a tenth of it."""
_INCLUDE = re.compile(r"INCLUDE\s*(\"|(URL|FILE|PACKAGE|CLASSPATH|REQUIRED)\s*\()")
"""In capitals, as the parser compares: else a dotless i would get by."""
_PLAIN = (str, bool, int, float)


def load_hocon(path: Path) -> Any:
    """Return the value of an untrusted HOCON file, made of what JSON has.

    Raises ConfigError, naming the file, if it includes another, substitutes anything (the parser would look among the
    site's environment variables), is longer than 16 KiB or no HOCON, has what
    :func:`~flcore.config.strict_json.load_json` refuses, or the package that reads it is not installed.
    """
    text = read_text(path, trusted=False, most=MAX_HOCON_BYTES)
    try:
        value = _plain(_parsed(text), "")
        return parse_json(json.dumps(value), str(path))
    except RecursionError as error:
        raise ConfigError(f"{path}: nested deeper than {MAX_JSON_DEPTH} levels") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parsed(text: str) -> Any:
    """Raise ValueError for what may not be, or is no HOCON."""
    upper = text.upper()
    if include := _INCLUDE.search(upper):  # the parser would follow it while it parses, and has no option not to
        line = upper.count("\n", 0, include.start()) + 1
        raise ValueError(f"line {line}: another file or address is included, which a job may not")
    try:
        from pyhocon import ConfigFactory  # an extra
        from pyhocon.config_parser import NO_SUBSTITUTION
        from pyparsing import ParseBaseException
    except ImportError as error:
        raise ValueError(f"to read HOCON pyhocon is needed: {how_to_install('hocon')}") from error
    try:
        return ConfigFactory.parse_string(text, resolve=False, unresolved_value=NO_SUBSTITUTION)
    except ParseBaseException as error:
        raise ValueError(f"line {error.lineno}, column {error.column}: is no HOCON") from error
    except RecursionError:
        raise
    except Exception as error:  # whatever it makes of nonsense
        raise ValueError(f"is no HOCON: {error!r}"[:200]) from error


def _plain(value: Any, where: str) -> Any:
    """Return a value of the parser's own types as one of JSON's. Raises ValueError."""
    from pyhocon.config_tree import ConfigValues, NoneValue

    if isinstance(value, dict):
        names = {key: key.strip('"') for key in value}  # a key that holds a dot keeps its quotes
        return {name: _plain(value[key], f"{where}.{name}".lstrip(".")) for key, name in names.items()}
    if isinstance(value, list):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, NoneValue) or value is None:
        return None
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, ConfigValues):
        why = "holds a substitution (${…} or +=), which a job may not; write the value itself"
    else:
        why = f"{where}: must be a text, a number, true, false, null, a list or an object, got {type(value).__name__}"
    raise ValueError(why)
