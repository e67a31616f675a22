"""Celery on SQS, complete: results, events, remote control and loss-free shutdown."""
