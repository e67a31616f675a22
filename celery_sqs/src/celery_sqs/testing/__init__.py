"""For tests on an emulated AWS: a moto server nearer to SQS, and a proxy that spoils its answers.

Needs the extra ``celery-sqs[testing]``.
"""

from celery_sqs.testing.fault_proxy import FaultProxy, often
from celery_sqs.testing.server import emulated_aws, isolated

__all__ = ["FaultProxy", "emulated_aws", "isolated", "often"]
