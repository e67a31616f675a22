"""Celery's settings: names and values from :mod:`facerec_tasks.settings`, no logic."""

from facerec_tasks.settings import MAX_REQUEST_BYTES, get_settings

_settings = get_settings()

broker_url = "sqs://"
broker_transport = "celery_sqs:Transport"
broker_transport_options = {
    "region": _settings.region,
    "endpoint_url": _settings.endpoint_url,
    "namespace": _settings.id,
    "wait_time_seconds": _settings.poll_seconds,
    "visibility_timeout": _settings.visibility_timeout,
    "backoff": (2, _settings.max_backoff),
    "max_message_size": MAX_REQUEST_BYTES,
    "max_extension": 2 * max(_settings.task_time_limit, _settings.video_time_limit)
    + _settings.visibility_timeout,
}
broker_connection_retry_on_startup = True
broker_pool_limit = 50  # threads of the web tier that may send at once: their tasks share calls

result_backend = "celery_sqs:ResponseQueueBackend"
result_backend_thread_safe = True  # one backend for all waiting threads, not one per thread
result_backend_transport_options = {
    "region": _settings.region,
    "endpoint_url": _settings.endpoint_url,
    "response_queue": _settings.response_queue,
    "wait_time_seconds": _settings.poll_seconds,
    "cleanup_prefix": f"{_settings.id}-",
    "machine": _settings.machine,
    "state_dir": str(_settings.state_dir),
}
result_expires = None

imports = ("facerec_tasks.tasks",)
task_default_queue = _settings.request_queue
task_create_missing_queues = False
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
task_send_sent_event = True

task_acks_late = True  # deleted only after the record is written and the reply is sent
task_reject_on_worker_lost = True
task_acks_on_failure = False
task_acks_on_timeout = False
task_time_limit = _settings.task_time_limit

worker_concurrency = _settings.concurrency
worker_prefetch_multiplier = 1
worker_lost_wait = 1  # seconds until the task of a killed child goes back to the queue
worker_send_task_events = True
worker_hijack_root_logger = False
