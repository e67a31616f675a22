"""Redis: the marks of a chord are a set."""

from collections.abc import Iterable, Sequence
from typing import Any

from kombu.utils.encoding import bytes_to_str


class RedisDriver:
    """Around :class:`celery.backends.redis.RedisBackend`; sets expire as its chords do."""

    def __init__(self, backend: Any, prefix: str) -> None:
        self._backend = backend
        self._prefix = prefix

    def read_many(self, keys: Sequence[Any]) -> list[Any]:
        return list(self._backend.mget(keys)) if keys else []

    def add(self, chord: str, mark: str) -> set[str]:
        return self._add(chord, mark)[1]

    def create(self, chord: str, mark: str) -> bool:
        return self._add(chord, mark)[0]

    def _add(self, chord: str, mark: str) -> tuple[bool, set[str]]:
        """Whether it is new, and all."""
        key = self._key(chord)
        with self._backend.client.pipeline() as pipe:
            pipe.sadd(key, mark)
            pipe.smembers(key)
            if self._backend.chord_expires:
                pipe.expire(key, int(self._backend.chord_expires))
            added, members, *_ = pipe.execute()
        return bool(added), set(map(bytes_to_str, members))

    def marks(self, chord: str) -> set[str]:
        return set(map(bytes_to_str, self._backend.client.smembers(self._key(chord))))

    def remove(self, chord: str, marks: Iterable[str]) -> None:
        gone = list(marks)
        if gone:
            self._backend.client.srem(self._key(chord), *gone)

    def decide(self, chord: str, question: str, answer: str) -> str:
        key = f"{self._key(chord)}-decided"
        with self._backend.client.pipeline() as pipe:
            pipe.hsetnx(key, question, answer)
            pipe.hget(key, question)
            if self._backend.chord_expires:
                pipe.expire(key, int(self._backend.chord_expires))
            _, found, *_ = pipe.execute()
        return str(bytes_to_str(found))

    def clear(self, chord: str) -> None:
        self._backend.client.delete(self._key(chord), f"{self._key(chord)}-decided")

    def _key(self, chord: str) -> str:
        return f"{self._prefix}{chord}"
