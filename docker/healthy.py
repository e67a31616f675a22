"""healthy.py URL | FILE: whether the URL answers 200, or the file was touched a minute ago at most.

Names of the environment are replaced: ``http://127.0.0.1:$PORT/healthz``.
"""

import os
import sys
import time
import urllib.request

OLDEST = 60.0
"""Seconds since a process showed that its main loop turns: facerec_tasks/heartbeat_file.py."""
TIMEOUT = 4.0

place = os.path.expandvars(sys.argv[1])
if place.startswith("http://"):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(place, timeout=TIMEOUT).close()
else:
    age = time.time() - os.stat(place).st_mtime
    if age > OLDEST:
        sys.exit(f"{place} was touched {age:.0f} s ago")
