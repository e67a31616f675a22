"""The virtual environment of the originals: ``.venv-parity``, made when it is first needed."""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-parity"
_HERE = Path(__file__).parent
_WISHES = (
    (_HERE / "requirements.txt", []),
    (_HERE / "without_deps.txt", ["--no-deps"]),
)


def interpreter() -> Path:
    """Its Python; the first call installs torch, which takes a minute or more."""
    python = FOLDER / "bin" / "python"
    done = FOLDER / "complete"
    wanted = "".join(wish.read_text() for wish, _ in _WISHES)
    if done.is_file() and done.read_text() == wanted:
        return python
    print(f"installing torch and the originals into {FOLDER.name} …", file=sys.stderr)
    venv.create(FOLDER, with_pip=True)
    for wish, options in _WISHES:
        command = [python, "-m", "pip", "install", "--quiet", *options, "-r", wish]
        subprocess.run(command, check=True, stdout=sys.stderr)
    done.write_text(wanted)
    return python
