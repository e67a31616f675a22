"""The WSGI application: routes, and what surrounds every request."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from facerec_tasks import logs
from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.collections import DEFAULT
from webapp.http import errors, rendering
from webapp.http.access import Access
from webapp.http.errors import Problem
from webapp.http.operations import Operations
from webapp.http.people import PeopleViews
from webapp.http.routes_v1 import routes_v1
from webapp.http.views import PhotoViews
from webapp.pages.status import Status
from webapp.pages.views import Pages
from webapp.rekognition.access import SignedAccess
from webapp.rekognition.operations import Operations as RekognitionOperations
from webapp.rekognition.view import RekognitionView, is_rekognition
from webapp.services.collections import CollectionService
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.faces import FaceService
from webapp.services.keys import ApiKeys
from webapp.services.metrics import WebMetrics
from webapp.services.people import PeopleService, WorkerRequests
from webapp.services.recognition import RecognitionService
from webapp.services.task_client import ClientGone, TaskClient

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""Status nobody reads, for the log: the client hung up. nginx's number."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every response that does not set its own."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/internal/in-flight", "/internal/ledger"})
"""Paths that are asked every few seconds: logged at DEBUG."""

View = Callable[..., Response]


def create_app(settings: Settings, task_client: TaskClient) -> Flask:
    """The application; ``task_client`` is the process's only one."""
    app = Flask("webapp", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.largest_request
    storage = Storage(settings)
    recognition = RecognitionService(settings, task_client)
    photos = PhotoViews(settings, recognition, task_client)
    workers = WorkerRequests(storage.state, task_client)
    people_service = PeopleService(EnrolledPeople(storage.state), workers)
    people = PeopleViews(settings, people_service, recognition, task_client)
    keys = ApiKeys(storage.state)
    access = Access(settings, keys)
    operations_of_rekognition = RekognitionOperations(
        settings,
        people_service,
        FaceService(workers),
        CollectionService(storage.state, people_service.enrolled, workers),
    )
    rekognition = RekognitionView(
        settings,
        operations_of_rekognition,
        recognition,
        task_client,
        SignedAccess(access, keys).authorize,
    )
    v1 = routes_v1(settings, storage.state, people_service, workers, recognition, task_client)
    operations = Operations(settings, task_client)
    pages, status = Pages(settings), Status(settings, task_client)
    # "//Nobody" is a name: never another address, and no address a request is sent on to.
    app.url_map.merge_slashes = False
    scopes = _add_routes(app, photos, rekognition, people, operations, pages, status, v1)
    access.warn()
    app.before_request(_begin)
    app.before_request(lambda: _admit(access, scopes))
    app.after_request(lambda response: _end(response, task_client.metrics))
    app.register_error_handler(Exception, _failed)
    return app


def _add_routes(
    app: Flask,
    photos: PhotoViews,
    rekognition: RekognitionView,
    people: PeopleViews,
    operations: Operations,
    pages: Pages,
    status: Status,
    v1: list[tuple[str, str, View, str | None]],
) -> dict[str, str]:
    """Adds the routes; returns the scope each one needs, by the name of its endpoint."""
    routes: list[tuple[str, str, View, str | None]] = [
        ("POST", "/", rekognition.or_else(photos.recognize), "recognize"),
        ("GET", "/results/<task_id>", photos.result, "recognize"),
        ("DELETE", "/results/<task_id>", photos.cancel, "recognize"),
        ("GET", "/results/<task_id>/<picture>", photos.picture, "recognize"),
        ("GET", "/people", people.listing, "people:read"),
        ("POST", "/people", people.enrol, "people:write"),
        ("PATCH", "/people/<path:name>", people.rename, "people:write"),
        ("DELETE", "/people/<path:name>", people.forget, "people:write"),
        ("GET", "/people/<path:name>/photos/<int:number>", people.photo, "people:read"),
        ("POST", "/people/<path:name>/verify", people.verify, "recognize"),
        ("GET", "/healthz", operations.healthz, None),
        ("GET", "/readyz", operations.readyz, None),
        ("GET", "/openapi.json", operations.description, None),
        ("GET", "/metrics", operations.metrics, "operate"),
        ("GET", "/internal/in-flight", operations.in_flight, "operate"),
        ("GET", "/internal/ledger", operations.in_flight, "operate"),  # deprecated in 0.2.0
        ("GET", "/", pages.photos, None),
        ("GET", "/who", pages.people, None),
        ("GET", "/status", pages.status, None),
        ("GET", "/status/events", status.events, "operate"),
        ("GET", "/privacy", pages.privacy, None),
        ("GET", "/static/<name>", pages.static, None),
        *v1,
    ]
    scopes = {}
    for method, path, view, scope in routes:
        endpoint = f"{method} {path}".replace(".", "-")
        app.add_url_rule(path, endpoint, view, methods=[method])
        if scope is not None:
            scopes[endpoint] = scope
    return scopes


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    logs.request_id.set(given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
    g.began = time.monotonic()


def _admit(access: Access, scopes: dict[str, str]) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key")
    scope = scopes.get(request.endpoint or "")
    if request.method != "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        # Any page of the web may make a browser send a form to a service on its user's machine.
        raise Problem("cross-site", "pages of other sites may not ask this")
    if is_rekognition():  # its view looks at the signature, which is of the body too
        return
    key = access.admit(scope, given or None, request.remote_addr or "0.0.0.0", time.monotonic())  # noqa: S104 - no address we bind to
    g.client = key.id if key else ""
    collection = (request.view_args or {}).get("collection", DEFAULT)
    if key is not None and scope not in (None, "operate") and not key.reaches(collection):
        raise Problem("scope-missing", f"this key is not good for collection {collection}")


def _end(response: Response, metrics: WebMetrics) -> Response:
    response.headers["X-Request-ID"] = logs.request_id.get()
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if "task_id" in g:
        response.headers["X-Task-ID"] = g.task_id
    took = time.monotonic() - g.began
    route = request.url_rule.rule if request.url_rule else "none"
    metrics.requests.labels(route, str(response.status_code), g.get("outcome", "ok")).inc()
    metrics.request_seconds.labels(route).observe(took)
    # The route, not the path: that may hold a person's name, or a line break.
    level = logging.DEBUG if route in _QUIET else logging.INFO
    log.log(level, "%s %s %d %.3f s", request.method, route, response.status_code, took)
    return response


def _failed(error: Exception) -> Response:
    if isinstance(error, ClientGone):
        return Response(status=CLIENT_GONE)
    found = errors.of_exception(error) or _of_flask(error)
    if found.status >= 500:
        log.warning("%s: %s", found.code, error)
    return rendering.problem(found)


def _of_flask(error: Exception) -> Problem:
    if isinstance(error, RequestEntityTooLarge):
        return Problem("too-large", "the request has more bytes than allowed")
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.code or 500, "bad-request")
        headers = {k: v for k, v in error.get_headers() if k == "Allow"}
        return Problem(code, (error.description or code).splitlines()[0], headers=headers)
    return errors.internal(error)
