"""Pictures in, names out. Knows nothing of AWS or Celery."""
