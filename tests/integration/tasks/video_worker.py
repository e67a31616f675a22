"""The worker as it is, with eyes that write down every look and take their time over it.

``FACEREC_TEST_LOOKS`` names the file of looks, ``FACEREC_TEST_PAUSE`` the seconds of one more.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.tasks import video
from facerec_tasks.worker import app

really = Recognizer.detect


def detect(self: Recognizer, rgb: Any) -> Any:
    with Path(os.environ["FACEREC_TEST_LOOKS"]).open("a") as looks:
        looks.write(f"{os.getpid()}\n")
    time.sleep(float(os.environ["FACEREC_TEST_PAUSE"]))
    return really(self, rgb)


Recognizer.detect = detect  # type: ignore[method-assign]
video.CHECKPOINT = 0.5
video.PROGRESS = 0.2

if __name__ == "__main__":
    app.worker_main(["worker", "--loglevel", "INFO", "--concurrency", "1", *sys.argv[1:]])
