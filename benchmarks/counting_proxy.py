"""Passes calls of AWS on and counts them by service and kind, such as ``sqs.SendMessage``."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from celery_sqs.testing import FaultProxy
from celery_sqs.testing.fault_proxy import action_of

_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/(\w+)/aws4_request")


class CountingProxy(FaultProxy):
    """``counted`` are the calls that were passed on."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.counted: Counter[str] = Counter()

    def forward(self, request: BaseHTTPRequestHandler, body: bytes, cut: bool = False) -> None:
        self.counted[name_of(request, body)] += 1
        super().forward(request, body, cut)


def name_of(request: BaseHTTPRequestHandler, body: bytes) -> str:
    """Service and kind of a call; of S3's, what its method does to an object."""
    action = action_of(request, body)
    if action.startswith("s3."):
        return "s3.ListObjects" if action == "s3.LIST" else f"s3.{request.command.title()}Object"
    service = _SERVICE.search(request.headers.get("Authorization", ""))
    return f"{service[1] if service else '?'}.{action}"


@contextmanager
def counting_proxy(target: str) -> Iterator[CountingProxy]:
    """One that runs as long as the block."""
    proxy = CountingProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
