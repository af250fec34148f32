"""What was asked for is kept to be looked at, within bounds, and decides nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore.approvals.app_files import AppFile, files_of
from flcore.approvals.fingerprint import digest_of_app, fingerprint_of
from flcore.approvals.kept_requests import LARGEST_FILE, MOST_BYTES, KeptRequest, KeptRequests

ASKS: dict[str, Any] = {"study": "cardio", "image": {"name": "job:1", "id": "sha256:1"}}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app/custom").mkdir(parents=True)
    (tmp_path / "app/custom/client.py").write_text("print(1)\n")
    return tmp_path / "app"


@pytest.fixture
def kept(tmp_path: Path) -> KeptRequests:
    return KeptRequests(tmp_path / ".flcore", most=3)


def request_for(app: Path | None, number: int = 0, submitter: str = "alice") -> KeptRequest:
    files = tuple(files_of(app)) if app else ()
    digest, asks = digest_of_app(files), {**ASKS, "env": {"NUMBER": str(number)}}
    name, job_id = "hello", f"hello-{number}"
    return KeptRequest(fingerprint_of(digest, asks), digest, asks, files, name, submitter, "site-1", job_id, number, 2)


def test_it_is_there_as_it_was_asked_for(kept: KeptRequests, app: Path) -> None:
    request = request_for(app)
    kept.keep(request, app)
    assert kept.all() == [request]
    assert kept.find(request.fingerprint) == request
    assert (request.study, request.image) == ("cardio", "sha256:1")
    assert [kept.bytes_of(request, file) for file in request.files] == [None, b"print(1)\n"]


def test_nothing_is_there_before_somebody_asks(kept: KeptRequests) -> None:
    assert (kept.all(), kept.fingerprints(), kept.find("0" * 64)) == ([], [], None)


def test_it_is_closed_to_others(kept: KeptRequests, app: Path, tmp_path: Path) -> None:
    kept.keep(request_for(app), app)
    for path in (tmp_path / ".flcore/approvals").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_what_is_asked_for_again_stays_as_it_was(kept: KeptRequests, app: Path) -> None:
    request = request_for(app)
    kept.keep(request, app)
    kept.keep(replace(request, time=99.0), app)
    assert kept.all() == [request]


def test_a_request_without_an_app_is_kept(kept: KeptRequests) -> None:
    kept.keep(request_for(None), None)
    assert [request.files for request in kept.all()] == [()]


def test_of_large_files_only_what_they_are_is_kept(kept: KeptRequests, app: Path) -> None:
    (app / "model.bin").write_bytes(bytes(LARGEST_FILE + 1))
    request = request_for(app)
    kept.keep(request, app)
    sizes = {file.path: file.size for file in request.files}
    assert sizes["model.bin"] == LARGEST_FILE + 1
    assert [kept.bytes_of(request, file) for file in request.files if file.path == "model.bin"] == [None]


def test_of_many_files_no_more_is_kept_than_there_is_room_for(kept: KeptRequests, app: Path, tmp_path: Path) -> None:
    for number in range(12):
        (app / str(number)).write_bytes(bytes([number]) * LARGEST_FILE)
    kept.keep(request_for(app), app)
    assert sum(path.stat().st_size for path in (tmp_path / ".flcore/approvals").rglob("*/*")) <= MOST_BYTES + 10_000


def test_bytes_that_are_not_those_that_were_hashed_are_not_kept(kept: KeptRequests, app: Path) -> None:
    request = request_for(app)
    (app / "custom/client.py").write_text("print(2)\n")
    kept.keep(request, app)
    assert [kept.bytes_of(request, file) for file in request.files] == [None, None]


def test_who_has_asked_for_most_loses_the_oldest(kept: KeptRequests, app: Path) -> None:
    requests = [request_for(app, 0, "bob"), *(request_for(app, number, "mallory") for number in (1, 2, 3, 4))]
    for request in requests:
        kept.keep(request, app)
    assert [request.job_id for request in kept.all()] == ["hello-0", "hello-3", "hello-4"]


def test_what_a_killed_process_has_left_goes(kept: KeptRequests, app: Path, tmp_path: Path) -> None:
    left = tmp_path / ".flcore/approvals/.new-1234"
    left.mkdir(parents=True)
    (left / "request.json").write_text("{")
    assert kept.all() == []
    kept.keep(request_for(app), app)
    assert not left.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', '{"files": [[1]]}'])
def test_what_cannot_be_read_is_not_there(kept: KeptRequests, app: Path, tmp_path: Path, text: str) -> None:
    request = request_for(app)
    kept.keep(request, app)
    (tmp_path / ".flcore/approvals" / request.fingerprint / "request.json").write_text(text)
    assert kept.find(request.fingerprint) is None


def test_what_cannot_be_read_is_the_first_to_make_room(kept: KeptRequests, app: Path, tmp_path: Path) -> None:
    kept.keep(request_for(app, 1), app)
    torn = tmp_path / ".flcore/approvals" / request_for(app, 1).fingerprint
    (torn / "request.json").write_text("{")
    kept.keep(request_for(app, 2), app)
    assert kept.fingerprints() == [request_for(app, 2).fingerprint]


def test_what_says_more_than_anybody_would_read_is_not_kept(kept: KeptRequests, app: Path, tmp_path: Path) -> None:
    files = tuple(AppFile("\udc80" * 1000 + str(number), "folder") for number in range(3000))
    request = replace(request_for(app), files=files)
    with pytest.raises(OSError, match="what it says has more than 16 MiB"):
        kept.keep(request, app)
    assert list((tmp_path / ".flcore/approvals").glob("*")) == [tmp_path / ".flcore/approvals/lock"]
