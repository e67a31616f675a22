"""Celery's DynamoDB backend with a table that any number of processes may be the first to need.

Celery's own gives a table that it creates one read and one write a second, fails in all processes
but one when several create it, and does not wait for one that another is creating.
"""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import ClientError
from celery.backends.dynamodb import DynamoDBBackend

ACTIVE_TIMEOUT = 60.0
POLL = 0.2
CAPACITY = {"read", "write"}
"""Parameters of the URL that ask for provisioned capacity."""


class SharedTableBackend(DynamoDBBackend):
    """Creates its table on demand unless its URL has ``read`` or ``write``."""

    def __init__(self, url: str | None = None, *args: Any, **kwargs: Any) -> None:
        self._provisioned = bool(CAPACITY & parse_qs(urlsplit(url or "").query).keys())
        super().__init__(url, *args, **kwargs)

    def _get_table_schema(self) -> Any:
        schema = super()._get_table_schema()
        if not self._provisioned:
            del schema["ProvisionedThroughput"]
            schema["BillingMode"] = "PAY_PER_REQUEST"
        return schema

    def _get_or_create_table(self) -> Any:
        """Its description once it is active. Raises botocore's errors, and :class:`TimeoutError`.

        Only the table's creation needs permission for it.
        """
        try:
            found = self._describe()
            if found is None:
                self._client.create_table(**self._get_table_schema())
        except ClientError as error:
            if _code(error) != "ResourceInUseException":  # another process was faster
                raise
            found = None
        deadline = time.monotonic() + ACTIVE_TIMEOUT
        while found is None or found["Table"]["TableStatus"] not in ("ACTIVE", "UPDATING"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"DynamoDB table {self.table_name} does not become active")
            time.sleep(POLL)
            found = self._describe()
        return found

    def _describe(self) -> Any:
        try:
            return self._client.describe_table(TableName=self.table_name)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return None
            raise

    def _set_table_ttl(self) -> Any:
        try:
            return super()._set_table_ttl()
        except ClientError as error:
            if _code(error) != "ValidationException":
                raise
            found = self._get_table_ttl_description()["TimeToLiveDescription"]
            if found["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):  # not by another process
                raise
            return found


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))
