"""The engine keeps to itself."""

import os
import subprocess
import sys
from pathlib import Path


def test_session_has_no_telemetry_and_writes_no_files(tmp_path: Path) -> None:
    """ONNX Runtime would write a session file and a device id, and send what it counted."""
    places = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    given = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", "import facerec_tasks.recognition.session"],
        env={**given, **places},
        check=True,
        timeout=60,
    )
    assert list(tmp_path.rglob("*")) == []
