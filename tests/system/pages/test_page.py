"""The pages in a real browser: a newcomer, every refusal, keys only, connections that break."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from local.samples import portraits
from local.samples.videos import Coding, Shot, write
from tests.system.conftest import System

from .conftest import PATIENCE, PHONE, Visitor

Expected = dict[str, tuple[bytes, str]]


def picture(size: tuple[int, int], kind: str = "JPEG") -> bytes:
    made = io.BytesIO()
    Image.effect_noise(size, 40).convert("RGB").save(made, kind)
    return made.getvalue()


def together(*photos: bytes) -> bytes:
    """The photos side by side, each 500 pixels high."""
    opened = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos]
    scaled = [one.resize((one.width * 500 // one.height, 500)) for one in opened]
    whole = Image.new("RGB", (sum(one.width for one in scaled), 500))
    left = 0
    for one in scaled:
        whole.paste(one, (left, 0))
        left += one.width
    made = io.BytesIO()
    whole.save(made, "JPEG", quality=92)
    return made.getvalue()


@pytest.mark.usefixtures("nobody")
def test_from_an_empty_gallery_to_a_recognized_face(
    visitor: Visitor, grace: bytes, eileen: bytes
) -> None:
    page = visitor.go("/")
    visitor.accessible()
    visitor.drop(("both.jpg", together(grace, eileen)), ("grace.jpg", grace))
    assert visitor.verdict("both.jpg") == "2 unknown faces"
    assert visitor.verdict("grace.jpg") == "Unknown face"
    visitor.accessible()

    both = page.locator(".card").filter(has_text="both.jpg")
    for name in ("Grace Hopper", "Eileen Collins"):
        # The faces are told apart by where they stand: Grace on the left.
        unknown = both.locator(".face.unknown")
        faces = sorted(unknown.all(), key=lambda face: (face.bounding_box() or {"x": 0})["x"])
        faces[0].click()
        expect(page.get_by_role("dialog", name="Who is this?")).to_be_visible()
        visitor.accessible()
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Add person").click()
        expect(page.get_by_role("dialog")).to_be_hidden(timeout=PATIENCE)
        expect(page.locator("#said")).to_contain_text(f"{name} is known now")
    assert set(visitor.verdict("both.jpg").split(", ")) == {"Grace Hopper", "Eileen Collins"}

    page.get_by_role("button", name="Look again at 1 photo").click()
    assert visitor.verdict("grace.jpg") == "Grace Hopper"
    visitor.drop(("next.jpg", portraits.sample_photo("Grace_Hopper").data))
    assert visitor.verdict("next.jpg") == "Grace Hopper"
    expect(page.locator("#tally")).to_have_text("3 photos · 3 named")

    for kind in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        text = Path(download.value.path()).read_text()
        assert "next.jpg" in text
        if kind == "JSON":
            assert {one["name"] for one in json.loads(text)} == {"Grace Hopper"}


REFUSALS: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "This file is empty."),
    "text.jpg": (b"hello", "This is not a picture."),
    "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(99), "This picture is damaged."),
    "cut.jpg": (picture((900, 900))[:20_000], "This picture is damaged."),
    "noise.png": (picture((300, 300), "PNG"), "No face found"),
    "huge.jpg": (b"\xff\xd8\xff" + bytes(21 * 1024 * 1024), "This file is too large."),
}


def test_page_explains_every_rejection(visitor: Visitor) -> None:
    page = visitor.go("/")
    visitor.drop(*((name, data) for name, (data, _) in REFUSALS.items()))
    for name, (_, said) in REFUSALS.items():
        assert visitor.verdict(name) == said
    assert page.locator(".advice:visible").count() == len(REFUSALS)
    assert page.get_by_role("button", name="Try again").count() == 0, "it would change nothing"
    visitor.accessible()


def test_page_retries_after_web_process_crash(
    visitor: Visitor, system: System, grace: bytes
) -> None:
    page = visitor.go("/")
    visitor.drop(*((f"{n:02}.jpg", grace) for n in range(50)))
    page.locator(".card[data-state=looking]").first.wait_for()
    system.kill("-m webapp")
    expect(page.locator(".card progress:visible")).to_have_count(0, timeout=3 * PATIENCE)
    states = page.eval_on_selector_all(".card", "cards => cards.map((card) => card.dataset.state)")
    assert len(states) == 50
    refused = page.locator(".card[data-state=refused]").all_inner_texts()
    assert not refused
    assert len(set(states)) == 1
    visitor.errors.clear()  # Chromium says that the connection was lost


def test_page_retries_when_offline(visitor: Visitor, grace: bytes) -> None:
    page = visitor.go("/")
    page.context.set_offline(True)
    visitor.drop(("a.jpg", grace))
    expect(page.locator(".verdict")).to_have_text("No connection to the service.")
    page.context.set_offline(False)
    assert visitor.verdict("a.jpg") != "No connection to the service."
    assert page.locator(".card").get_attribute("data-state") in ("named", "unknown")
    visitor.errors.clear()


def test_page_keyboard_navigation(visitor: Visitor, grace: bytes) -> None:
    page = visitor.go("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#files")).to_be_focused()
    visitor.drop(("a.jpg", grace))
    visitor.verdict("a.jpg")
    page.locator("#clear").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".face")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#enrol-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#enrol")).to_be_hidden()
    expect(page.locator(".face")).to_be_focused()


def test_page_camera_photo(visitor: Visitor) -> None:
    page = visitor.go("/")
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the photo").click()
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".card")).to_have_count(1)
    page.locator(".card progress").wait_for(state="hidden")
    assert page.locator(".verdict").inner_text() == "No face found"


@pytest.mark.usefixtures("nobody")
def test_page_video_timeline_and_cancel(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.go("/")
    shots = [Shot(("Grace_Hopper",), 2.0), Shot(("Eileen_Collins",), 3.0)]
    film = write(tmp_path / "film.webm", shots, Coding(320, 240, rate=10, codec="libvpx"))
    visitor.drop(("film.webm", film.read_bytes()), ("broken.webm", film.read_bytes()[:300]))
    assert visitor.verdict("film.webm") == "Unknown person 1, Unknown person 2"
    assert visitor.verdict("broken.webm") in ("This video is cut short.", "This video is damaged.")
    seen = page.locator(".seen li")
    expect(seen.locator("img")).to_have_count(2)
    page.wait_for_function(
        "[...document.querySelectorAll('.seen img')].every((i) => i.naturalWidth)"
    )
    assert [text.split("\n")[0] for text in seen.all_inner_texts()] == [
        "Unknown person 1 3 s",
        "Unknown person 2 2 s",
    ]
    page.get_by_role("button", name="Unknown person 1, from 0:02 to 0:05").click()
    page.wait_for_function("document.querySelector('video').currentTime >= 2")
    visitor.accessible()

    long = write(tmp_path / "long.mp4", [Shot((), 3600.0)], Coding(320, 180, 2, "mpeg4"))
    visitor.drop(("long.mp4", long.read_bytes()))
    page.get_by_role("button", name="Cancel", exact=True).locator("visible=true").click()
    assert visitor.verdict("long.mp4") == "Cancelled."


@pytest.mark.usefixtures("nobody")
def test_page_people_add_rename_remove(visitor: Visitor, grace: bytes) -> None:
    page = visitor.go("/who")
    expect(page.locator("#tally")).to_contain_text("Nobody yet")
    page.get_by_label("Name").first.fill("Grace <b>Höpper</b>/1")
    blurred = ("noise.jpg", picture((300, 300)))
    files = [
        {"name": name, "mimeType": "image/jpeg", "buffer": data}
        for name, data in (("grace.jpg", grace), blurred)
    ]
    page.set_input_files("#add-files", files)  # type: ignore[arg-type]
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#add-trouble")).to_contain_text(
        "noise.jpg: No face was found", timeout=PATIENCE
    )
    person = page.locator("#people .person")
    expect(person.get_by_role("heading")).to_have_text("Grace <b>Höpper</b>/1")
    person.scroll_into_view_if_needed()
    expect(person.locator("canvas")).to_have_count(1)
    expect(person).to_contain_text("One photo.")
    visitor.accessible()

    person.get_by_role("button", name="Rename").click()
    visitor.accessible()
    page.get_by_label("New name").fill("Grace Hopper")
    page.keyboard.press("Enter")
    expect(person.get_by_role("heading")).to_have_text("Grace Hopper", timeout=PATIENCE)
    person.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove for ever").click()
    expect(person).to_have_count(0, timeout=PATIENCE)


LOOKS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": PHONE, "has_touch": True},
    "dark": {"color_scheme": "dark"},
    "200 % zoom": {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2},
    "no motion": {"reduced_motion": "reduce"},
}


@pytest.mark.parametrize("visitor", LOOKS.values(), ids=LOOKS.keys(), indirect=True)
def test_pages_in_every_viewport(visitor: Visitor) -> None:
    for path in ("/", "/who", "/history", "/status", "/privacy"):
        page = visitor.go(path)
        if path == "/status":
            expect(page.locator("#live")).to_have_text("live")
        visitor.accessible()
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is wider than the window"


@pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)
def test_form_without_javascript(visitor: Visitor, grace: bytes) -> None:
    page = visitor.go("/")
    visitor.drop(("grace.jpg", grace))
    page.get_by_role("button", name="Send").click()
    expect(page.locator("body")).to_contain_text("grace:")
