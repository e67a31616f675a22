"""Translates AWS errors into exceptions that Celery handles."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from celery_sqs._aws.client import may_pass
from celery_sqs.errors import BrokerUnavailable, SendFailed


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turns failures that pass into :class:`.errors.BrokerUnavailable`; others are raised as is."""
    try:
        yield
    except SendFailed as error:
        if error.sender_fault:
            raise
        raise BrokerUnavailable(str(error)) from error
    except KeyError as error:
        # What botocore's parser of SNS's XML raises for an answer that is not AWS's, such as the
        # page of a proxy. For SQS's JSON it has an error of its own, which Celery survives.
        raise BrokerUnavailable(f"unintelligible answer: {error!r}") from error
    except (BotoCoreError, ResponseParserError) as error:
        raise BrokerUnavailable(str(error)) from error
    except ClientError as error:
        if may_pass(error):
            raise BrokerUnavailable(str(error)) from error
        raise
