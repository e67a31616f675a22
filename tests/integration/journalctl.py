"""A stand-in of journalctl, as far as we use it: follows a file of JSON lines from a cursor.

:func:`install` puts it into a folder, which goes into ``PATH``. The file is ``journal`` in there;
``pid`` is the running one, ``said`` the number of lines it has written.
"""

import json
import os
import sys
import time
from pathlib import Path


def install(folder: Path) -> None:
    program = folder / "journalctl"
    program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
    program.chmod(0o755)
    (folder / "journal").touch()


def write(folder: Path, number: int) -> None:
    """One more line."""
    fields = {
        "__CURSOR": f"s=0;i={number}",
        "__REALTIME_TIMESTAMP": str(time.time_ns() // 1000),
        "_SYSTEMD_UNIT": "facerec-worker.service",
        "MESSAGE": f"line {number}",
    }
    with (folder / "journal").open("a") as file:
        file.write(json.dumps(fields) + "\n")


def main() -> None:
    folder = Path(__file__).parent
    journal = folder / "journal"
    after = [a.partition("=")[2] for a in sys.argv if a.startswith("--after-cursor=")]
    cursors = [json.loads(line)["__CURSOR"] for line in journal.read_bytes().splitlines()]
    if after and after[0] not in cursors:
        sys.exit("Failed to seek to cursor: Invalid argument")
    done = cursors.index(after[0]) + 1 if after else 0
    (folder / "pid").write_text(str(os.getpid()))
    new = folder / f"said.{os.getpid()}"
    while True:
        for line in journal.read_bytes().splitlines(keepends=True)[done:]:
            sys.stdout.buffer.write(line)
            done += 1
        sys.stdout.flush()
        new.write_text(str(done))
        new.replace(folder / "said")
        if "--follow" not in sys.argv:
            return
        time.sleep(0.02)


if __name__ == "__main__":
    main()
