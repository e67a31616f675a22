"""A browser and a whole system behind it, both started once."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import urllib3
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from local.samples import portraits
from tests.system.conftest import System

CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()), None
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE = 60_000
"""Milliseconds; an answer takes a second on an idle machine, a boot three."""
VIDEOS = {".webm": "video/webm", ".mp4": "video/mp4"}
REFUSED = "Failed to load resource: the server responded with a status of 4"
"""What Chromium itself writes to the console at every refusal."""


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("pages")
    started = System(
        folder,
        FACEREC_MODELS_DIR=str(Path("models").resolve()),
        FACEREC_MAX_UPLOAD_BYTES=str(20 * 1024 * 1024),  # browser drivers send no more than 50 MB
    )
    try:
        started.wait_ready()
        yield started
    finally:
        if started.process.poll() is None:
            os.killpg(started.process.pid, signal.SIGTERM)
        started.process.wait(20)
        for pid in started.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium")
        pytest.skip("no chromium on this machine")
    with sync_playwright() as driver:
        # A container's root may make no sandbox; the pages are our own.
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        flags.append("--use-fake-ui-for-media-stream")
        started = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@dataclass
class Visitor:
    """Somebody with a browser, and what went wrong there."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(REFUSED):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:")):
            self.elsewhere.append(request.url)

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Chooses photos or videos on the first page."""
        chosen = [
            {"name": name, "mimeType": VIDEOS.get(Path(name).suffix, "image/jpeg"), "buffer": data}
            for name, data in files
        ]
        self.page.set_input_files("#files", chosen)  # type: ignore[arg-type]

    def verdict(self, name: str) -> str:
        """What the card of a photo says in the end."""
        card = self.page.locator(
            ".card", has=self.page.get_by_role("heading", name=name, exact=True)
        )
        card.locator("progress").wait_for(state="hidden")
        return card.locator(".verdict").inner_text()

    def accessible(self) -> None:
        """Fails with every finding of axe-core; what fades in has no contrast yet."""
        self.page.emulate_media(reduced_motion="reduce")  # cards may still come
        found = Axe().run(self.page).response["violations"]
        assert not found, [(one["id"], [n["html"] for n in one["nodes"]]) for one in found]


@pytest.fixture
def visitor(request: pytest.FixtureRequest, browser: Browser, system: System) -> Iterator[Visitor]:
    """Fails the test at an error of a script, and at a request to anybody else."""
    wish = getattr(request, "param", {})
    context = browser.new_context(**{"viewport": DESKTOP, **wish})
    visiting = Visitor(context.new_page(), f"http://127.0.0.1:{system.port}")
    yield visiting
    context.close()
    assert visiting.errors == []
    assert visiting.elsewhere == []


@pytest.fixture
def nobody(system: System) -> None:
    """An empty gallery."""
    people = f"http://127.0.0.1:{system.port}/people"
    for person in urllib3.request("GET", people, headers={"Accept": "application/json"}).json()[
        "people"
    ]:
        urllib3.request("DELETE", f"{people}/{person['name']}", timeout=60)


@pytest.fixture(scope="session")
def grace() -> bytes:
    return portraits.portraits()[0].path.read_bytes()


@pytest.fixture(scope="session")
def eileen() -> bytes:
    return portraits.portraits()[1].path.read_bytes()
