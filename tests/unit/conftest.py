"""What unit tests share: a folder that others can reach, and how many examples hypothesis makes up for a property."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ..thoroughness import tries

settings.register_profile("flcore", max_examples=tries(100), deadline=None)
settings.load_profile("flcore")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach: pytest's own is its user's alone."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
