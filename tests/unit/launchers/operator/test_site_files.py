"""What a site has on disk: only files are read, whatever lies in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launchers.operator.site_files import SiteFiles


@pytest.mark.parametrize("name", ["site-id", "journal.jsonl"])
def test_a_pipe_in_place_of_a_file_is_an_error_that_nobody_waits_for(name: str, tmp_path: Path) -> None:
    (tmp_path / ".flcore").mkdir()
    os.mkfifo(tmp_path / ".flcore" / name)
    site = SiteFiles(tmp_path)
    with pytest.raises(OSError, match="it is no file"):
        site.site_id() if name == "site-id" else site.history()


def test_a_pipe_among_the_records_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".flcore" / "jobs").mkdir(parents=True)
    os.mkfifo(tmp_path / ".flcore" / "jobs" / "x.jsonl")
    assert SiteFiles(tmp_path).records() == []
