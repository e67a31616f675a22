"""Celery adapted to SQS: knows nothing of faces; any Celery project could use it."""
