"""A process that dies with the one that started it, even when that one is killed with -9.

Run as a script, ``parent_death_signal.py PARENT_PID COMMAND...``, it ties itself to its parent and
then becomes the command: any program can be tied this way. A Celery worker started with
``--include local.processes.pool_death_signal`` ties its pool's children to itself.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html


def tie_to_parent(parent: int) -> None:
    """Has the kernel send SIGKILL to this process when the process ``parent`` ends.

    Raises :class:`SystemExit` when it has ended already. The kernel watches the *thread* that
    started us: start children from a thread that lives as long as they shall.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        raise SystemExit("the process that started this one has ended")


def main(arguments: list[str]) -> None:
    """Ties this process to its parent and becomes the command."""
    parent, command = int(arguments[0]), arguments[1:]
    tie_to_parent(parent)
    # A shell starts background jobs with SIGINT ignored, and that survives exec.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a command of our own, not a shell's
    except OSError as error:
        raise SystemExit(f"cannot run {command[0]}: {error.strerror}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
