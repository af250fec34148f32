"""Links between pages lead somewhere: for who reads them in the repository, by a plain viewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.markdown import anchors, links, pages

PAGES = pages()


def test_all_kinds_of_pages_are_looked_at() -> None:
    wanted = ("README.md", "SECURITY.md", "CHANGELOG.md", "docs/index.md", "docs/api/index.md")
    assert {Path(page) for page in wanted} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_link_leads_to_a_file_of_the_repository(page: Path) -> None:
    inside = [link for link in links(page) if not link.is_elsewhere]
    assert [link.target for link in inside if not link.path.is_relative_to(ROOT) or not link.path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_anchor_is_a_heading_of_its_page(page: Path) -> None:
    to_headings = [link for link in links(page) if not link.is_elsewhere and link.anchor]
    assert [link.target for link in to_headings if link.anchor not in anchors(link.path.relative_to(ROOT))] == []


def test_each_page_is_in_an_index() -> None:
    """Which makes the navigation of the site."""
    indexes = [page for page in PAGES if page.name == "index.md"]
    listed = {link.path.relative_to(ROOT) for index in indexes for link in links(index) if not link.is_elsewhere}
    assert sorted(str(page) for page in set(PAGES) - listed - {Path("docs/index.md")}) == []
