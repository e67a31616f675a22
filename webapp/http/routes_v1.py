"""The routes below ``/v1``: people and search of the default collection, and of each by name."""

from collections.abc import Callable

from flask import Response

from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from webapp.http.collections_v1 import CollectionsV1
from webapp.http.faces_v1 import FacesV1
from webapp.http.history_v1 import HistoryV1
from webapp.http.people_v1 import PeopleV1
from webapp.http.unknown_v1 import UnknownV1
from webapp.services.collections import CollectionService
from webapp.services.faces import FaceService
from webapp.services.history import HistoryService
from webapp.services.people import PeopleService, WorkerRequests
from webapp.services.recognition import RecognitionService
from webapp.services.task_client import TaskClient
from webapp.services.unknown import UnknownService

PREFIX = "/v1"
OF_COLLECTION = PREFIX + "/collections/<collection>"


def routes_v1(
    settings: Settings,
    storage: Storage,
    people: PeopleService,
    workers: WorkerRequests,
    recognition: RecognitionService,
    task_client: TaskClient,
) -> list[tuple[str, str, Callable[..., Response], str | None]]:
    """Method, path, view, and the scope a key needs."""
    collections = CollectionsV1(
        settings, CollectionService(storage.state, people.enrolled, workers), task_client
    )
    people_v1 = PeopleV1(settings, people, recognition, task_client)
    faces = FacesV1(settings, FaceService(workers), recognition, task_client)
    history = HistoryV1(HistoryService(storage, people.enrolled))
    unknown = UnknownV1(settings, UnknownService(workers), task_client)
    global_ = [
        *collections.routes(), *faces.routes(), *history.routes(), *unknown.routes()
    ]  # fmt: skip
    of_each = [*people_v1.routes(), ("POST", "/search", faces.search, "recognize")]
    return [
        *((method, PREFIX + path, view, scope) for method, path, view, scope in global_),
        *(
            (method, prefix + path, view, scope)
            for prefix in (PREFIX, OF_COLLECTION)
            for method, path, view, scope in of_each
        ),
    ]
