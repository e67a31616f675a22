import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.http.errors import Problem
from webapp.http.uploads import MAX_NAME_BYTES, accept, clean_name, stem

JPEG = b"\xff\xd8\xff\xe0" + bytes(20)

SAFE = [
    "test_00.jpg",
    "photo",
    "Ünï cödé (1).JPG",
    "漢字.png",
    ".jpg",
    "a.b.c.jpg",
    "x" * 251 + ".jpg",
]
UNSAFE = {
    "a path": ("../../etc/passwd.jpg", "passwd-", ".jpg"),
    "a path of Windows": ("C:\\photos\\me.jpg", "me-", ".jpg"),
    "a control character": ("a\x00b\r\n.jpg", "ab-", ".jpg"),
    "a colon": ("Paul:Emily.jpg", "PaulEmily-", ".jpg"),
    "an override of direction": ("gpj.\u202egnp.jpg", "gpj.gnp-", ".jpg"),
    "two dots": ("..", "photo-", ""),
    "nothing": ("", "photo-", ""),
    "blanks": ("   ", "photo-", ""),
    "an over-long name": ("漢" * 300 + ".jpg", "漢", ".jpg"),
    "an over-long extension": ("a." + "b" * 300, "a.b", ""),
}


@pytest.mark.parametrize("name", SAFE)
def test_safe_file_name_is_unchanged(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(("name", "begin", "end"), UNSAFE.values(), ids=UNSAFE)
def test_unsafe_file_name_is_cleaned_and_marked(name: str, begin: str, end: str) -> None:
    cleaned = clean_name(name)
    assert cleaned.startswith(begin)
    assert cleaned.endswith(end)
    assert len(cleaned.encode()) <= MAX_NAME_BYTES


def test_cleaned_file_names_do_not_collide() -> None:
    assert len({clean_name(n) for n in ("a.jpg", "x/a.jpg", "y/a.jpg", "a\x01.jpg", "a:.jpg")}) == 5


@given(st.text())
def test_file_name_becomes_one_safe_path_component(name: str) -> None:
    cleaned = clean_name(name)
    assert 0 < len(cleaned.encode()) <= MAX_NAME_BYTES
    assert not set(cleaned) & set('/\\:\r\n\x00"')
    assert cleaned not in (".", "..")
    assert clean_name(cleaned) == cleaned
    assert stem(cleaned)


def test_stem_drops_last_extension() -> None:
    assert stem("test_00.jpg") == "test_00"
    assert stem("archive.tar.gz") == "archive.tar"
    assert stem("photo") == "photo"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello", "not-a-picture"),
        (b"\xff\x0a", "unsupported-format"),
        (JPEG + bytes(100), "too-large"),
    ],
)
def test_rejected_upload_has_code(data: bytes, code: str) -> None:
    with pytest.raises(Problem) as refused:
        accept("a.jpg", data, max_bytes=100)
    assert refused.value.code == code


def test_accepted_upload_has_sniffed_type() -> None:
    upload = accept("a.png", JPEG, max_bytes=100)
    assert (upload.key, upload.stem, upload.content_type) == ("a.png", "a", "image/jpeg")
