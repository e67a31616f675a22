"""Processes end with the one that started them, however it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

from local.processes.child import Child

Wait = Callable[..., None]
SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def descendants() -> list[str]:
    """Command lines of our own children, dead ones left out."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode())
    return found


def test_a_child_dies_when_its_parent_is_killed(tmp_path: Path, eventually: Wait) -> None:
    script = textwrap.dedent(f"""
        import time
        from local.processes.child import Child
        print(Child({SLEEP!r}).pid, flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not alive(child), within=5)


def test_a_child_whose_parent_has_ended_already_does_not_start() -> None:
    script = Path(sys.modules["local.processes.child"].__file__ or "").with_name(
        "parent_death_signal.py"
    )
    late = subprocess.run(
        [sys.executable, "-I", "-S", script, "1", "true"], capture_output=True, check=False
    )
    assert late.returncode != 0
    assert b"has ended" in late.stderr


def test_killing_a_child_ends_its_own_children(tmp_path: Path, eventually: Wait) -> None:
    note = tmp_path / "pid"
    child = Child((sys.executable, "-c", FAMILY, str(note)))
    eventually(lambda: note.exists() and note.read_text())
    grandchild = int(note.read_text())
    child.kill()
    assert not alive(child.pid)
    eventually(lambda: not alive(grandchild), within=5)


def test_what_a_dead_child_left_behind_is_ended_as_well(tmp_path: Path, eventually: Wait) -> None:
    note = tmp_path / "pid"
    child = Child((sys.executable, "-c", FAMILY, str(note)))
    eventually(lambda: note.exists() and note.read_text())
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(5)
    grandchild = int(note.read_text())
    assert alive(grandchild)
    child.kill()
    eventually(lambda: not alive(grandchild), within=5)


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    child = Child((sys.executable, "-c", f"{deaf}; time.sleep(60)"), stdout=subprocess.PIPE)
    assert child.first_line(10) == "1"
    began = time.monotonic()
    child.end(grace=0.3)
    assert child.exit_code == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < 3


def test_a_child_does_not_inherit_that_sigint_is_ignored() -> None:
    asked = "import signal; print(signal.getsignal(2) is signal.SIG_IGN)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    try:
        child = Child((sys.executable, "-c", asked), stdout=subprocess.PIPE)
        assert child.first_line(10) == "False"
    finally:
        signal.signal(signal.SIGINT, before)
    child.end(grace=1)


def test_a_signal_during_the_start_leaves_no_child_behind() -> None:
    """Whenever it comes: the child is known, or it is dead."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGHUP, interrupt)
    known = []
    try:
        for step in range(40):
            late = threading.Timer(step * 0.0002, os.kill, (os.getpid(), signal.SIGHUP))
            try:
                late.start()
                known.append(Child(SLEEP))
                late.join()
                time.sleep(0.05)
            except Interrupted:
                continue
    finally:
        signal.signal(signal.SIGHUP, before)
        for child in known:
            child.kill()
    assert not [p for p in descendants() if "time.sleep(60)" in p]


def test_missing_executable_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(("/no/such/command",), log=log)
    assert child.wait(10)
    child.kill()
    assert log.read_text() == "cannot run /no/such/command: No such file or directory\n"
