"""strict_json: what is read, and how what is refused is named."""

from pathlib import Path
from typing import Any

import pytest

from flcore.config.strict_json import MAX_BYTES, MAX_JSON_DEPTH, check_values, load_json, parse_json
from flcore.errors import ConfigError


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("null", None),
        ('{"a": [1, 2.5, "x", true, null]}', {"a": [1, 2.5, "x", True, None]}),
        ('"\\u00e9\\ud83d\\ude00"', "é😀"),
        ("1e308", 1e308),
        ('{"a": {"k": 1}, "b": {"k": 1}}', {"a": {"k": 1}, "b": {"k": 1}}),
    ],
)
def test_json_is_read(text: str, value: object) -> None:
    assert parse_json(text, "x.json") == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1, column 1: Expecting value"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: Expecting ',' delimiter"),
        ('{"a": 1', "line 1, column 8: Expecting ',' delimiter"),
        ("{} {}", "line 1, column 4: Extra data"),
        ('{"a": 1,}', "line 1, column 8: a comma before the closing '}'; JSON has none behind the last"),
        ('{"a": [\n  1,\n]}', "line 2, column 4: a comma before the closing ']'; JSON has none behind the last"),
        ("[1,,]", "line 1, column 4: a comma before the closing ']'; JSON has none behind the last"),
        ('{"a": 1 // x\n}', "line 1, column 9: a comment; JSON has none"),
        ("# x\n{}", "line 1, column 1: a comment; JSON has none"),
        ("{'a': 1}", "line 1, column 2: a single quote; JSON has double quotes only"),
        ('{"a": True}', "line 1, column 7: True is no JSON; write true"),
        ("[None]", "line 1, column 2: None is no JSON; write null"),
        ('"a\nb"', "line 1, column 3: Invalid control character at"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        ('{"x": [{"a": 1, "a": 1}]}', "the key 'a' stands twice in one object"),
        (f'{{"{"k" * 99}": 1, "{"k" * 99}": 1}}', f"the key '{'k' * 40}' stands twice in one object"),
        ("NaN", "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ("1e999", "the number 1e999 is too large"),
        ("-1e999", "the number -1e999 is too large"),
        ('"a\\u0000b"', "the text 'a\\x00b' holds a NUL"),
        ('{"a\\u0000": 1}', "the text 'a\\x00' holds a NUL"),
        ('["\\ud800"]', "the text '\\ud800' holds half a character (a lone surrogate)"),
        (nested(MAX_JSON_DEPTH + 2), "nested deeper than 32 levels"),
        (nested(100_000), "nested deeper than 32 levels"),
    ],
)
def test_what_is_no_good_json_is_refused_with_its_source_and_its_reason(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_json(text, "x.json")
    assert str(raised.value) == f"x.json: {error}"


def test_a_value_may_lie_32_levels_deep() -> None:
    assert parse_json(nested(MAX_JSON_DEPTH + 1), "x.json")


def test_a_number_of_very_many_digits_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^x\.json: a number has more than 4300 digits$"):
        parse_json("1" * 10_000, "x.json")


def test_a_file_is_read_and_a_byte_order_mark_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert load_json(path) == {"a": "é"}


def test_a_file_of_a_mebibyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"1".rjust(MAX_BYTES))
    assert load_json(path) == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"1".rjust(MAX_BYTES + 1), "longer than 1048576 bytes"),
        (b'{"a": "\xff"}', "byte 7 is no UTF-8"),
        (b"{", "line 1, column 2: Expecting property name enclosed in double quotes"),
    ],
)
def test_an_error_in_a_file_names_the_file(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_json(path)
    assert str(raised.value) == f"{path}: {error}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_json(tmp_path / "x.json")
    assert str(raised.value) == f"{tmp_path}/x.json: cannot be read: No such file or directory"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_json(tmp_path)
    assert str(raised.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_what_cannot_be_read_is_not_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ConfigError):
        load_json(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_value_that_contains_itself_is_too_deep() -> None:
    value: dict[str, Any] = {}
    value["again"] = [value]
    with pytest.raises(ValueError, match="nested deeper than 32 levels"):
        check_values(value)
