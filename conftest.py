"""Makes pytest know ``celery_sqs`` as the installed package, not as the folder of that name."""

import celery_sqs  # noqa: F401
