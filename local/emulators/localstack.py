"""LocalStack on this machine, without Docker, in a virtual environment of its own.

``python -m local.emulators.localstack COMMAND...`` runs a command with ``FACEREC_TEST_ENDPOINT``
naming a LocalStack that lives as long as the command. It needs Python 3.12 or newer, ours may be
older: without one the command is skipped, says so, and that is no failure.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery_sqs.testing.server import HOST, isolated

from facerec_tasks.errors import ConfigurationError
from local.processes.child import Child
from local.processes.ports import free_port
from local.processes.readiness import answers, is_up

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements" / "localstack.txt"
ENVIRONMENT = ROOT / ".venv-localstack"
OLDEST, NEWEST = 12, 14
"""Minor versions of Python 3 that may run it, tried from the newest known to work."""
SERVICES = ("sqs", "sns", "s3", "ec2", "iam", "sts", "cloudformation", "cloudwatch", "logs", "ssm")
START_TIMEOUT = 120.0
"""Seconds; it takes about six on an idle machine."""
INSTALL_TIMEOUT = 900.0


class Missing(ConfigurationError):
    """Raised when no Python on this machine can run LocalStack."""


def interpreter() -> Path:
    """A Python 3.12 or newer: ``LOCALSTACK_PYTHON``, one on the path, or one of pyenv's.

    Raises :class:`Missing`.
    """
    given = os.environ.get("LOCALSTACK_PYTHON")
    candidates = [given] if given else [f"python3.{n}" for n in (13, 12, 14)] + _pyenv()
    for candidate in candidates:
        try:
            version = subprocess.run(
                [candidate, "-c", "import sys; print(sys.executable, sys.version_info[1])"],
                capture_output=True,
                text=True,
                timeout=30,
            ).stdout.split()
        except OSError:
            continue
        if len(version) == 2 and OLDEST <= int(version[1]) <= NEWEST:
            return Path(version[0])
    raise Missing(f"no Python 3.{OLDEST} to 3.{NEWEST} found; set LOCALSTACK_PYTHON to one")


def _pyenv() -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(map(str, root.glob("versions/3.1[2-4].*/bin/python3")), reverse=True)


def install() -> Path:
    """The environment's Python, with LocalStack installed; done once for a set of pins.

    Raises :class:`Missing`, and :class:`ConfigurationError` when the installation fails.
    """
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print("installing LocalStack (once, about a minute)", file=sys.stderr, flush=True)
    pip = [str(python), "-m", "pip", "install", "-qq", "--no-deps", "-r", str(REQUIREMENTS)]
    try:
        create = [str(interpreter()), "-m", "venv", "--clear", str(ENVIRONMENT)]
        subprocess.run(create, check=True, timeout=INSTALL_TIMEOUT)
        subprocess.run(pip, check=True, timeout=INSTALL_TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"LocalStack cannot be installed: {error}") from error
    stamp.write_text(wanted)
    return python


@contextmanager
def localstack(log: Path | None = None) -> Iterator[str]:
    """Runs LocalStack as a child process and gives its endpoint URL; it ends with the block.

    It writes a line for every call to ``log``. Raises :class:`Missing`, and
    :class:`ConfigurationError` when it does not start.
    """
    python, port = install(), free_port()
    url = f"http://{HOST}:{port}"
    with tempfile.TemporaryDirectory(prefix="localstack-") as directory:
        log = log or Path(directory) / "log"
        environment = isolated(dict(os.environ), url) | _settings(port, directory)
        command = (str(python), "-m", "localstack.runtime.main")
        with Child(command, environment=environment, log=log) as child:
            if not is_up(child, lambda: answers(f"{url}/_localstack/health"), START_TIMEOUT):
                raise ConfigurationError(f"LocalStack does not start:\n{log.read_text()[-2000:]}")
            yield url


def _settings(port: int, directory: str) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        "SERVICES": ",".join(SERVICES),
        "EAGER_SERVICE_LOADING": "1",
        "SQS_ENDPOINT_STRATEGY": "dynamic",  # queue URLs name the address they were asked at
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "OVERRIDE_IN_DOCKER": "0",  # in a container it would write to /var/lib
        "FILESYSTEM_ROOT": directory,
        "TMPDIR": directory,
        "HOME": directory,
    }


def main() -> None:
    command = sys.argv[1:]
    if not command:
        sys.exit(f"usage: {__doc__}")
    try:
        with localstack() as url:
            environment = {
                **os.environ,
                "FACEREC_TEST_ENDPOINT": url,
                "CELERY_SQS_TEST_ENDPOINT": url,
            }
            code = subprocess.run(command, env=environment, check=False).returncode
    except Missing as missing:
        print(f"skipped: {missing}", file=sys.stderr)
        return
    except ConfigurationError as error:
        sys.exit(str(error))
    sys.exit(code)


if __name__ == "__main__":
    main()
