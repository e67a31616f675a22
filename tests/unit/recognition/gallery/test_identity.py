"""People and faces have ids; names are labels; a gallery of format 1 keeps its meaning."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.recognition.gallery import edits, header, mapped
from facerec_tasks.recognition.gallery.edits import NoSuchFace
from facerec_tasks.recognition.gallery.face_search import nearest_faces
from facerec_tasks.recognition.gallery.gallery import (
    AmbiguousName,
    Gallery,
    GalleryError,
    NameTaken,
    NoSuchPerson,
)
from facerec_tasks.recognition.gallery.identifiers import is_id, new_id
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord

from .test_gallery import at

FORMAT_1 = Path("tests/golden/format_1.gallery")
BOX = FaceBox(0.25, -0.125, 0.5, 0.75, 0.9375)


def two_of_one_name() -> tuple[Gallery, str, str]:
    first, second = new_id(), new_id()
    gallery = replace(Gallery.empty("resnet128").with_threshold(0.5), margin=0.1)
    gallery = gallery.with_new_person(first, "Ada", at(0.0), [FaceRecord(new_id(), "a", BOX)])
    gallery = gallery.with_new_person(second, "Ada", at(1.0), [FaceRecord(new_id(), "b")])
    return gallery, first, second


def names_and_faces(gallery: Gallery) -> dict[str, int]:
    return {
        name: int((gallery.person_index == row).sum()) for row, name in enumerate(gallery.names)
    }


class TestNames:
    def test_two_people_of_one_name_are_two(self) -> None:
        gallery, first, second = two_of_one_name()
        near, far = gallery.search(np.concatenate([at(0.1), at(0.9)]))
        assert (near.name, near.person_id) == ("Ada", first)
        assert (far.name, far.person_id) == ("Ada", second)
        assert Gallery.from_bytes(gallery.to_bytes()).ids == (first, second)

    def test_a_name_that_two_bear_means_neither(self) -> None:
        gallery, first, second = two_of_one_name()
        for refused in (
            lambda: gallery.without_person("Ada"),
            lambda: gallery.with_person("Ada", at(0.0), ["c"]),
            lambda: gallery.renamed("Ada", "Bob"),
            lambda: gallery.distance("Ada", at(0.0)[0]),
        ):
            with pytest.raises(AmbiguousName):
                refused()
        assert gallery.without_person(first).ids == (second,)

    def test_a_name_is_taken_only_where_it_must_be_unique(self) -> None:
        gallery, first, _ = two_of_one_name()
        other = gallery.renamed(first, "Bob")
        with pytest.raises(NameTaken):
            other.renamed("Bob", "Ada")
        assert other.renamed("Bob", "Ada", unique=False).names == ("Ada", "Ada")
        assert other.renamed("Bob", "Bob").names == ("Bob", "Ada")

    def test_decomposed_names_are_found(self) -> None:
        gallery = Gallery.empty("resnet128").with_person("José", at(0.0), ["a"])
        assert gallery.distance(unicodedata.normalize("NFD", "José"), at(0.0)[0]) == 0

    @pytest.mark.parametrize("name", ["محمد\u200cرضا", "क्\u200dष", "👩\u200d👧", "a/b", "..", "."])
    def test_people_may_be_called(self, name: str) -> None:
        assert checked_name(name) == unicodedata.normalize("NFC", name)

    @pytest.mark.parametrize(
        "name",
        ["\u200c", "a\u200d", "\u200ca", "a\u202eb", "a\u200bb", "a\nb", "\ud800", "unknown"],
    )
    def test_people_may_not_be_called(self, name: str) -> None:
        with pytest.raises(GalleryError):
            checked_name(name)


class TestEdits:
    def test_merging_keeps_id_and_name_of_the_first(self) -> None:
        gallery, first, second = two_of_one_name()
        one = edits.merged(gallery.renamed(second, "Bob", unique=False), first, second)
        assert (one.ids, one.names, names_and_faces(one)) == ((first,), ("Ada",), {"Ada": 2})
        assert [face.photo for face in one.faces] == list(one.photos) == ["a", "b"]
        with pytest.raises(GalleryError):
            edits.merged(gallery, first, first)

    def test_moving_the_last_face_removes_its_person(self) -> None:
        gallery, first, second = two_of_one_name()
        face = gallery.faces[1].id
        one = edits.moved(gallery, [face], first)
        assert (one.ids, len(one.faces)) == ((first,), 2)
        with pytest.raises(NoSuchPerson):
            one.index(second)

    def test_faces_become_a_person_of_their_own(self) -> None:
        gallery, first, second = two_of_one_name()
        one = edits.merged(gallery, first, second)
        again = edits.split(one, [one.faces[0].id], "Grace")
        assert names_and_faces(again) == {"Ada": 1, "Grace": 1}
        assert again.search(at(0.0))[0].name == "Grace"
        assert again.ids[0] == first
        assert is_id(again.ids[1])

    def test_one_face_is_removed(self) -> None:
        gallery, first, second = two_of_one_name()
        assert edits.without_faces(gallery, [gallery.faces[0].id]).ids == (second,)
        assert len(edits.without_faces(gallery, [face.id for face in gallery.faces])) == 0
        for edit in (
            lambda: edits.without_faces(gallery, [new_id()]),
            lambda: edits.moved(gallery, [new_id()], first),
            lambda: edits.split(gallery, [new_id()], "Eve"),
        ):
            with pytest.raises(NoSuchFace):
                edit()


class TestFiles:
    def test_a_mapped_copy_finds_people_and_faces(self, tmp_path: Path) -> None:
        gallery, first, second = two_of_one_name()
        (tmp_path / "copy").write_bytes(mapped.to_bytes(gallery))
        copy = mapped.open_file(tmp_path / "copy")
        assert (tuple(copy.ids), tuple(copy.faces)) == (gallery.ids, gallery.faces)
        assert (copy.index(first), copy.index(second)) == (0, 1)
        assert copy.search(at(0.1)) == gallery.search(at(0.1))
        for one in (gallery, copy):
            near, far = nearest_faces(one, at(0.1)[0], 10)
            assert (near.face, near.person_id, near.name) == (gallery.faces[0], first, "Ada")
            assert near.distance == pytest.approx(0.1)
            assert near.similarity > 99 > 1 > far.similarity
            assert [m.face for m in nearest_faces(one, at(0.1)[0], 1)] == [near.face]
            assert nearest_faces(one, at(0.1)[0], 10, 80.0) == [near]

    def test_web_tier_reads_people_without_embeddings(self) -> None:
        gallery, first, second = two_of_one_name()
        known = header.info(gallery.to_bytes()).people
        assert {person.id for person in known} == {first, second}
        (ada,) = (person for person in known if person.id == first)
        assert ada.faces == (gallery.faces[0],)
        assert ada.faces[0].box == BOX


class TestFormat1:
    """The file was written by the last version that knew no ids."""

    def test_it_is_read_and_always_means_the_same_people(self) -> None:
        data = FORMAT_1.read_bytes()
        gallery = Gallery.from_bytes(data)
        assert names_and_faces(gallery) == {"Zoë 漢": 2, "a/b": 1, "..": 2}
        assert gallery.ids == Gallery.from_bytes(data).ids
        assert len({*gallery.ids, *(face.id for face in gallery.faces)}) == 8
        assert gallery.search(at(0, 1.0))[0].name == ".."
        listed = header.info(data).people
        assert {person.id: person.name for person in listed} == dict(
            zip(gallery.ids, gallery.names, strict=True)
        )
        assert {face for person in listed for face in person.faces} == set(gallery.faces)

    def test_it_is_migrated_once_and_back_without_loss(self) -> None:
        old = FORMAT_1.read_bytes()
        gallery = Gallery.from_bytes(old)
        new = gallery.to_bytes()
        assert new.startswith(header.MAGIC)
        again = Gallery.from_bytes(new)
        assert (again.ids, again.faces) == (gallery.ids, gallery.faces)
        assert again.to_bytes() == new
        back = Gallery.from_bytes(again.to_bytes(version=1))
        assert (back.names, back.photos, back.ids) == (gallery.names, gallery.photos, gallery.ids)
        assert (back.embeddings == gallery.embeddings).all()

    def test_what_it_cannot_hold_is_refused(self) -> None:
        with pytest.raises(AmbiguousName):
            two_of_one_name()[0].to_bytes(version=1)
