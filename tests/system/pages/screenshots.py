"""Takes the pictures of docs/images from a running system.

``python -m tests.system.pages.screenshots http://127.0.0.1:8000``. It sends hundreds of photos and
enrolls the sample people under their names.
"""

import io
import sys
import tempfile
import threading
from pathlib import Path

import urllib3
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from local.samples import portraits
from local.samples.videos import Coding, Shot, write

FOLDER = Path("docs/images")
CHROMIUM = "/usr/bin/chromium"
LOOKS = {
    "desktop": {"viewport": {"width": 1200, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "color_scheme": "dark",
    },
}  # fmt: skip
BURST = 400


def main(url: str) -> None:
    """All pages in both looks."""
    grace, eileen = (portrait.path.read_bytes() for portrait in portraits.portraits())
    _empty(url)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _enrol(url, "Grace Hopper", grace)
        for look in LOOKS:
            _photos(browser, url, look, grace, eileen)
        _enrol(url, "Eileen Collins", eileen)
        for look in LOOKS:
            page = _open(browser, look, f"{url}/who")
            page.locator("#people .person").last.scroll_into_view_if_needed()
            page.locator("#people .crop").nth(1).wait_for()
            _take(page, f"people-{look}")
            _take(_open(browser, look, f"{url}/privacy"), f"privacy-{look}", whole=False)
        _status(browser, url, grace)
        browser.close()


def _photos(browser: Browser, url: str, look: str, grace: bytes, eileen: bytes) -> None:
    page = _open(browser, look, url)
    files = {
        "hopper.jpg": grace,
        "both.jpg": _together(grace, eileen),
        "navy.webm": _film(),
        "collins.png": eileen,
        "notes.txt": b"not a photo",
    }
    chosen = [
        {"name": n, "mimeType": "video/webm" if ".webm" in n else "image/jpeg", "buffer": d}
        for n, d in files.items()
    ]
    page.set_input_files("#files", chosen)  # type: ignore[arg-type]
    expect(page.locator(".card progress:visible")).to_have_count(0, timeout=60_000)
    for card in page.locator(".card").all():  # what was never on the screen is not painted
        card.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
    page.evaluate("scrollTo(0, 0)")
    _take(page, f"photos-{look}")
    page.locator(".face.unknown").first.click()
    page.get_by_label("Name").fill("Eileen Collins")
    _take(page, f"enrol-{look}", whole=False)


def _status(browser: Browser, url: str, grace: bytes) -> None:
    """In the middle of a burst that comes in three waves."""
    pages = {look: _open(browser, look, f"{url}/status") for look in LOOKS}
    watched = pages["desktop"]
    for wave in range(3):
        senders = [
            threading.Thread(target=_send, args=(url, grace, f"{wave}-{n}"))
            for n in range(BURST // 6 * (wave + 1) // 2)
        ]
        for sender in senders:
            sender.start()
        watched.wait_for_timeout(25_000)
    for look, page in pages.items():
        _take(page, f"status-{look}")


def _send(url: str, photo: bytes, name: str) -> None:
    for n in range(3):
        file = (f"{name}-{n}.jpg", photo)
        urllib3.request("POST", url, fields={"inputFile": file}, timeout=120, retries=False)


def _empty(url: str) -> None:
    known = urllib3.request("GET", f"{url}/people", headers={"Accept": "application/json"}).json()
    for person in known["people"]:
        urllib3.request("DELETE", f"{url}/people/{person['name']}", timeout=60)


def _enrol(url: str, name: str, photo: bytes) -> None:
    fields = {"name": name, "inputFile": ("photo.jpg", photo)}
    answer = urllib3.request("POST", f"{url}/people", fields=fields, timeout=60)
    assert answer.status == 201, answer.data


def _film() -> bytes:
    shots = [Shot(("Grace_Hopper",), 4, "pan"), Shot((), 2), Shot(("Grace_Hopper",), 3, "turn")]
    with tempfile.TemporaryDirectory() as folder:
        film = write(Path(folder) / "navy.webm", shots, Coding(480, 360, rate=12, codec="libvpx"))
        return film.read_bytes()


def _together(*photos: bytes) -> bytes:
    opened = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos]
    scaled = [one.resize((one.width * 600 // one.height, 600)) for one in opened]
    whole = Image.new("RGB", (sum(one.width for one in scaled), 600))
    for index, one in enumerate(scaled):
        whole.paste(one, (scaled[0].width * index, 0))
    made = io.BytesIO()
    whole.save(made, "JPEG", quality=92)
    return made.getvalue()


def _open(browser: Browser, look: str, address: str) -> Page:
    page = browser.new_context(**LOOKS[look]).new_page()  # type: ignore[arg-type]
    page.goto(address)
    return page


def _take(page: Page, name: str, *, whole: bool = True) -> None:
    quality = 55 if "phone" in name else 80  # a phone has four times the pixels
    page.wait_for_timeout(600)  # whatever moves has come to rest
    page.screenshot(path=FOLDER / f"{name}.jpg", type="jpeg", quality=quality, full_page=whole)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
