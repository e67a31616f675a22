"""Runs the integration suites that Celery and kombu test themselves with, on Redis and on SQS."""
