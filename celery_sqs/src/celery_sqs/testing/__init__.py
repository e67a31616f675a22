"""For tests on an emulated AWS: a moto server nearer to SQS, a proxy that spoils its answers, and
workers that start at once.

Needs the extra ``celery-sqs[testing]``.
"""

from celery_sqs.testing.fault_proxy import FaultProxy, often
from celery_sqs.testing.forks import ForkedProcess, PythonForks
from celery_sqs.testing.server import emulated_aws, isolated

__all__ = ["FaultProxy", "ForkedProcess", "PythonForks", "emulated_aws", "isolated", "often"]
