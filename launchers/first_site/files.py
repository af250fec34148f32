"""The files that ``flcore init`` writes: what is in them, and that nothing is overwritten that is there already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flcore.disk.os_errors import in_words
from flcore.errors import ConfigError
from flcore.site_schema import as_text, classes_of, site_schema

SITE, JOB, TEST, SCHEMA = "site-1.json", "hello", "test_audit_log.py", "site.schema.json"
DATA = "measurements.csv"
_AUDIT = "audit_log.py"
_APP = f"{JOB}/app/custom/client.py"

WHAT = {
    SITE: "the site: who launches its jobs, where, and who hears of them",
    SCHEMA: "by which editors complete and check it",
    DATA: "the site's data, which its jobs can read",
    f"{JOB}/meta.json": "a job: for which sites it is",
    _APP: "what it does there",
    _AUDIT: "a component of the site: hears of all that happens",
    TEST: "its test",
}
"""Each file, and what it is."""


def contents(launcher: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be in each file, by its path; ``launcher``: the component config of the site's launcher."""
    site = {
        "$schema": f"./{SCHEMA}",
        "site": "site-1",
        "workspace": "workspace",
        "components": [
            {"id": "journal", "name": "JobJournal"},
            {"id": "launcher", **launcher},
            {"id": "audit", "path": "audit_log.AuditLog", "args": {"path": "${CONFIG_DIR}/audit.log"}},
        ],
    }
    found = {
        SITE: _json(site),
        DATA: _template(DATA),
        f"{JOB}/meta.json": _json({"name": JOB, "deploy_map": {"app": ["site-1"]}}),
        _APP: _template("client.py.txt"),
        _AUDIT: _template("audit_log.py.txt"),
        TEST: _template("test_audit_log.py.txt"),
    }
    found[SCHEMA] = _schema_of(found)
    return {path: found[path] for path in WHAT}


def missing(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Return which files are not there. Raises ConfigError for those that are, and are others, a line each."""
    if _is_there(folder) and not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder; name one, be it there or not")
    paths = {name: folder / name for name in wanted}
    others = [name for name, path in paths.items() if _is_there(path) and not _holds(path, wanted[name])]
    if others:
        told = "is there, and not as flcore init would write it; it stays, and nothing was written"
        raise ConfigError("\n".join([*(f"{paths[name]}: {told}" for name in others), _way_out(folder)]))
    return [name for name, path in paths.items() if not _is_there(path)]


def write(folder: Path, wanted: Mapping[str, str]) -> None:
    """Write files that are not there: all of them, or none. Raises ConfigError."""
    made: list[Path] = []
    try:
        for name, text in wanted.items():
            path = folder / name
            for place in (*reversed(path.parents), path):
                if place == path or not place.is_dir():
                    _make(place, None if place != path else text, made)
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise ConfigError(f"nothing was written: {in_words(error)}") from error
        raise


def _make(place: Path, text: str | None, made: list[Path]) -> None:
    """Make a folder, or with a text a file, where nothing is, and note that it was made."""
    if text is None:
        place.mkdir()
        made.append(place)
        return
    with place.open("x", encoding="utf-8") as file:
        made.append(place)
        file.write(text)


def _way_out(folder: Path) -> str:
    return f"name another folder, as in: flcore init {folder / 'first-site'}; or move these away"


def _schema_of(wanted: Mapping[str, str]) -> str:
    """Return the schema of a site's config and of the class that lies beside it, which is imported for that."""
    with TemporaryDirectory(prefix="flcore-init-") as folder:
        for name in (SITE, _AUDIT):
            Path(folder, name).write_text(wanted[name], encoding="utf-8")
        named, _ = classes_of([Path(folder, SITE)])
    return as_text(site_schema(named))


def _is_there(path: Path) -> bool:
    """Whether something has that name, be it a link that leads nowhere."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(in_words(error)) from error
    return True


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:  # a folder, or what nobody here may read
        return False


def _template(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
