"""History, groups of unknown faces and merging, in a real browser."""

import pytest
from playwright.sync_api import expect

from local.samples import portraits
from local.samples.videos import Coding, Shot, write

from .conftest import PATIENCE, PHONE, Visitor

LONG = ("Wolfeschlegelsteinhausenbergerdorff" * 6)[:200]


@pytest.mark.usefixtures("nobody")
def test_a_group_of_unknown_faces_becomes_a_person(visitor: Visitor, grace: bytes) -> None:
    page = visitor.go("/")
    other = portraits.sample_photo("Grace_Hopper").data
    visitor.drop(("group-1.jpg", grace), ("group-2.jpg", other))
    assert visitor.verdict("group-1.jpg") == visitor.verdict("group-2.jpg") == "Unknown face"
    page.reload()  # loses nothing
    assert visitor.verdict("group-2.jpg") == "Unknown face"
    expect(page.locator(".card .face.unknown")).to_have_count(2)

    visitor.go("/who")
    group = page.locator("#unknown .person").filter(has_text="Somebody").first
    expect(group.locator("canvas").first).to_be_visible()
    visitor.accessible()
    group.get_by_role("button", name="Name Somebody").click()
    dialog = page.get_by_role("dialog", name="Who is this?")
    expect(page.get_by_label("Name").last).to_be_focused()
    page.keyboard.insert_text(LONG)
    visitor.accessible()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden(timeout=PATIENCE)
    person = page.locator("#people .person")
    expect(person.get_by_role("heading")).to_have_text(LONG, timeout=PATIENCE)
    expect(person.locator("canvas").first).to_be_visible()

    person.get_by_role("link", name="Past photos").click()
    expect(page.locator("#search-person")).to_have_value(LONG)
    named = page.locator(".card[data-state=named]")
    expect(named.first).to_contain_text(LONG)
    visitor.accessible()
    page.get_by_label("File name").fill("group-2")
    page.get_by_role("button", name="Search").click()
    expect(named).to_have_count(1)
    page.reload()
    expect(named).to_have_count(1)
    expect(named.locator(".face")).to_have_attribute("aria-label", f"{LONG}. Not right?")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.usefixtures("nobody")
def test_a_face_of_the_past_is_named_and_people_are_merged(
    visitor: Visitor, grace: bytes, eileen: bytes
) -> None:
    page = visitor.go("/")
    visitor.drop(("past-grace.jpg", grace), ("past-eileen.jpg", eileen))
    visitor.verdict("past-grace.jpg")
    visitor.verdict("past-eileen.jpg")
    for name in ("grace", "eileen"):
        visitor.go(f"/history?file=past-{name}")
        page.get_by_role("button", name="Unknown face. Who is this?").press("Enter")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Add name").click()
        expect(page.locator(".card .verdict")).to_have_text(name, timeout=PATIENCE)

    visitor.go("/who")
    people = page.locator("#people .person")
    expect(people).to_have_count(2)
    page.get_by_label("Find").fill("GRA")
    expect(people).to_have_count(1)
    people.get_by_role("button", name="Merge grace").click()
    visitor.accessible()
    page.get_by_label("Is the same person as").fill("eileen")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden(timeout=PATIENCE)
    page.get_by_label("Find").fill("")
    expect(people.get_by_role("heading")).to_have_text(["eileen"])
    visitor.go("/history?file=past-grace")
    expect(page.locator(".card .verdict")).to_have_text("eileen")


@pytest.mark.usefixtures("nobody")
def test_a_person_of_a_video_is_named(
    visitor: Visitor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = visitor.go("/")
    path = tmp_path_factory.mktemp("film") / "named.webm"
    film = write(path, [Shot(("Grace_Hopper",), 3.0)], Coding(480, 360, rate=10, codec="libvpx"))
    visitor.drop(("named.webm", film.read_bytes()))
    assert visitor.verdict("named.webm") == "Unknown person 1"
    page.get_by_role("button", name="Who is Unknown person 1?").click()
    page.get_by_label("Name", exact=True).fill("Grace Hopper")
    page.get_by_role("button", name="Add person").click()
    expect(page.get_by_role("dialog")).to_be_hidden(timeout=PATIENCE)
    assert visitor.verdict("named.webm") == "Grace Hopper"
