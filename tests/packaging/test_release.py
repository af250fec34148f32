"""``make release``: the same bytes wherever it is built, no link that an index cannot follow, nothing by mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.release.checks import dead_links, description_of, problems
from tests.release.distributions import build, unpack
from tests.release.sources import export, files_of, version_of

URL = "https://code.invalid/flcore/blob/v1"


def clone(to: Path) -> Path:
    subprocess.run(["git", "clone", "-q", ROOT, to], check=True, umask=0o077)
    return to


def released(checkout: Path, to: Path, url: str = "") -> tuple[Path, Path]:
    return build(export(checkout, to / "sources", url), to / "dist")


@pytest.fixture(scope="module")
def to_be_released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What is built where no address is known."""
    return released(ROOT, tmp_path_factory.mktemp("release"))


def test_clones_in_different_folders_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = clone(tmp_path / "one"), clone(tmp_path / "somewhere/else")
    for path in other.rglob("*"):
        path.touch()  # long after the first was made, and its files are another user's, too
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o664)
    assert [file.read_bytes() for file in released(one, tmp_path / "1")] == [
        file.read_bytes() for file in released(other, tmp_path / "2")
    ]


@pytest.mark.parametrize("url", ["", URL])
def test_nothing_is_wrong_with_what_is_built(url: str, tmp_path: Path) -> None:
    assert list(problems(*released(ROOT, tmp_path, url), files_of(ROOT))) == []


def test_without_an_address_the_description_names_files_of_the_source_distribution(
    to_be_released: tuple[Path, Path],
) -> None:
    _, wheel = to_be_released
    assert "](docs/" not in description_of(wheel)
    assert "(`docs/site-config.md`)" in description_of(wheel)
    assert dead_links(wheel) == []


def test_with_an_address_the_description_links_there(tmp_path: Path) -> None:
    _, wheel = released(ROOT, tmp_path, URL)
    assert f"({URL}/docs/site-config.md)" in description_of(wheel)
    assert dead_links(wheel) == []


def test_the_readme_of_the_source_distribution_is_that_of_the_repository(
    to_be_released: tuple[Path, Path], tmp_path: Path
) -> None:
    unpacked = unpack(to_be_released[0], tmp_path)
    assert (unpacked / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_the_version_is_that_of_setup_cfg(to_be_released: tuple[Path, Path]) -> None:
    version = version_of(ROOT)
    assert [file.name for file in to_be_released] == [f"flcore-{version}.tar.gz", f"flcore-{version}-py3-none-any.whl"]


def test_what_is_not_committed_is_not_released(tmp_path: Path) -> None:
    checkout = clone(tmp_path / "checkout")
    (checkout / "README.md").write_text("new")
    done = subprocess.run(
        [sys.executable, "-m", "tests.release"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "release: commit what is released, or put it away:  M README.md\n"
