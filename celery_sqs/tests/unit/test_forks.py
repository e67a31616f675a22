"""Programs forked from a process with their modules: as if started by ``python``."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery_sqs.testing import PythonForks

SHOW = "import os, sys; print(sys.argv, sys.path[0], os.environ['NAME'], __name__)"


@pytest.fixture(scope="module")
def forks() -> Iterator[PythonForks]:
    made = PythonForks("kombu.message")
    yield made
    made.end()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_code_module_and_file_are_run(forks: PythonForks, tmp_path: Path, log: Path) -> None:
    (tmp_path / "shows.py").write_text(SHOW)
    environment = {"NAME": "worth", "PYTHONPATH": str(tmp_path)}
    for arguments in (["-c", SHOW], ["-m", "shows"], [str(tmp_path / "shows.py")]):
        process = forks.start([*arguments, "a", "b"], environment, log)
        assert process.wait(20)
        assert process.exit_code == 0
    file = tmp_path / "shows.py"
    assert log.read_text().splitlines() == [
        f"['-c', 'a', 'b'] {os.getcwd()} worth __main__",
        f"['{file}', 'a', 'b'] {os.getcwd()} worth __main__",
        f"['{file}', 'a', 'b'] {tmp_path} worth __main__",
    ]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("import sys; sys.exit(3)", 3), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 9)", -9)],
)
def test_exit_code(forks: PythonForks, log: Path, code: str, exit_code: int) -> None:
    process = forks.start(["-c", code], os.environ, log)
    assert process.wait(20)
    assert process.exit_code == exit_code


def test_modules_are_imported_before(forks: PythonForks, log: Path) -> None:
    code = "import sys; sys.exit('kombu.message' not in sys.modules)"
    process = forks.start(["-c", code], os.environ, log)
    assert process.wait(20)
    assert process.exit_code == 0


def test_signal_and_end(forks: PythonForks, log: Path) -> None:
    process = forks.start(["-c", "import time; time.sleep(60)"], os.environ, log)
    assert not process.wait(0.1)
    assert os.getsid(process.pid) == process.pid
    process.end(grace=20)
    assert process.exit_code == -signal.SIGTERM
    process.signal(signal.SIGTERM)  # of a process that has ended: nothing


def test_process_beyond_the_file_descriptors_of_select(forks: PythonForks, log: Path) -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    try:
        process = forks.start(["-c", "pass"], os.environ, log)
        assert process.wait(20)
    finally:
        for one in held:
            os.close(one)
