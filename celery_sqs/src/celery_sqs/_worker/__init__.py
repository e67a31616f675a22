"""What a Celery worker needs on SQS: bootsteps, pool, request, watchdog."""
