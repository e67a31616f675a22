"""The description of the routes below ``/v1``."""

from dataclasses import dataclass, field

from webapp.http.openapi_parts import (
    ANY,
    NUMBER,
    TEXT,
    UPLOAD,
    Schema,
    content,
    files,
    flag,
    form,
    list_,
    object_,
    operation,
    path,
    problems,
    ref,
)

_ID: Schema = {"type": "string", "format": "uuid"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_COLLECTION: Schema = {
    "type": "string",
    "pattern": "^[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,254}$",
}
_PHOTO = {"inputFile": files(1)}
_PHOTOS = {"inputFile": files(20)}
_FORCE = flag("force", "1: also small, blurred and look-alike faces.")
_CHANGE = (*ANY, 400, 404, 408, 409, 413, 415, 422, 500, 504)
_ASK = (*UPLOAD, 404, 408, 409, 410, 422, 500, 504)
_READ = (*ANY, 400, 404, 500)
IMAGES = tuple(f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp", "bmp", "tiff"))


@dataclass(frozen=True)
class _Operation:
    """One line of the table."""

    method: str
    path: str
    id: str
    summary: str
    answer: Schema | None
    problems: tuple[int, ...]
    status: int = 200
    fields: Schema = field(default_factory=dict)
    required: tuple[str, ...] = ()
    parameters: tuple[Schema, ...] = ()
    raw: bool = False
    """The body may be the photo itself."""

    def described(self, prefix: str, suffix: str) -> tuple[str, str, Schema]:
        where = prefix + self.path
        names = [part[1:-1] for part in where.split("/") if part.startswith("{")]
        schemas = {"person": _ID, "face": _ID, "collection": _COLLECTION}
        parameters = [*(path(name, schemas[name]) for name in names), *self.parameters]
        kinds = {"text/plain": TEXT, "application/json": self.answer or {}}
        if self.id == "facePhoto":
            kinds = {kind: {} for kind in IMAGES}
        done = content("Done.", **kinds) if self.answer is not None else _EMPTY
        answers = {str(self.status): done} | problems(*self.problems)
        made = operation(self.id + suffix, self.summary, answers, parameters)
        if self.fields:
            made["requestBody"] = form(self.fields, list(self.required))
        if self.raw:
            binary: Schema = {"schema": {"type": "string", "format": "binary"}}
            made["requestBody"]["content"] |= dict.fromkeys(IMAGES, binary)
        return where, self.method, made


_EMPTY: Schema = {
    "description": "Done.",
    "headers": {"X-Request-ID": {"required": True, "schema": TEXT}},
}


def _query(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_FACE = "/people/{person}/faces/{face}"
_OF_EACH = (
    _Operation(
        "get", "/people", "listPeople", "People by name, in pages.", ref("PeoplePage"), _READ,
        parameters=(
            _query("limit", "People of a page.", _whole(1, 1000)),
            _query("after", "The token next of the page before.", TEXT),
            _query("name", "Only people whose name contains this.", TEXT),
        ),
    ),
    _Operation(
        "post", "/people", "createPerson", "Enrol another person.", ref("Enrolled"), _ASK, 201,
        {"name": _NAME, "id": _ID, **_PHOTOS}, ("name", "inputFile"), (_FORCE,),
    ),
    _Operation("get", "/people/{person}", "showPerson", "Name and faces.", ref("Person"), _READ),
    _Operation(
        "patch", "/people/{person}", "renamePerson", "Give a person another name.",
        ref("PersonSummary"), _CHANGE, fields={"name": _NAME}, required=("name",),
    ),
    _Operation("delete", "/people/{person}", "forgetPerson", "Erase a person.", None, _CHANGE, 204),
    _Operation(
        "post", "/people/{person}/faces", "enrolFaces", "Enrol further photos of a person.",
        ref("Enrolled"), _ASK, 201, _PHOTOS, ("inputFile",), (_FORCE,),
    ),
    _Operation(
        "post", "/people/{person}/merge", "mergePeople",
        "Take over the faces of another person, who is gone.", ref("PersonSummary"), _CHANGE,
        fields={"other": _ID}, required=("other",),
    ),
    _Operation(
        "post", "/people/{person}/verify", "verifyPerson", "Is this that person?",
        ref("VerifiedPerson"), _ASK, fields=_PHOTO, required=("inputFile",), raw=True,
    ),
    _Operation("get", _FACE, "showFace", "Where on its photo a face is.", ref("FaceRecord"), _READ),
    _Operation(
        "patch", _FACE, "moveFace", "Give a face to another person, or to a new one of a name.",
        ref("PersonSummary"), _CHANGE, fields={"person": _ID, "name": _NAME},
    ),
    _Operation("delete", _FACE, "forgetFace", "Erase one face.", None, _CHANGE, 204),
    _Operation("get", _FACE + "/photo", "facePhoto", "The photo of a face.", {}, _READ),
    _Operation(
        "post", "/undo", "undo", "Undo the last change, unless it removed anybody.",
        object_({"people": _whole(0, 1 << 31), "faces": _whole(0, 1 << 31)}), _CHANGE,
    ),
    _Operation(
        "post", "/search", "search", "Who is on this photo, with candidates?", ref("Searched"),
        _ASK, fields=_PHOTO, required=("inputFile",), raw=True,
        parameters=(
            _query("limit", "Candidates of each face.", _whole(1, 10)),
            _query(
                "threshold", "Largest distance of a candidate.",
                {"type": "number", "minimum": 0, "maximum": 4},
            ),
        ),
    ),
)  # fmt: skip
_ONCE = (
    _Operation(
        "post", "/detect", "detect", "The faces of a photo; nothing is kept.", ref("Detected"),
        _ASK, fields=_PHOTO, required=("inputFile",), raw=True,
    ),
    _Operation(
        "post", "/embed", "embed", "The faces of a photo with their embeddings.", ref("Embedded"),
        _ASK, fields=_PHOTO, required=("inputFile",), raw=True,
    ),
    _Operation(
        "post", "/compare", "compare", "Is the largest face of the first photo on the second?",
        ref("Compared"), _ASK,
        fields={"inputFile": files(2) | {"minItems": 2}}, required=("inputFile",),
    ),
    _Operation(
        "get", "/collections", "listCollections", "The names of all collections.",
        object_({"collections": list_(object_({"name": TEXT}))}), _READ,
    ),
    _Operation(
        "post", "/collections", "createCollection", "Make a collection.", ref("Collection"),
        _CHANGE, 201, {"name": _COLLECTION}, ("name",),
    ),
    _Operation(
        "get", "/collections/{collection}", "showCollection", "What a collection holds.",
        ref("Collection"), _READ,
    ),
    _Operation(
        "delete", "/collections/{collection}", "deleteCollection",
        "Erase a collection and everybody in it.", None, _CHANGE, 204,
    ),
)  # fmt: skip


def paths_v1() -> Schema:
    """Every path below ``/v1`` with its operations."""
    found: Schema = {}
    each = [(one, "/v1", "") for one in (*_ONCE, *_OF_EACH)]
    each += [(one, "/v1/collections/{collection}", "InCollection") for one in _OF_EACH]
    for one, prefix, suffix in each:
        where, method, made = one.described(prefix, suffix)
        found.setdefault(where, {})[method] = made
    return found


def schemas_v1() -> Schema:
    """What they answer."""
    count = _whole(0, 1 << 31)
    nullable: Schema = {"type": ["number", "null"]}
    ratios = {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4}
    seen = {"box": ratios, "landmarks": list_(list_(NUMBER)), "score": NUMBER, "quality": object_(
        {"brightness": NUMBER, "sharpness": NUMBER}
    )}  # fmt: skip
    photo = {"width": count, "height": count}
    faces = object_(seen)
    record = object_(
        {"id": _ID, "has_photo": {"type": "boolean"}}, {"box": ratios, "score": NUMBER}
    )
    summary = {"id": _ID, "name": TEXT}
    candidate = object_(
        {"person_id": _ID, "name": TEXT, "distance": NUMBER, "similarity": NUMBER,
         "confidence": NUMBER}
    )  # fmt: skip
    refused = object_({"index": count, "reason": TEXT, "message": TEXT})
    found = object_({"faces": list_(faces), **photo})
    return {
        "PersonSummary": object_(summary),
        "Person": object_(summary | {"faces": list_(record)}),
        "PeoplePage": object_(
            {"people": list_(object_(summary | {"faces": count}))}, {"next": TEXT}
        ),
        "FaceRecord": record,
        "Enrolled": object_(
            summary
            | {"photos": count, "enrolled": count, "faces": list_(_ID), "refused": list_(refused)}
        ),
        "VerifiedPerson": object_(
            summary | {"outcome": {"enum": ["same", "different", "undecided", "no-face"]}},
            {"distance": NUMBER, "threshold": nullable},
        ),
        "Detected": found,
        "Embedded": object_(
            {"faces": list_(object_(seen | {"embedding": TEXT})), "engine": TEXT, **photo}
        ),
        "Searched": object_(
            {
                "faces": list_(object_(seen | {"name": TEXT, "candidates": list_(candidate)})),
                **photo,
            }
        ),
        "Compared": object_(
            {
                "outcome": {"enum": ["same", "different", "no-face"]},
                "source": found,
                "target": object_(
                    {"faces": list_(object_(seen | {"distance": NUMBER, "similarity": NUMBER})),
                     **photo}
                ),
                "threshold": NUMBER,
            }
        ),
        "Collection": object_(
            {"name": TEXT, "engine": TEXT, "people": count, "faces": count}, {"created_at": NUMBER}
        ),
    }  # fmt: skip
