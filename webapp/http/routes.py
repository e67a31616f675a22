"""The routes: address, view, and what the gate must know of each."""

from collections.abc import Callable

from flask import Flask, Response

from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from webapp.http.collections_v1 import CollectionsV1
from webapp.http.faces_v1 import FacesV1
from webapp.http.gate import SMALL_BODY, Route
from webapp.http.health import OperatorRoutes
from webapp.http.history_v1 import HistoryV1
from webapp.http.people_by_name import PeopleViews
from webapp.http.people_v1 import PeopleV1
from webapp.http.photos import PhotoViews
from webapp.http.unknown_v1 import UnknownV1
from webapp.pages.status import Status
from webapp.pages.views import Pages
from webapp.rekognition.view import RekognitionView
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.history import HistoryService
from webapp.services.recognition import RecognitionService
from webapp.services.task_client import TaskClient
from webapp.services.worker_requests import WorkerRequests

View = Callable[..., Response]
V1 = "/v1"
OF_COLLECTION = V1 + "/collections/<collection>"


def add_routes(
    app: Flask,
    settings: Settings,
    storage: Storage,
    enrolled: EnrolledPeople,
    workers: WorkerRequests,
    task_client: TaskClient,
    rekognition: RekognitionView,
    health: OperatorRoutes,
) -> dict[str, Route]:
    """Adds the routes; returns what the gate must know, by endpoint."""
    photos = PhotoViews(settings, RecognitionService(storage, task_client), task_client)
    people = PeopleViews(settings, enrolled, workers, task_client)
    pages, status = Pages(settings), Status(settings, task_client)
    media = Route("recognize", settings.largest_request, is_upload=True)
    enrollment = Route("people:write", settings.max_request_bytes, is_upload=True)
    verification = Route("recognize", settings.max_upload_bytes + SMALL_BODY, is_upload=True)
    recognize, read, write = Route("recognize"), Route("people:read"), Route("people:write")
    figures, public = Route("operate", is_operator=True), Route()
    live = Route("operate", is_operator=True, is_page=True)
    table: list[tuple[str, str, View, Route]] = [
        ("POST", "/", rekognition.or_else(photos.recognize), media),
        ("GET", "/results/<task_id>", photos.result, recognize),
        ("DELETE", "/results/<task_id>", photos.cancel, recognize),
        ("GET", "/results/<task_id>/<picture>", photos.picture, recognize),
        ("GET", "/people", people.listing, read),
        ("POST", "/people", people.enrol, enrollment),
        ("PATCH", "/people/<path:name>", people.rename, write),
        ("DELETE", "/people/<path:name>", people.forget, write),
        ("GET", "/people/<path:name>/photos/<int:number>", people.photo, read),
        ("POST", "/people/<path:name>/verify", people.verify, verification),
        ("GET", "/healthz", health.healthz, public),
        ("GET", "/readyz", health.readyz, public),
        ("GET", "/openapi.json", health.description, public),
        ("GET", "/metrics", health.metrics, figures),
        ("GET", "/internal/in-flight", health.in_flight, figures),
        ("GET", "/internal/ledger", health.in_flight, figures),  # deprecated in 0.2.0
        ("GET", "/", pages.photos, public),
        ("GET", "/who", pages.people, public),
        ("GET", "/history", pages.history, public),
        ("GET", "/status", pages.status, public),
        ("GET", "/status/events", status.events, live),
        ("GET", "/privacy", pages.privacy, public),
        ("GET", "/static/<name>", pages.static, public),
    ]
    for method, path, view, scope in _routes_v1(settings, storage, enrolled, workers, task_client):
        is_upload = method == "POST"
        largest = settings.max_request_bytes if is_upload else SMALL_BODY
        table.append((method, path, view, Route(scope, largest, is_upload)))
    routes = {}
    for method, path, view, route in table:
        endpoint = f"{method} {path}".replace(".", "-")
        app.add_url_rule(path, endpoint, view, methods=[method])
        routes[endpoint] = route
    return routes


def _routes_v1(
    settings: Settings,
    storage: Storage,
    enrolled: EnrolledPeople,
    workers: WorkerRequests,
    task_client: TaskClient,
) -> list[tuple[str, str, View, str]]:
    """Method, path, view, and the scope a key needs."""
    people = PeopleV1(settings, enrolled, workers, task_client)
    faces = FacesV1(settings, enrolled, workers, task_client)
    unknown = UnknownV1(settings, enrolled, workers, task_client)
    collections = CollectionsV1(settings, enrolled, workers, task_client)
    history = HistoryV1(HistoryService(storage, enrolled))
    face = "/people/<person>/faces/<face>"
    of_each_collection: list[tuple[str, str, View, str]] = [
        ("GET", "/people", people.listing, "people:read"),
        ("POST", "/people", people.create, "people:write"),
        ("GET", "/people/<person>", people.show, "people:read"),
        ("PATCH", "/people/<person>", people.rename, "people:write"),
        ("DELETE", "/people/<person>", people.forget, "people:write"),
        ("POST", "/people/<person>/faces", people.enrol, "people:write"),
        ("POST", "/people/<person>/merge", people.merge, "people:write"),
        ("POST", "/people/<person>/verify", people.verify, "recognize"),
        ("GET", face, people.face, "people:read"),
        ("PATCH", face, people.move, "people:write"),
        ("DELETE", face, people.forget_face, "people:write"),
        ("GET", face + "/photo", people.photo, "people:read"),
        ("POST", "/undo", people.undo, "people:write"),
        ("POST", "/search", faces.search, "recognize"),
    ]
    return [
        ("GET", V1 + "/collections", collections.listing, "people:read"),
        ("POST", V1 + "/collections", collections.create, "people:write"),
        ("GET", OF_COLLECTION, collections.show, "people:read"),
        ("DELETE", OF_COLLECTION, collections.delete, "people:write"),
        ("POST", V1 + "/detect", faces.detect, "recognize"),
        ("POST", V1 + "/embed", faces.embed, "embed"),
        ("POST", V1 + "/compare", faces.compare, "recognize"),
        ("GET", V1 + "/history", history.listing, "history:read"),
        ("GET", V1 + "/history/<task>/photo", history.photo, "history:read"),
        ("POST", V1 + "/history/<task>/faces/<int:number>", unknown.name_face, "people:write"),
        ("GET", V1 + "/unknown", unknown.listing, "history:read"),
        ("POST", V1 + "/unknown/<group>", unknown.name, "people:write"),
        ("DELETE", V1 + "/unknown/<group>", unknown.dismiss, "people:write"),
        *((m, V1 + path, view, scope) for m, path, view, scope in of_each_collection),
        *((m, OF_COLLECTION + path, view, scope) for m, path, view, scope in of_each_collection),
    ]
