"""The site of the pages, in a browser: `make docs` builds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs_site import SITE, build
from tests.markdown import pages
from tests.web.conftest import DESKTOP, PHONE, Reader

HTML = [page.with_suffix(".html") for page in pages()]


@pytest.fixture(scope="module")
def site() -> Path:
    assert build() == 0, "see above"
    return SITE


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("page", HTML, ids=str)
def test_each_page_is_good(page: Path, size: tuple[int, int], site: Path, look: Callable[..., Reader]) -> None:
    reader = look((site / page).as_uri(), size)
    reader.complaints = [one for one in reader.complaints if not one.startswith(site.as_uri())]
    reader.check()


def test_who_opens_the_folder_gets_to_the_index(site: Path, look: Callable[..., Reader]) -> None:
    reader = look((site / "index.html").as_uri())
    reader.page.wait_for_url("**/docs/index.html")
    assert reader.page.title() == "flcore"
