"""What one process holds: its shared objects, its threads, its one fork hook and its one exit hook.

Clients, sessions, result consumers and result senders exist once per process whatever number of
connections Celery makes. A forked child must use none of them: their threads, sockets and locks are
its parent's, and so is what they have not sent yet.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")


class Resettable(Protocol):
    """An object that outlives a fork and begins anew in the child."""

    def reset_after_fork(self) -> None: ...


_lock = threading.RLock()
_shared: dict[Hashable, Any] = {}
_resettable: "weakref.WeakSet[Resettable]" = weakref.WeakSet()
_in_child: list[Callable[[], object]] = []


def shared(key: Hashable, make: Callable[[], T]) -> T:
    """The process's one object of this key, made when it is first asked for.

    A forked child makes its own. The parent's copy is told so by ``abandon()``, if it has that
    method; ``close_at_exit()``, if it has that, is called when the process ends, the newest first.
    """
    with _lock:
        if key not in _shared:
            _shared[key] = make()
        return cast(T, _shared[key])


def existing(key: Hashable) -> Any:
    """The process's object of this key, or None: makes none."""
    return _shared.get(key)


def all_of(kind: type[T]) -> tuple[T, ...]:
    """Every shared object of a class."""
    with _lock:
        return tuple(each for each in _shared.values() if isinstance(each, kind))


def discard(key: Hashable) -> None:
    """Forgets an object: the next caller of :func:`shared` makes another."""
    with _lock:
        _shared.pop(key, None)


def reset_after_fork(each: Resettable) -> None:
    """Has ``each.reset_after_fork()`` called in every forked child, as long as it exists."""
    _resettable.add(each)


def on_fork(call: Callable[[], object]) -> None:
    """Has ``call`` called in every forked child. For module-level state of other libraries."""
    _in_child.append(call)


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """A daemon thread of this process; it does not run when the process is about to end."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    with suppress(RuntimeError):  # the interpreter ends: what is left is flushed at exit
        thread.start()
    return thread


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    inherited = list(_shared.values())
    _shared.clear()
    for each in inherited:
        if hasattr(each, "abandon"):
            each.abandon()
    for resettable in tuple(_resettable):
        resettable.reset_after_fork()
    for call in _in_child:
        call()


def close_all() -> None:
    """Closes what this process holds, the newest object first. Called at its exit."""
    with _lock:
        closing = [each for each in _shared.values() if hasattr(each, "close_at_exit")]
    for each in reversed(closing):  # they still need the clients
        each.close_at_exit()
    with _lock:
        for key in [key for key, each in _shared.items() if each in closing]:
            del _shared[key]


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_all)
