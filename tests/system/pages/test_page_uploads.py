"""Uploads of the page: how many at once, large photos made smaller, what is sent again."""

import io
from typing import Any

from PIL import Image
from playwright.sync_api import Page, Route, expect

from .conftest import PATIENCE, Visitor

COUNT_UPLOADS = """
  window.most = 0;
  let running = 0;
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (...given) {
    // Before the page's own handlers, which may send the next one.
    for (const end of ["load", "error", "abort"])
      this.addEventListener(end, () => { running -= 1; });
    return open.apply(this, given);
  };
  XMLHttpRequest.prototype.send = function (...given) {
    window.most = Math.max(window.most, ++running);
    return send.apply(this, given);
  };
"""


def sideways() -> bytes:
    """A photo of 5000 x 2500 pixels, which its EXIF turns upright: 2500 x 5000."""
    made = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees
    noise = Image.effect_noise((5000, 2500), 60).convert("RGB")
    noise.save(made, "JPEG", quality=80, exif=exif)
    return made.getvalue()


def answer(page: Page, visitor: Visitor, name: str, data: bytes) -> Any:
    with page.expect_response(
        lambda one: one.request.method == "POST" and one.status == 200, timeout=PATIENCE
    ) as found:
        visitor.drop((name, data))
    return found.value.json()


def test_large_photos_are_made_smaller_where_the_visitor_wants_it(visitor: Visitor) -> None:
    page = visitor.go("/")
    photo = sideways()
    box = page.get_by_label("Make large photos smaller")
    expect(box).not_to_be_checked()
    whole = answer(page, visitor, "whole.jpg", photo)
    assert (whole["width"], whole["height"]) == (2500, 5000)

    box.check()
    visitor.accessible()
    page.reload()
    expect(box).to_be_checked()
    smaller = answer(page, visitor, "smaller.jpg", photo)
    assert (smaller["width"], smaller["height"]) == (2000, 4000)


def test_at_most_two_uploads_at_once_with_an_idempotency_key_each(
    visitor: Visitor, grace: bytes
) -> None:
    """A connection that breaks: what is sent again has the key it had."""
    keys: list[str] = []

    def cut(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            return route.abort("connectionreset")
        return route.continue_()

    visitor.page.add_init_script(COUNT_UPLOADS)
    page = visitor.go("/")
    page.get_by_label("Make large photos smaller").check()
    page.route("**/", cut)
    names = [f"{n}.jpg" for n in range(4)]
    visitor.drop(*((name, grace) for name in names))
    seen = page.locator(".card:is([data-state=named], [data-state=unknown])")
    expect(seen).to_have_count(4, timeout=PATIENCE)
    assert page.evaluate("window.most") == 2
    assert len(keys) == 5
    assert len(set(keys)) == 4
    visitor.errors.clear()  # Chromium says that the connection was lost
