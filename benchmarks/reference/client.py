"""Our side of :mod:`benchmarks.reference.service`: the originals in a process of their own."""

import json
import subprocess
from typing import Any, Self

from benchmarks.reference import environment


class ReferenceClient:
    """Calls of the service's methods by name: ``originals("detect", picture="photo.png")``."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [environment.interpreter(), "-m", "benchmarks.reference.service"],
            cwd=environment.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        return self

    def __call__(self, do: str, **arguments: Any) -> Any:
        """Raises :class:`RuntimeError` when the service has ended; its words are on stderr."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the originals' process ended")
        return json.loads(line)

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its pipes and waits for its end
            self._process.kill()
