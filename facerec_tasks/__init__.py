"""The Celery application of facerec. Imports nothing: each process takes only what it needs."""
