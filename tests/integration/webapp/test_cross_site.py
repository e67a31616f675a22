"""Pages of other sites, in a real browser, against an open service on this machine.

Browsers send no ``Sec-Fetch-*`` to plain HTTP that is not loopback, and call another port of the
same host *same-site*: what holds in all of these cases is ``Origin`` and ``Host``.
"""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from .conftest import Web

CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None
)
FORM = """<form method=post enctype=multipart/form-data action=ADDRESS>
<input name=name value=Mallory><input type=submit id=go></form>"""


class ForeignPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = FORM.replace("ADDRESS", self.path.partition("?")[2]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def foreign() -> Iterator[int]:
    """Port of a server with a page that sends a form to the address in its query."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ForeignPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1"]
        flags.append(
            "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"
        )
        started = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        pytest.param("localhost", "localhost", id="same site, another port"),
        pytest.param("evil.test", "faces.test", id="plain http, another site"),
        pytest.param("evil.test", "127.0.0.1", id="loopback"),
    ],
)
def test_foreign_form_is_refused(
    start_web: Callable[..., Web], foreign: int, page: Page, from_: str, to: str
) -> None:
    web = start_web(FACEREC_ACCESS="open", FACEREC_PUBLIC_HOSTS="faces.test")
    page.goto(f"http://{from_}:{foreign}/?http://{to}:{web.port}/people")
    with page.expect_navigation() as navigation:
        page.click("#go")
    assert navigation.value is not None
    assert navigation.value.status == 403
    assert "cross-site" in page.content()


def test_rebound_name_reads_nothing(start_web: Callable[..., Web], page: Page) -> None:
    web = start_web()
    answer = page.goto(f"http://rebind.test:{web.port}/people")
    assert answer is not None
    assert answer.status == 421
    own = page.goto(f"http://localhost:{web.port}/people")
    assert own is not None
    assert own.status == 200
