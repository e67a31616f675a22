"""The live picture, during a real burst."""

import re
import time

from playwright.sync_api import expect

from tests.system.conftest import System

from .conftest import PATIENCE, Visitor

MACHINES_UP = re.compile(r"^[1-9]\d* of \d+")


def test_status_page_shows_burst(visitor: Visitor, grace: bytes) -> None:
    page = visitor.go("/status")
    expect(page.locator("#live")).to_have_text("live")
    sender = page.context.new_page()
    sender.goto(visitor.url)
    photos = [{"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": grace} for n in range(40)]
    sender.set_input_files("#files", photos)  # type: ignore[arg-type]

    machines = page.locator("#figures div").filter(has_text="Machines").locator("dd")
    expect(machines).to_have_text(MACHINES_UP, timeout=PATIENCE)
    scale_out = re.compile("(Launched|Started) .* waiting")
    decisions = page.locator("#decisions li").filter(has_text=scale_out)
    expect(decisions.first).to_be_visible(timeout=PATIENCE)
    expect(sender.locator(".card progress:visible")).to_have_count(0, timeout=3 * PATIENCE)
    throughput = page.locator("#figures div").filter(has_text="Throughput").locator("dd")
    expect(throughput).to_contain_text(re.compile(r"[1-9]\d*/min"))
    expect(page.get_by_role("img", name="Machines now")).to_be_visible()
    # The controller's journal comes up to ten seconds late.
    drawn = re.compile("M")
    expect(page.locator(".area.ready")).to_have_attribute("d", drawn, timeout=PATIENCE)
    assert page.locator(".line.p95").get_attribute("d")
    visitor.accessible()


def test_status_page_reconnects(visitor: Visitor, system: System) -> None:
    context = visitor.page.context
    pages = [visitor.page, *(context.new_page() for _ in range(9))]
    for page in pages:
        page.goto(f"{visitor.url}/status")
    for page in pages:
        expect(page.locator("#live")).to_have_text("live", timeout=PATIENCE)
        expect(page.locator("#figures dd").first).not_to_be_empty()
    began = time.monotonic()
    assert context.request.get(f"{visitor.url}/healthz").ok
    assert time.monotonic() - began < 5, "ten pages leave connections and threads for others"

    system.kill("-m webapp")
    leader = pages[0]
    expect(leader.locator("#live")).to_contain_text("connection lost", timeout=PATIENCE)
    expect(leader.locator("#live")).to_have_text("live", timeout=PATIENCE)
    visitor.errors.clear()  # Chromium says that the connection was lost
