"""Checks of a request before its body is read: host, route, origin, key, rate, size."""

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT
from webapp.http.access import Access, is_loopback
from webapp.http.errors import Problem
from webapp.http.request_head import RequestHead
from webapp.rekognition.errors import CONTENT_TYPE, of_problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SMALL_BODY = 64 * 1024
"""Bytes of a form without files."""
REKOGNITION_TARGET = "RekognitionService."
REKOGNITION_BODY = 16 * 1024 * 1024
"""Bytes of a request of Rekognition's: two photos of 5 MB in base64, and room."""
UNLIMITED = frozenset({"/healthz", "/readyz"})
"""Routes that are never rate-limited: a load balancer asks them."""


@dataclass(frozen=True)
class Route:
    """What the gate must know of a route."""

    scope: str | None = None
    """``None``: no API key is needed."""
    max_body: int = SMALL_BODY
    is_upload: bool = False
    """Takes an admission slot."""
    is_operator: bool = False
    """Served without a key on the admin port."""
    is_page: bool = False
    """Of an operator's page, so it is served on the public port as other data is."""


@dataclass(frozen=True)
class Admission:
    """A request that may be read."""

    rule: str
    """Pattern of the route, such as ``/results/<task_id>``; ``none`` without one."""
    max_body: int
    key_id: str = ""


class Gate:
    """Decides in microseconds and without I/O once the keys are cached."""

    def __init__(
        self,
        settings: Settings,
        access: Access,
        urls: Map,
        routes: Mapping[str, Route],
        *,
        is_full: Callable[[], Problem | None] = lambda: None,
        expect_signed: Callable[[RequestHead], None] = lambda _: None,
        admin: bool = False,
    ) -> None:
        """``routes`` by endpoint; ``is_full`` is asked for each upload, ``expect_signed`` for each
        request of Rekognition's protocol; ``admin``: on the admin port, where no key is needed and
        hosts are not checked."""
        self._settings = settings
        self._access = access
        self._adapter = urls.bind("")
        self._routes = routes
        self._fixed: dict[tuple[str, str], tuple[Rule, Route, str]] = {}
        self._is_full = is_full
        self._expect_signed = expect_signed
        self._admin = admin
        self._hosts = {host.lower() for host in (*settings.public_hosts, socket.gethostname())}

    def admit(self, head: RequestHead) -> Admission:
        """Raises :class:`Problem` or, when the keys cannot be read, an ``AwsError``."""
        try:
            return self._admit(head)
        except Problem as problem:
            if is_rekognition(head):
                problem.foreign = (CONTENT_TYPE, of_problem(problem).body())
            raise

    def _admit(self, head: RequestHead) -> Admission:
        rule, route, collection = self._route(head)
        if rule.rule in UNLIMITED:
            return Admission(rule.rule, route.max_body)
        if self._admin and not route.is_operator:
            raise _nothing_here()
        key_id = "" if self._admin else self._check_client(head, route, collection)
        most = min(route.max_body, REKOGNITION_BODY) if is_rekognition(head) else route.max_body
        if (head.content_length or 0) > most:
            raise Problem("too-large", f"the request has more than {most} bytes")
        full = self._is_full() if route.is_upload else None
        if full is not None:
            raise full
        return Admission(rule.rule, most, key_id)

    def rule_of(self, head: RequestHead) -> str:
        """The route's pattern, for logs and metrics."""
        try:
            return self._route(head)[0].rule
        except Problem:
            return "none"

    def prefetch(self, head: RequestHead) -> Callable[[], None] | None:
        """As :meth:`.Access.prefetch`."""
        return None if self._admin else self._access.prefetch(head.token, head.access_key_id)

    def _route(self, head: RequestHead) -> tuple[Rule, Route, str]:
        known = self._fixed.get((head.path, head.method))
        if known is not None:
            return known
        try:
            rule, arguments = self._adapter.match(head.path, head.method, return_rule=True)
        except MethodNotAllowed as error:
            allowed = ", ".join(sorted(error.valid_methods or ()))
            raise Problem(
                "method-not-allowed", f"this address takes {allowed}", {"Allow": allowed}
            ) from error
        except (NotFound, RequestRedirect) as error:
            raise _nothing_here() from error
        collection = str(arguments.get("collection", DEFAULT))
        found = rule, self._routes.get(rule.endpoint, Route()), collection
        if not rule.arguments:  # so there are no more of them than routes
            self._fixed[head.path, head.method] = found
        return found

    def _check_client(self, head: RequestHead, route: Route, collection: str) -> str:
        open_ = route.scope is not None and not self._access.needs_key
        if open_ and head.forwarded and not self._access.is_public:
            raise Problem(
                "forwarded",
                "a proxy forwarded this request, but the service is open to this machine alone: "
                "set FACEREC_TRUSTED_PROXIES, and FACEREC_ACCESS=keys or open",
            )
        if open_ and self._access.is_public and route.is_operator and not route.is_page:
            raise Problem("scope-missing", "served on FACEREC_ADMIN_PORT alone")
        if open_ or self._settings.public_hosts:
            self._check_host(head.host)
        if head.method not in SAFE_METHODS or open_:
            self._check_origin(head)
        if is_rekognition(head):  # its view verifies the signature, which covers the body, too
            self._expect_signed(head)
            return ""  # nobody has shown yet to hold the secret
        key = self._access.admit(route.scope, head.token, head.client, time.monotonic())
        if key is not None and not route.is_operator and not key.reaches(collection):
            raise Problem("scope-missing", f"this key is not good for collection {collection}")
        return key.id if key else ""

    def _check_host(self, host: str) -> None:
        """Against DNS rebinding: a foreign name that resolves to this address is refused. An IP
        address is no name, and ``localhost`` resolves to no other machine."""
        name, harmless = _host_name(host)
        if harmless or name in self._hosts:
            return
        raise Problem("unknown-host", f"{name[:100]!r} is not in FACEREC_PUBLIC_HOSTS")

    def _check_origin(self, head: RequestHead) -> None:
        """Against cross-site request forgery: browsers send ``Origin`` with every request that
        changes something, also where they send no ``Sec-Fetch-Site`` (plain HTTP)."""
        origin = head.headers.get("origin")
        site = head.headers.get("sec-fetch-site", "none")
        # Scripts cannot set Sec-Fetch-Site, so where a browser sends it, it decides.
        foreign = origin is not None and site != "same-origin" and not _same_host(origin, head)
        if foreign or site not in ("same-origin", "none"):
            raise Problem("cross-site", "pages of other sites may not ask this")


def is_rekognition(head: RequestHead) -> bool:
    """Whether a request is one of Rekognition's protocol, which shares ``POST /``."""
    target = head.headers.get("x-amz-target", "")
    return head.method == "POST" and head.path == "/" and target.startswith(REKOGNITION_TARGET)


def _nothing_here() -> Problem:
    return Problem("not-found", "there is nothing at this address")


def _same_host(origin: str, head: RequestHead) -> bool:
    try:
        found = urlsplit(origin)
    except ValueError:  # a bracket without its other
        return False
    default = {"http": ":80", "https": ":443"}.get(found.scheme)
    if default is None:
        return False
    host = head.host.lower().removesuffix(default)
    return found.netloc.lower().removesuffix(default) == host


@lru_cache(maxsize=256)
def _host_name(host: str) -> tuple[str, bool]:
    """The name in a ``Host`` header, and whether no DNS server can say what it means."""
    try:
        found = urlsplit(f"//{host}").hostname if not host.startswith("/") else None
    except ValueError:  # a bracket without its other
        found = None
    name = (found or "").rstrip(".").lower()
    return name, is_loopback(name) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
