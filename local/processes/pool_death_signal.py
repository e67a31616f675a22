"""``celery worker --include local.processes.pool_death_signal``: children die with the worker.

Without it, a worker that is killed with -9 leaves its prefork children behind. On AWS the machine's
service manager sees to that.
"""

import os
from typing import Any

from celery.signals import worker_process_init

from local.processes.parent_death_signal import tie_to_parent

_worker = os.getpid()  # this module is imported by the worker, before it forks its pool


@worker_process_init.connect
def _tie(**_: Any) -> None:
    tie_to_parent(_worker)
