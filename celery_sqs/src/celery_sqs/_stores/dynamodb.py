"""DynamoDB: the marks of a chord are a string set in one item, changed by atomic updates."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from celery_sqs._aws.client import error_code

READ_AT_ONCE = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""
PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between reads of what DynamoDB left unprocessed, doubling."""
READ_TIMEOUT = 60.0
MARKS = "marks"


class DynamoDBDriver:
    """Around :class:`celery.backends.dynamodb.DynamoDBBackend`, in its table.

    Items expire with the table's time to live, if the backend has one.
    """

    def __init__(self, backend: Any, prefix: str) -> None:
        self._backend = backend
        self._client = backend.client
        self._table = backend.table_name
        self._key_name = backend._key_field.name
        self._prefix = prefix

    def read_many(self, keys: Sequence[Any]) -> list[Any]:
        found: dict[str, Any] = {}
        wanted = [str(key) for key in keys]  # as the backend itself writes them
        for first in range(0, len(wanted), READ_AT_ONCE):
            for item in self._read_batch(wanted[first : first + READ_AT_ONCE]):
                value = self._backend._item_to_dict({"Item": item})
                key = item[self._key_name]["S"]
                found[key] = value[self._backend._value_field.name]
        return [found.get(key) for key in wanted]

    def _read_batch(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            self._table: {
                "Keys": [{self._key_name: {"S": key}} for key in keys],
                "ConsistentRead": True,
            }
        }
        pause, deadline = PAUSE, time.monotonic() + READ_TIMEOUT
        while request:
            answer = self._client.batch_get_item(RequestItems=request)
            yield from answer.get("Responses", {}).get(self._table, ())
            request = answer.get("UnprocessedKeys", {})
            if request and time.monotonic() > deadline:
                raise TimeoutError(f"DynamoDB left keys unread for {READ_TIMEOUT:.0f} s")
            if request:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def add(self, chord: str, mark: str) -> set[str]:
        answer = self._update(chord, mark, ReturnValues="ALL_NEW")
        return _marks(answer.get("Attributes", {}))

    def create(self, chord: str, mark: str) -> bool:
        try:
            self._update(
                chord,
                mark,
                ConditionExpression="attribute_not_exists(#marks) OR NOT contains(#marks, :text)",
                values={":text": {"S": mark}},
            )
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def marks(self, chord: str) -> set[str]:
        answer = self._client.get_item(
            TableName=self._table, Key=self._key(chord), ConsistentRead=True
        )
        return _marks(answer.get("Item", {}))

    def remove(self, chord: str, marks: Iterable[str]) -> None:
        gone = list(marks)
        if gone:
            self._client.update_item(
                TableName=self._table,
                Key=self._key(chord),
                UpdateExpression="DELETE #marks :marks",
                ExpressionAttributeNames={"#marks": MARKS},
                ExpressionAttributeValues={":marks": {"SS": gone}},
            )

    def decide(self, chord: str, question: str, answer: str) -> str:
        found = self._client.update_item(
            TableName=self._table,
            Key=self._key(chord),
            UpdateExpression="SET #question = if_not_exists(#question, :answer)",
            ExpressionAttributeNames={"#question": question},
            ExpressionAttributeValues={":answer": {"S": answer}},
            ReturnValues="ALL_NEW",
        )
        return str(found["Attributes"][question]["S"])

    def clear(self, chord: str) -> None:
        self._client.delete_item(TableName=self._table, Key=self._key(chord))

    def _update(
        self, chord: str, mark: str, values: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        expression = "ADD #marks :mark"
        names, known = {"#marks": MARKS}, {":mark": {"SS": [mark]}, **(values or {})}
        if self._backend._has_ttl():
            expression += " SET #ttl = :ttl"
            names["#ttl"] = self._backend._ttl_field.name
            known[":ttl"] = {"N": str(int(time.time() + self._backend.time_to_live_seconds))}
        return self._client.update_item(
            TableName=self._table,
            Key=self._key(chord),
            UpdateExpression=expression,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=known,
            **options,
        )

    def _key(self, chord: str) -> dict[str, Any]:
        return {self._key_name: {"S": f"{self._prefix}{chord}"}}


def _marks(item: dict[str, Any]) -> set[str]:
    return set(item.get(MARKS, {}).get("SS", ()))
