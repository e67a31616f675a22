"""The web application: Flask, the gate before it, and what surrounds every request."""

import json
import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from facerec_tasks import logs, tracing
from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from webapp.http import errors, operations, rendering, request_head
from webapp.http.access import Access
from webapp.http.access_log import AccessLog
from webapp.http.errors import Problem
from webapp.http.frontend import Exchange, Frontend
from webapp.http.gate import Gate
from webapp.http.operations import OperatorRoutes
from webapp.http.refusals import SECURITY_HEADERS
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
        self.gate = Gate(
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
        self.flask.before_request(self._begin)
        self.flask.after_request(self._end)
        self.flask.register_error_handler(Exception, _failed)
        if tracing.configure("web"):
            _trace(self.flask)

    def frontend(self, threads: ThreadPoolExecutor) -> Frontend:
        """The ASGI application of the public port."""
        return self._frontend(self.gate, threads)

    def admin_frontend(self, threads: ThreadPoolExecutor) -> Frontend:
        """The ASGI application of the operators' port."""
        return self._frontend(self._admin_gate, threads)

    def _frontend(self, gate: Gate, threads: ThreadPoolExecutor) -> Frontend:
        in_flight = self._task_client.in_flight

        def report(_: RequestHead) -> tuple[str, bytes]:
            return "application/json", json.dumps(in_flight.report()).encode()

        return Frontend(
            self.flask,
            gate,
            self.spool,
            threads,
            self.access_log.observe,
            direct={
                "/healthz": operations.alive,
                "/internal/in-flight": report,
                "/internal/ledger": report,
            },
            trusted=self._settings.trusted_proxies,
            prefix=self._settings.url_prefix,
        )

    # Around each request that reaches Flask

    def _begin(self) -> None:
        environ = request.environ
        g.began = time.monotonic()
        rendering.url_prefix.set(request.script_root)
        admission = environ.get("facerec.admission")
        if admission is None:  # another WSGI server, or a test: nothing was decided before
            head = request_head.of_environ(environ)
            given = head.headers.get("x-request-id", "")
            valid = rendering.REQUEST_ID.fullmatch(given)
            logs.request_id.set(given if valid else uuid.uuid4().hex)
            admission = self.gate.admit(head)
        else:
            logs.request_id.set(environ["facerec.request_id"])
        g.client = admission.key_id

    def _end(self, response: Response) -> Response:
        response.headers["X-Request-ID"] = logs.request_id.get()
        if "task_id" in g:
            response.headers["X-Task-ID"] = g.task_id
        request.environ["facerec.outcome"] = g.get("outcome", "ok")
        if "facerec.admission" not in request.environ:  # else the frontend does both, faster
            for name, value in SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
            self._observe(response)
        return response

    def _observe(self, response: Response) -> None:
        head = request_head.of_environ(request.environ)
        exchange = Exchange(head, logs.request_id.get(), g.began)
        exchange.rule = request.url_rule.rule if request.url_rule else "none"
        exchange.status, exchange.outcome = response.status_code, g.get("outcome", "ok")
        exchange.key_id = g.get("client", "")
        self.access_log.observe(exchange)


def _failed(error: Exception) -> Response:
    if isinstance(error, ClientGone):
        return Response(status=CLIENT_GONE)
    found = errors.of_exception(error) or _of_flask(error)
    if found.status >= 500:
        log.warning("%s: %s", found.code, error)
    return rendering.problem(found)


def _trace(app: Flask) -> None:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    FlaskInstrumentor.instrument_app(app, excluded_urls=UNTRACED)  # type: ignore[no-untyped-call]


def _of_flask(error: Exception) -> Problem:
    if isinstance(error, RequestEntityTooLarge):
        return Problem("too-large", "the request has more bytes, or more fields, than allowed")
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.code or 500, "bad-request")
        headers = {k: v for k, v in error.get_headers() if k == "Allow"}
        return Problem(code, (error.description or code).splitlines()[0].rstrip("."), headers)
    return errors.internal(error)
