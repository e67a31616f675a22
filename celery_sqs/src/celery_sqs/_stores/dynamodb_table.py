"""Celery's DynamoDB backend with a table that any number of processes may be the first to need.

Celery's own gives a table that it creates one read and one write a second, fails in all processes
but one when several create it, and does not wait for one that another is creating.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import ClientError
from celery.backends.dynamodb import DynamoDBBackend

from celery_sqs._aws.client import error_code

POLL, POLLS = 0.2, 300
"""Seconds between looks at a table that becomes active, and how many."""
CAPACITY = {"read", "write"}
"""Parameters of the URL that ask for provisioned capacity."""


class SharedTableBackend(DynamoDBBackend):
    """Creates its table on demand unless its URL has ``read`` or ``write``."""

    def _get_table_schema(self) -> Any:
        schema = super()._get_table_schema()
        if not CAPACITY & parse_qs(urlsplit(self.url or "").query).keys():
            del schema["ProvisionedThroughput"]
            schema["BillingMode"] = "PAY_PER_REQUEST"
        return schema

    def _get_or_create_table(self) -> Any:
        """Its description once it is active. Raises botocore's errors.

        Only the table's creation needs permission for it.
        """
        try:
            found = self._client.describe_table(TableName=self.table_name)
            if found["Table"]["TableStatus"] in ("ACTIVE", "UPDATING"):
                return found
        except self._client.exceptions.ResourceNotFoundException:
            # Another process may be faster.
            with suppress(self._client.exceptions.ResourceInUseException):
                self._client.create_table(**self._get_table_schema())
        self._client.get_waiter("table_exists").wait(
            TableName=self.table_name, WaiterConfig={"Delay": POLL, "MaxAttempts": POLLS}
        )
        return self._client.describe_table(TableName=self.table_name)

    def _set_table_ttl(self) -> Any:
        try:
            return super()._set_table_ttl()
        except ClientError as error:
            if error_code(error) != "ValidationException":
                raise
            found = self._get_table_ttl_description()["TimeToLiveDescription"]
            if found["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):  # not by another process
                raise
            return found
