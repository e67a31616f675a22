"""The routes: address, view, and what the gate must know of each."""

from collections.abc import Callable

from flask import Flask, Response

from facerec_tasks.settings import Settings
from webapp.http.gate import SMALL_BODY, Route
from webapp.http.operations import OperatorRoutes
from webapp.http.people import PeopleViews
from webapp.http.views import PhotoViews
from webapp.pages.status import Status
from webapp.pages.views import Pages
from webapp.rekognition.view import RekognitionView

View = Callable[..., Response]


def add_routes(
    app: Flask,
    settings: Settings,
    photos: PhotoViews,
    rekognition: RekognitionView,
    people: PeopleViews,
    operations: OperatorRoutes,
    pages: Pages,
    status: Status,
    v1: list[tuple[str, str, View, str | None]],
) -> dict[str, Route]:
    """Adds the routes; returns what the gate must know, by endpoint."""
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
        ("GET", "/healthz", operations.healthz, public),
        ("GET", "/readyz", operations.readyz, public),
        ("GET", "/openapi.json", operations.description, public),
        ("GET", "/metrics", operations.metrics, figures),
        ("GET", "/internal/in-flight", operations.in_flight, figures),
        ("GET", "/internal/ledger", operations.in_flight, figures),  # deprecated in 0.2.0
        ("GET", "/", pages.photos, public),
        ("GET", "/who", pages.people, public),
        ("GET", "/history", pages.history, public),
        ("GET", "/status", pages.status, public),
        ("GET", "/status/events", status.events, live),
        ("GET", "/privacy", pages.privacy, public),
        ("GET", "/static/<name>", pages.static, public),
    ]
    table += [
        (method, path, view, _of_v1(settings, method, scope)) for method, path, view, scope in v1
    ]
    routes = {}
    for method, path, view, route in table:
        endpoint = f"{method} {path}".replace(".", "-")
        app.add_url_rule(path, endpoint, view, methods=[method])
        routes[endpoint] = route
    return routes


def _of_v1(settings: Settings, method: str, scope: str | None) -> Route:
    if method != "POST":
        return Route(scope)
    return Route(scope, settings.max_request_bytes, is_upload=True)
