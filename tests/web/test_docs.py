"""The site of the pages, in a browser: `make docs` builds it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.docs_site import SITE, build
from tests.markdown import pages
from tests.web.conftest import DESKTOP, PHONE, Reader, violations

HTML = [*(str(page.with_suffix(".html")) for page in pages()), "search.html"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the site, as anybody would serve it."""
    assert build() == 0, "see above"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
@pytest.mark.parametrize("page", HTML)
def test_each_page_is_good(
    page: str, size: tuple[int, int], scheme: str, site: str, look: Callable[..., Reader]
) -> None:
    reader = look(f"{site}/{page}", size, color_scheme=scheme)
    assert [one for one in reader.complaints if not one.startswith(site)] == []
    assert reader.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it is too wide"
    assert violations(reader.page) == []


def test_who_opens_the_folder_gets_to_the_index(site: str, look: Callable[..., Reader]) -> None:
    page = look(f"{site}/").page
    page.wait_for_url("**/docs/index.html")
    expect(page.get_by_role("heading", level=1)).to_contain_text("flcore")


def test_what_is_searched_for_is_found(site: str, look: Callable[..., Reader]) -> None:
    page = look(f"{site}/search.html?q=gpu_lease_dir").page
    page.get_by_role("link", name="A site\u2019s config").last.click()
    page.wait_for_url("**/docs/site-config.html*")
