"""The web application: Flask, the gate before it, and what surrounds every request."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, Response, g, request

from facerec_tasks import logs, tracing
from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from webapp.http import errors, health, rendering
from webapp.http.access import Access
from webapp.http.access_log import AccessLog
from webapp.http.frontend import Frontend
from webapp.http.gate import Gate
from webapp.http.health import OperatorRoutes
from webapp.http.request_head import RequestHead
from webapp.http.routes import add_routes
from webapp.http.spool import Spool
from webapp.http.worker_views import full
from webapp.rekognition.access import SignedAccess
from webapp.rekognition.operations import Operations as RekognitionOperations
from webapp.rekognition.view import RekognitionView
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.keys import ApiKeys
from webapp.services.task_client import ClientGone, TaskClient
from webapp.services.worker_requests import WorkerRequests

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""Status for the log alone: the client hung up. nginx's number."""

UNTRACED = "healthz,readyz,metrics,status/events,static/"
"""Regular expressions of addresses whose requests get no trace."""


class WebApplication:
    """Flask and everything around it; one per process."""

    def __init__(self, settings: Settings, task_client: TaskClient) -> None:
        """``task_client`` is the process's only one."""
        self._settings = settings
        self._task_client = task_client
        self.spool = Spool(settings)
        self.access_log = AccessLog(task_client.metrics)
        self.flask = Flask("webapp", static_folder=None)
        self.flask.url_map.merge_slashes = False  # a name may begin with a slash
        self.flask.config["MAX_CONTENT_LENGTH"] = settings.largest_request
        storage = Storage(settings)
        workers = WorkerRequests(storage.state, task_client)
        enrolled = EnrolledPeople(storage.state)
        keys = ApiKeys(storage.state)
        access = Access(settings, keys)
        signed = SignedAccess(access, keys)
        rekognition = RekognitionView(
            settings,
            RekognitionOperations(settings, enrolled, workers),
            task_client,
            signed.authorize,
        )
        routes = add_routes(
            self.flask,
            settings,
            storage,
            enrolled,
            workers,
            task_client,
            rekognition,
            OperatorRoutes(settings, task_client, self.spool),
        )
        access.warn()
        urls = self.flask.url_map
        self._gate = Gate(
            settings,
            access,
            urls,
            routes,
            is_full=lambda: full(task_client),
            expect_signed=lambda head: signed.expect(
                head, rekognition.scope_of(head.headers["x-amz-target"])
            ),
        )
        self._admin_gate = Gate(settings, access, urls, routes, admin=True)
        self.flask.before_request(_begin)
        self.flask.after_request(_end)
        self.flask.register_error_handler(Exception, _failed)
        if tracing.configure("web"):
            from opentelemetry.instrumentation.flask import FlaskInstrumentor

            FlaskInstrumentor.instrument_app(  # type: ignore[no-untyped-call]
                self.flask, excluded_urls=UNTRACED
            )

    def frontend(self, threads: int, *, admin: bool = False) -> Frontend:
        """The ASGI application of the public port, or of the operators', with that many threads at
        most. They are started when needed, one for each request that waits."""
        in_flight = self._task_client.in_flight

        def report(_: RequestHead) -> tuple[str, bytes]:
            return "application/json", json.dumps(in_flight.report()).encode()

        return Frontend(
            self.flask,
            self._admin_gate if admin else self._gate,
            self.spool,
            ThreadPoolExecutor(threads, thread_name_prefix="request"),
            self.access_log.observe,
            direct={
                "/healthz": health.alive,
                "/internal/in-flight": report,
                "/internal/ledger": report,
            },
            trusted=self._settings.trusted_proxies,
            prefix=self._settings.url_prefix,
        )


def _begin() -> None:
    rendering.url_prefix.set(request.script_root)
    logs.request_id.set(request.environ["facerec.request_id"])
    g.client = request.environ["facerec.admission"].key_id


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = logs.request_id.get()
    if "task_id" in g:
        response.headers["X-Task-ID"] = g.task_id
    request.environ["facerec.outcome"] = g.get("outcome", "ok")
    return response


def _failed(error: Exception) -> Response:
    if isinstance(error, ClientGone):
        return Response(status=CLIENT_GONE)
    found = errors.of_exception(error)
    if found.status >= 500:
        log.warning("%s: %s", found.code, error)
    return rendering.problem(found)
