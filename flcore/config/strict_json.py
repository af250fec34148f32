"""JSON as untrusted input is read: bounded, without duplicate keys, infinities or text that is no text."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any, NoReturn

from ..disk.safe_files import open_file
from ..errors import ConfigError

MAX_BYTES = 1 << 20
MAX_JSON_DEPTH = 32
_NO_JSON = (
    (("//", "/*", "#"), "a comment; JSON has none"),
    ("'", "a single quote; JSON has double quotes only"),
    ("True", "True is no JSON; write true"),
    ("False", "False is no JSON; write false"),
    ("None", "None is no JSON; write null"),
)
"""What people write who think of another language."""
_MAX_BITS, _MOST_DIGITS = 14_000, 4_300
"""Of a whole number: what Python writes, and reads."""


def load_json(path: Path, *, trusted: bool = True) -> Any:
    """Return the value of a JSON file; one that is not ``trusted`` must be a file itself, and no link to one.

    Raises ConfigError, naming the file (and line and column where the syntax is wrong), if it is missing, longer
    than 1 MiB, nested deeper than 32, no UTF-8, no JSON, or holds a duplicate key, NaN, an infinity, a NUL or a lone
    surrogate.
    """
    return parse_json(read_text(path, trusted=trusted), str(path))


def parse_json(text: str, source: str) -> Any:
    """Return the value of a JSON text; ``source`` names it in errors, which are those of :func:`load_json`."""
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_not_huge
        )
        check_values(value)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}: {_what_and_where(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested deeper than {MAX_JSON_DEPTH} levels") from error
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    return value


def check_values(value: Any, depth: int = 0) -> None:
    """Raise ValueError if a value made of dicts and lists is too deep (or cyclic), or holds text that is no text."""
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str):
        check_text(value)
    elif type(value) is int and value.bit_length() > _MAX_BITS:
        raise ValueError("a number is too large")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_values(key, depth)
            check_values(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_values(item, depth + 1)


def check_text(text: str) -> None:
    """Raise ValueError for what no file, label or process can be given: a NUL, or half a character."""
    if "\0" in text:
        raise ValueError(f"the text {text[:40]!r} holds a NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the text {text[:40]!r} holds half a character (a lone surrogate)") from None


def shown(value: Any) -> str:
    """Return how an untrusted value stands in an error: by its ``repr``, cut to 200 characters."""
    try:
        return repr(value)[:200]
    except (ValueError, RecursionError):  # a number of more digits, or a list of more levels, than Python writes
        return f"a huge {type(value).__name__}"


def _what_and_where(error: json.JSONDecodeError) -> str:
    """Return what is wrong with the syntax, and where; of a comma behind the last item, its own place."""
    text, comma = error.doc, error.doc.rfind(",", 0, error.pos + 1)
    closing = text[comma + 1 :].lstrip()[:1]
    if comma >= 0 and not text[comma + 1 : error.pos].strip() and closing in ("]", "}"):
        line, column = text.count("\n", 0, comma) + 1, comma - text.rfind("\n", 0, comma)
        return f"line {line}, column {column}: a comma before the closing '{closing}'; JSON has none behind the last"
    said = next((words for begins, words in _NO_JSON if text.startswith(begins, error.pos)), error.msg)
    return f"line {error.lineno}, column {error.colno}: {said}"


def read_text(path: Path, *, trusted: bool, most: int = MAX_BYTES) -> str:
    """Return the text of a file of at most so many bytes. Raises ConfigError, naming the file."""
    try:
        with open_file(path, follow=trusted) as file:
            data = file.read(most + 1)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ConfigError(f"{path}: is no file") from error
        why = "it is a link" if error.errno == errno.ELOOP and not trusted else error.strerror
        raise ConfigError(f"{path}: cannot be read: {why}") from error
    if len(data) > most:
        raise ConfigError(f"{path}: longer than {most} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is no UTF-8") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key[:40]!r} stands twice in one object")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _not_huge(text: str) -> int:
    if len(text.lstrip("-")) > _MOST_DIGITS:  # Python's own words for it are about Python
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
