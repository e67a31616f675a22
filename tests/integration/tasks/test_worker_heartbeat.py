"""A real worker shows that it lives, and stops showing it when it hangs."""

import os
import signal
import sys
import time
from collections.abc import Callable

from facerec_tasks.heartbeat_file import EVERY, HeartbeatFile
from facerec_tasks.settings import Settings
from local.processes.child import Child


def test_a_worker_beats_until_it_hangs(
    resources: Settings, spawn: Callable[..., Child], eventually: Callable[..., None]
) -> None:
    worker = spawn(
        [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker", "-c", "1"],
        log="worker",
    )
    heartbeat = HeartbeatFile(resources.state_dir, "worker").path
    eventually(heartbeat.exists, within=60)
    os.utime(heartbeat, (0, 0))
    eventually(lambda: heartbeat.stat().st_mtime > 0, within=30)

    worker.signal(signal.SIGSTOP)
    os.utime(heartbeat, (0, 0))
    time.sleep(EVERY + 1)  # in which it would have beaten
    assert heartbeat.stat().st_mtime == 0
