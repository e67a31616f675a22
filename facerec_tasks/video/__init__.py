"""Videos in, people with their times out. Knows nothing of AWS or Celery, like ``recognition``."""
