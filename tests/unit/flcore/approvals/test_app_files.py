"""What an app is made of, and what may not be in one that is to be approved."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from flcore.approvals.app_files import MOST_BYTES, SIGNATURES, AppFile, files_of
from flcore.errors import JobRejectedError

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_it_is_told_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom/client.py").touch()
    (tmp_path / "run.sh").touch(0o755)
    assert files_of(tmp_path) == [
        AppFile("custom", "folder"),
        AppFile("custom/client.py", "file", 0, EMPTY),
        AppFile("run.sh", "program", 0, EMPTY),
    ]


@pytest.mark.parametrize("target", ["client.py", "/etc/passwd", "nowhere"])
def test_a_link_is_refused_by_name(tmp_path: Path, target: str) -> None:
    (tmp_path / "client.py").touch()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(JobRejectedError, match="its app cannot be approved: 'link' is a link; put a file in its place"):
        files_of(tmp_path)


def test_a_pipe_is_refused_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JobRejectedError, match="'pipe' is no file"):
        files_of(tmp_path)


def test_an_app_that_is_a_link_itself_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "app").symlink_to("/etc")
    with pytest.raises(OSError, match="Not a directory"):
        files_of(tmp_path / "app")


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(JobRejectedError, match=r"more than 1024 MiB.*'model.bin' has 1048576 MiB"):
        files_of(tmp_path)


def test_many_files_that_are_huge_together_are_refused(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(1 << 20))
    with pytest.raises(JobRejectedError, match="more than 2 MiB"):
        files_of(tmp_path, most_bytes=2 << 20)
    assert len(files_of(tmp_path, most_bytes=MOST_BYTES)) == 3


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).touch()
    with pytest.raises(JobRejectedError, match="more than 3 files and folders"):
        files_of(tmp_path, most_files=3)


def test_too_deep_an_app_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath(*["d"] * 70).mkdir(parents=True)
    with pytest.raises(JobRejectedError, match="more than 64 folders within each other"):
        files_of(tmp_path)


@pytest.mark.parametrize("listed", [None, ["path"], ["path", "file", "3", ""], {"path": 1}])
def test_what_is_listed_otherwise_is_no_file(listed: object) -> None:
    with pytest.raises(ValueError, match="is no file of an app"):
        AppFile.of(listed)


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).touch()
    assert [file.path for file in files_of(tmp_path)] == ["\udcff.py"]


RANDOM = random.Random(4711)


def signed(names: Iterable[str], size: int = 256) -> bytes:
    """Return what NVIDIA FLARE's console writes into a folder in which these are: others each time."""
    return json.dumps({name: base64.b64encode(RANDOM.randbytes(size)).decode() for name in names}).encode()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom/client.py").write_text("pass")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_signatures_of_what_is_there_are_no_part_of_an_app(app: Path) -> None:
    unsigned = files_of(app)
    for _ in range(2):
        (app / SIGNATURES).write_bytes(signed(["config.json", "custom"]))
        (app / "custom" / SIGNATURES).write_bytes(signed(["client.py"], 1024))
        assert files_of(app) == unsigned


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"{} ",
        b'{"custom":""}',
        b'{"custom": "AA==", "custom": "AA=="}',
        b'{"custom": "AB=="}',
        b'{"custom": "import os"}',
        b'{"custom": "\xc3\xa4"}',
        b'{"custom": 1}',
        b'["custom"]',
        signed(["custom", "nowhere"]),
        signed(["client.py"]),
        signed(["custom"], 1025),
        signed(["custom", "config.json"]) + b"\n",
        b'"' + bytes(1 << 20),
    ],
    ids=lambda said: ascii(said[:24]),
)
def test_what_says_more_than_signatures_counts_to_its_last_byte(app: Path, said: bytes) -> None:
    (app / SIGNATURES).write_bytes(said)
    assert AppFile(SIGNATURES, "file", len(said), hashlib.sha256(said).hexdigest()) in files_of(app)


def test_signatures_that_may_be_run_count(app: Path) -> None:
    (app / SIGNATURES).write_bytes(signed(["custom"]))
    (app / SIGNATURES).chmod(0o755)
    assert SIGNATURES in [file.path for file in files_of(app)]
