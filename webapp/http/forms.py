"""Form fields of a request: files, names, ids."""

from flask import request
from werkzeug.datastructures import FileStorage

from facerec_tasks.recognition.gallery.identifiers import is_id
from webapp.http.errors import Problem
from webapp.http.uploads import Upload, accept, accept_video

FIELD = "inputFile"
MAX_NAME_BYTES = 400
"""Bytes of UTF-8 in a person's name; it travels in a message of at most 1024 bytes."""


def files(max_files: int) -> list[FileStorage]:
    """The photos of the form, at least one; raises :class:`Problem`."""
    found = request.files.getlist(FIELD)
    if not found:
        raise Problem("field-missing", f"send the photo as multipart field {FIELD}")
    if len(found) > max_files:
        raise Problem("too-many-files", f"at most {max_files} in one request")
    return found


def read(file: FileStorage, max_bytes: int) -> Upload:
    """The photo, judged; raises :class:`Problem`."""
    return accept(file.filename or "", file.read(), max_bytes)


def read_any(file: FileStorage, max_photo_bytes: int, max_video_bytes: int) -> Upload:
    """The photo or video, judged; raises :class:`Problem`."""
    video = accept_video(file.filename or "", file.stream, max_video_bytes)  # type: ignore[arg-type]
    return video or read(file, max_photo_bytes)


def one_photo(max_bytes: int) -> Upload:
    """The only photo of a request: of the form, or its whole body if that is ``image/*``.

    Raises :class:`Problem`.
    """
    if request.mimetype.startswith("image/"):
        photo = accept("photo", request.get_data(cache=False), max_bytes)
    else:
        photo = read(files(1)[0], max_bytes)
    drop_body()
    return photo


def photos(most: int, max_bytes: int, least: int = 1) -> list[Upload]:
    """The photos of the form, judged; raises :class:`Problem`."""
    found = [read(file, max_bytes) for file in files(most)]
    drop_body()
    if len(found) < least:
        raise Problem("field-missing", f"send {least} photos, each as multipart field {FIELD}")
    return found


def name() -> str:
    """The field ``name``, see :func:`checked_name`."""
    return checked_name(request.form.get("name", ""))


def checked_name(text: str) -> str:
    """Raises :class:`Problem` for a name no message could carry; workers judge the rest."""
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        octets = 0
    if not 0 < octets <= MAX_NAME_BYTES:
        raise Problem("bad-name", f"a name has 1 to {MAX_NAME_BYTES} bytes")
    return text


def person_id(text: str) -> str:
    """Raises :class:`Problem` for what is not the id of a person."""
    if not is_id(text):
        raise Problem("no-such-person", "not the id of a person")
    return text


def drop_body() -> None:
    """Frees the server's and the form's copies: a waiting request holds no photo."""
    for _, file in request.files.items(multi=True):
        file.close()
    request.__dict__.pop("files", None)
    request.environ["facerec.body"].close()
