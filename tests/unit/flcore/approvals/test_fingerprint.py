"""A fingerprint: of the same app and request the same, of any other another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flcore.approvals.app_files import files_of
from flcore.approvals.fingerprint import digest_of_app, fingerprint_of

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)
APPS = st.dictionaries(
    st.tuples(NAMES, NAMES), st.tuples(st.binary(max_size=40), st.booleans()), min_size=1, max_size=5
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
ASKS = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, min_size=1, max_size=6)
App = dict[tuple[str, str], tuple[bytes, bool]]


@contextmanager
def on_disk(app: App) -> Iterator[Path]:
    """Have an app: by folder and file, the bytes, and whether it may be run."""
    root = Path(tempfile.mkdtemp())
    try:
        for (folder, name), (content, may_run) in app.items():
            (root / folder).mkdir(exist_ok=True)
            (root / folder / name).write_bytes(content)
            (root / folder / name).chmod(0o700 if may_run else 0o600)
        yield root
    finally:
        shutil.rmtree(root)


def digest(app: App) -> str:
    with on_disk(app) as root:
        return digest_of_app(files_of(root))


@given(APPS)
def test_the_same_app_twice_has_the_same(app: App) -> None:
    assert digest(app) == digest(dict(reversed(app.items())))


@given(APPS, st.data())
def test_any_changed_byte_is_another_app(app: App, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(sorted(app)))
    content, may_run = app[where]
    at = data.draw(st.integers(0, len(content)))
    changed = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + data.draw(st.integers(0, 1)) :]
    assert (digest(app | {where: (changed, may_run)}) == digest(app)) is (changed == content)


@given(APPS, st.data())
def test_any_right_to_be_run_is_of_another_app(app: App, data: st.DataObject) -> None:
    where = data.draw(st.sampled_from(sorted(app)))
    content, may_run = app[where]
    assert digest(app | {where: (content, not may_run)}) != digest(app)


@given(APPS, NAMES, st.data())
def test_any_other_path_is_of_another_app(app: App, name: str, data: st.DataObject) -> None:
    folder, old = data.draw(st.sampled_from(sorted(app)))
    renamed = {(folder, name) if where == (folder, old) else where: file for where, file in app.items()}
    assert (digest(renamed) == digest(app)) is (renamed == app)


@given(APPS, NAMES)
def test_an_empty_folder_more_is_another_app(app: App, name: str) -> None:
    with on_disk(app) as root:
        before = digest_of_app(files_of(root))
        is_new = not (root / name).exists()
        (root / name).mkdir(exist_ok=True)
        assert (digest_of_app(files_of(root)) != before) is is_new


@given(ASKS, st.data())
def test_any_changed_field_of_a_request_changes_it(asks: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(asks)))
    leaf = data.draw(LEAVES.filter(lambda leaf: repr(leaf) != repr(asks[key])))
    before = fingerprint_of("app", asks)
    assert fingerprint_of("app", asks | {key: leaf}) != before
    assert fingerprint_of("app", {name: value for name, value in asks.items() if name != key}) != before
    assert fingerprint_of("app", dict(reversed(asks.items()))) == before
    assert fingerprint_of("another app", asks) != before


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes"])
def test_what_is_no_json_value_has_none(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint_of("app", {"asks": value})


def test_when_a_file_was_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text("print(1)")
    before = digest_of_app(files_of(tmp_path))
    os.utime(tmp_path / "client.py", (1, 1))
    assert digest_of_app(files_of(tmp_path)) == before
