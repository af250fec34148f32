"""Changes of a JSON text that leave all else in it as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.flare.json_text import with_values, without_items

TEXT = """{"other": {"components": ["}", 1]},
  "components": [
    {"id": "a"},
    {"id": "b", "args": {"x": "],"}},

    {"id": "c"}   ],
  "last": true}
"""


def without(*ids: str, text: str = TEXT) -> str:
    return without_items(text, "components", lambda item: item["id"] in ids)


def test_a_text_of_which_nothing_is_unwanted_stays_as_it_is() -> None:
    assert without("z") == TEXT


@pytest.mark.parametrize("ids", ["a", "b", "c", "ab", "bc", "ac", "abc"])
def test_unwanted_items_go_and_the_others_stay(ids: str) -> None:
    left = json.loads(without(*ids))
    assert [item["id"] for item in left.pop("components")] == [name for name in "abc" if name not in ids]
    assert left == {"other": {"components": ["}", 1]}, "last": True}


def test_what_is_left_is_written_as_it_was() -> None:
    assert without("b") == TEXT.replace(',\n    {"id": "b", "args": {"x": "],"}}', "")
    assert without("a") == TEXT.replace('{"id": "a"},\n    ', "")


@pytest.mark.parametrize("text", ["{}", '{"components": []}', '{"components": {}}', ' \n{"a" : 1}'])
def test_an_object_without_items_stays_as_it_is(text: str) -> None:
    assert without("a", text=text) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    before=st.dictionaries(st.text(), JSON, max_size=3),
    items=st.lists(JSON, max_size=5),
    unwanted=st.lists(JSON, max_size=3),
    indent=st.sampled_from([None, 1, 4]),
)
def test_it_is_right_for_any_object(before: dict[str, Any], items: list[Any], unwanted: list[Any], indent: Any) -> None:
    unwanted = [*unwanted, *items[::2]]
    config = {**before, "components": items, "behind": before}
    text = without_items(json.dumps(config, indent=indent), "components", lambda item: item in unwanted)
    assert json.loads(text) == {**config, "components": [item for item in items if item not in unwanted]}


def test_a_text_that_has_its_values_already_stays_as_it_is() -> None:
    assert with_values(TEXT, {"last": True}) == TEXT


def test_a_changed_value_is_written_with_the_indent_that_the_text_has() -> None:
    assert with_values('{\n    "a": 1\n}', {"a": 2, "b": 3}) == '{\n    "a": 2,\n    "b": 3\n}\n'
