"""Who a face is, and what a gallery's file may be."""

import contextlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec_tasks.recognition.embedding.metrics import Embeddings as Rows
from facerec_tasks.recognition.gallery.gallery import (
    EngineMismatch,
    Gallery,
    GalleryError,
    NameTaken,
    NoSuchPerson,
)
from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.recognition.gallery.person_name import MAX_NAME

ID, OTHER_ID = new_id(), new_id()


def at(*coordinates: float) -> Rows:
    """One embedding of resnet128 with these first coordinates and zeros after."""
    row = np.zeros((1, 128), np.float32)
    row[0, : len(coordinates)] = coordinates
    return row


def gallery_of(**people: Rows) -> Gallery:
    gallery = replace(Gallery.empty("resnet128").with_threshold(0.5), margin=0.1)
    for name, rows in people.items():
        gallery = gallery.with_person(name, rows, [f"{name}-{n}" for n in range(len(rows))])
    return gallery


class TestSearch:
    @pytest.mark.parametrize(
        ("face", "name"),
        [
            (at(0.0), "Ada"),
            (at(0.3), "Ada"),
            (at(0.9), "Bob"),
            (at(0.0, 0.49), "Ada"),
            (at(0.0, 0.51), None),  # nobody near enough
            (at(0.5), None),  # two people equally near
            (at(-0.49), "Ada"),
            (at(3.0), None),
        ],
    )
    def test_names_the_nearest_if_near_and_alone(self, face: Rows, name: str | None) -> None:
        (match,) = gallery_of(Ada=at(0.0), Bob=at(1.0)).search(face)
        assert match.name == name

    @pytest.mark.parametrize(
        ("distance", "lead", "known"),
        [
            (0.5, 0.11, True),
            (0.5, 0.09, False),
            (0.45, 0.06, True),
            (0.45, 0.04, False),
            (0.1, 0.03, True),
            (0.1, 0.01, False),
        ],
    )
    def test_the_nearer_a_face_the_smaller_a_lead_suffices(
        self, distance: float, lead: float, known: bool
    ) -> None:
        gallery = gallery_of(Ada=at(distance), Bob=at(0.0, distance + lead))
        (match,) = gallery.search(at(0.0))
        assert (match.name == "Ada") is known

    def test_search_returns_distance_and_runner_up(self) -> None:
        (match,) = gallery_of(Ada=at(0.0), Bob=at(1.0)).search(at(0.25))
        assert (match.nearest, match.runner_up) == ("Ada", "Bob")
        assert match.distance == pytest.approx(0.25)
        assert match.runner_up_distance == pytest.approx(0.75)
        assert match.confidence is not None
        assert match.confidence > 0.9

    def test_search_separates_distances_equal_after_rounding(self) -> None:
        gallery = gallery_of(Ada=at(1.0), Bob=at(1.0 - 1e-6)).with_threshold(None)
        assert gallery.search(at(0.0))[0].name == "Bob"

    def test_the_runner_up_is_another_person_and_not_another_photo(self) -> None:
        (match,) = gallery_of(Ada=np.concatenate([at(0.0), at(0.01)]), Bob=at(2.0)).search(at(0.0))
        assert (match.name, match.runner_up) == ("Ada", "Bob")

    def test_a_persons_mean_counts_as_a_photo(self) -> None:
        gallery = gallery_of(Ada=np.concatenate([at(0.0, 0.55), at(0.0, -0.55)]), Bob=at(5.0))
        (match,) = gallery.search(at(0.1))
        assert (match.name, match.distance) == ("Ada", pytest.approx(0.1))

    def test_one_person_alone_has_no_runner_up(self) -> None:
        (match,) = gallery_of(Ada=at(0.0)).search(at(0.1))
        assert (match.name, match.runner_up, match.runner_up_distance) == ("Ada", None, None)

    def test_empty_gallery_names_nobody(self) -> None:
        (match,) = Gallery.empty("resnet128").search(at(0.1))
        assert (match.name, match.distance, match.confidence) == (None, None, None)

    def test_without_a_threshold_the_nearest_is_named_however_far(self) -> None:
        gallery = gallery_of(Ada=at(0.0), Bob=at(1.0)).with_threshold(None)
        assert [m.name for m in gallery.search(np.concatenate([at(30.0), at(-30.0)]))] == [
            "Bob",
            "Ada",
        ]

    def test_confidence_falls_with_the_distance_and_turns_into_that_of_unknown(self) -> None:
        gallery = gallery_of(Ada=at(0.0), Bob=at(5.0))
        faces = [gallery.search(at(x))[0] for x in (0.1, 0.4, 0.49, 0.6, 0.9)]
        sure = [f.confidence if f.name else 1 - (f.confidence or 0) for f in faces]
        assert sure == sorted(sure, reverse=True)  # type: ignore[type-var]
        assert all(0 <= s <= 1 for s in sure if s is not None)

    @given(st.integers(0, 2**32 - 1))
    def test_agrees_with_the_plain_computation(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        rows = random.normal(0, 0.1, (40, 128)).astype(np.float32)
        gallery = Gallery.empty("resnet128").with_threshold(None)
        for n, row in enumerate(rows):
            gallery = gallery.with_person(f"p{n % 25}", row[np.newaxis], [str(n)])
        probe = random.normal(0, 0.1, (1, 128)).astype(np.float32)
        distances = np.linalg.norm(gallery.embeddings.astype(float) - probe, axis=1)
        people = [gallery.names[o] for o in gallery.person_index]
        order = sorted(range(40), key=lambda n: distances[n])
        (match,) = gallery.search(probe)
        assert match.nearest == people[order[0]]
        assert match.distance == pytest.approx(distances[order[0]], abs=1e-9)
        other = next(n for n in order if people[n] != people[order[0]])
        assert (match.runner_up, match.runner_up_distance) == (
            people[other],
            pytest.approx(distances[other], abs=1e-9),
        )

    def test_refuses_embeddings_of_another_engine_with_the_remedy(self) -> None:
        with pytest.raises(EngineMismatch, match="enrol the people again"):
            gallery_of(Ada=at(0.0)).search(np.zeros((1, 512), np.float32))

    def test_refuses_what_is_not_finite(self) -> None:
        with pytest.raises(GalleryError):
            gallery_of(Ada=at(0.0)).search(at(np.nan))
        with pytest.raises(GalleryError):
            gallery_of(Ada=at(np.inf))
        with pytest.raises(GalleryError):  # its square is not
            gallery_of(Ada=at(1e30))


class TestEdits:
    def test_people_come_and_go(self) -> None:
        gallery = gallery_of(Ada=at(0.0), Bob=at(1.0)).with_person("Ada", at(0.1), ["more"])
        assert gallery.photos_of("Ada") == ("Ada-0", "more")
        without = gallery.without_person("Ada")
        assert (without.names, without.photos) == (("Bob",), ("Bob-0",))
        assert without.search(at(1.0))[0].name == "Bob"
        assert gallery.names == ("Ada", "Bob"), "the old one is as it was"

    def test_a_name_changes_and_its_faces_stay(self) -> None:
        gallery = gallery_of(Ada=at(0.0), Bob=at(1.0)).renamed("Ada", "Augusta")
        assert gallery.search(at(0.0))[0].name == "Augusta"
        with pytest.raises(NameTaken):
            gallery.renamed("Bob", "Augusta")

    def test_removing_an_unknown_person_is_refused(self) -> None:
        with pytest.raises(NoSuchPerson):
            gallery_of(Ada=at(0.0)).without_person("Bob")
        with pytest.raises(NoSuchPerson):
            gallery_of(Ada=at(0.0)).renamed("Bob", "Robert")

    def test_one_name_has_one_spelling(self) -> None:
        composed, decomposed = "Zo\u00eb", "Zoe\u0308"
        gallery = gallery_of(Ada=at(1.0)).with_person(composed, at(0.0), ["a"])
        assert gallery.with_person(decomposed, at(0.1), ["b"]).photos_of(decomposed) == ("a", "b")

    @pytest.mark.parametrize(
        "name",
        ["", " ", "a ", "a\nb", "a\x00", "unknown", "no-face", "x" * (MAX_NAME + 1), "\u202e"],
    )
    def test_refuses_names_that_cannot_be_answers(self, name: str) -> None:
        with pytest.raises(GalleryError, match="not a name"):
            gallery_of(**{name: at(0.0)})

    def test_arrays_cannot_be_written(self) -> None:
        gallery = gallery_of(Ada=at(0.0))
        with pytest.raises(ValueError, match="read-only"):
            gallery.embeddings[0, 0] = 1


class TestFile:
    def test_comes_back_as_it_was(self, tmp_path: Path) -> None:
        gallery = gallery_of(Ada=at(0.25), 漢字=np.concatenate([at(1.0), at(1.5)]))
        path = tmp_path / "gallery"
        path.write_bytes(gallery.to_bytes())
        for again in (Gallery.from_bytes(gallery.to_bytes()), Gallery.open(path)):
            assert again.to_bytes() == gallery.to_bytes()
            assert again.search(at(0.2)) == gallery.search(at(0.2))

    @pytest.mark.parametrize("threshold", [None, 0.5])
    def test_an_empty_gallery_comes_back_too(self, threshold: float | None) -> None:
        again = Gallery.from_bytes(Gallery.empty("facenet").with_threshold(threshold).to_bytes())
        assert (again.engine, again.dimension, again.threshold) == ("facenet", 512, threshold)

    def test_an_opened_file_is_mapped_and_not_copied(self, tmp_path: Path) -> None:
        path = tmp_path / "gallery"
        path.write_bytes(gallery_of(Ada=at(0.0)).to_bytes())
        assert not Gallery.open(path).embeddings.flags.owndata

    def test_a_mapped_gallery_outlives_its_file(self, tmp_path: Path) -> None:
        path, other = tmp_path / "gallery", tmp_path / "other"
        path.write_bytes(gallery_of(Ada=at(0.0)).to_bytes())
        gallery = Gallery.open(path)
        other.write_bytes(gallery_of(Bob=at(0.0)).to_bytes())
        other.replace(path)
        assert gallery.search(at(0.0))[0].name == "Ada"
        assert Gallery.open(path).search(at(0.0))[0].name == "Bob"

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"FACEREC-GALLERY1", bytes(100)])
    def test_refuses_foreign_bytes(self, data: bytes, tmp_path: Path) -> None:
        with pytest.raises(GalleryError):
            Gallery.from_bytes(data)
        (tmp_path / "gallery").write_bytes(data)
        with pytest.raises(GalleryError):
            Gallery.open(tmp_path / "gallery")

    @pytest.mark.parametrize(
        "change",
        [
            {"engine": "other"},
            {"engine": ["resnet128"]},
            {"engine": "facenet"},
            {"dimension": 64},
            {"dimension": "128"},
            {"dimension": -128},
            {"dimension": 1 << 62},
            {"dimension": True},
            {"people": [[ID, "Ada"]]},
            {"people": [[ID, "Ada"], [ID, "Bob"]]},
            {"people": [[ID, "Ada"], [OTHER_ID, "Bob"], [new_id(), "Eve"]]},
            {"people": [[ID, "Ada"], [OTHER_ID, 1]]},
            {"people": [[ID, "Ada"], ["2", "Bob"]]},
            {"people": [[ID, "Ada"], [OTHER_ID, "unknown"]]},
            {"people": [[ID, "Ada", "x"], [OTHER_ID, "Bob"]]},
            {"people": ["AB", "CD"]},
            {"people": "AB"},
            {"people": None},
            {"faces": []},
            {"faces": [[ID, "a", None]] * 1000},
            {"faces": [[ID, "a", None]] * 2},
            {"faces": [[ID, "a"], [OTHER_ID, "b"]]},
            {"faces": [[ID, "a", None], [OTHER_ID, 1, None]]},
            {"faces": [[ID, "a", None], [OTHER_ID, "b", [0, 0, 1]]]},
            {"faces": [[ID, "a", None], [OTHER_ID, "b", [0, 0, 1, 1, float("nan")]]]},
            {"faces": [[ID, "a", None], [OTHER_ID, "b", [0, 0, 1, 1, "1"]]]},
            {"created_at": "today"},
            {"threshold": "near"},
            {"threshold": float("nan")},
            {"threshold": -1},
            {"margin": None},
            {"margin": float("inf")},
            {"precision": 7},
        ],
    )
    def test_refuses_a_header_that_does_not_fit(self, change: dict[str, object]) -> None:
        with pytest.raises(GalleryError):
            Gallery.from_bytes(with_header(gallery_of(Ada=at(0.0), Bob=at(1.0)), change))

    @pytest.mark.parametrize("field", ["engine", "dimension", "people", "faces", "threshold"])
    def test_refuses_a_header_without(self, field: str) -> None:
        with pytest.raises(GalleryError):
            Gallery.from_bytes(with_header(gallery_of(Ada=at(0.0)), {}, without=field))

    @pytest.mark.parametrize(
        "text", [b"[" * 100_000, b"\xff", b"[]", b"{", b'{"dimension": 1e999}']
    )
    def test_refuses_a_header_that_is_none(self, text: bytes) -> None:
        with pytest.raises(GalleryError):
            Gallery.from_bytes(b"FACEREC-GALLERY1" + struct.pack("<Q", len(text)) + text)

    def test_gallery_refuses_person_index_out_of_range(self) -> None:
        gallery = gallery_of(Ada=at(0.0), Bob=at(1.0))
        for person_index in ([0, 2], [0, -1], [0, 0]):
            with pytest.raises(GalleryError):
                replace(gallery, person_index=np.array(person_index, np.int32))

    @given(st.data())
    def test_a_damaged_file_is_refused_or_still_a_gallery(self, data: st.DataObject) -> None:
        whole = bytearray(gallery_of(Ada=at(0.0), Bob=at(1.0)).to_bytes())
        at_byte = data.draw(st.integers(0, len(whole) - 1))
        whole[at_byte] ^= data.draw(st.integers(1, 255))
        cut = data.draw(st.one_of(st.none(), st.integers(0, len(whole))))
        with contextlib.suppress(GalleryError):
            Gallery.from_bytes(bytes(whole[:cut])).search(at(0.3))


def with_header(gallery: Gallery, change: dict[str, object], without: str = "") -> bytes:
    data = gallery.to_bytes()
    (length,) = struct.unpack_from("<Q", data, 16)
    header = json.loads(data[24 : 24 + length]) | change
    header.pop(without, None)
    text = json.dumps(header).encode()
    head = data[:16] + struct.pack("<Q", len(text)) + text
    rest = data[-(-(24 + length) // 64) * 64 :]
    return head + bytes(-len(head) % 64) + rest
