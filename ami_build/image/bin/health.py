#!/opt/facerec/worker/bin/python
"""Whether a worker's environment can do its work: ``bin/health.py PORTRAIT``.

Run while the image is baked, by the worker's own Python: loads the engine and finds the face on a
portrait. Prints one JSON object; ends with 1 and says why when it cannot. ``--files`` writes what
all that has read from the disk, so that a booting machine can read it at once.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

BEGAN = time.perf_counter()


def examine(portrait: Path, models: Path, engine: str) -> dict[str, object]:
    """Seconds to load and to find the first face. Raises whatever the engine raises."""
    import facerec_tasks.worker  # noqa: F401  what a worker imports besides the engine
    from facerec_tasks.recognition.gallery.gallery import Gallery
    from facerec_tasks.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(models, Gallery.empty(engine))
    loaded = time.perf_counter()
    faces = recognizer.recognize(portrait.read_bytes()).faces
    if len(faces) != 1:
        raise ValueError(f"{len(faces)} faces on {portrait.name}, not one")
    return {
        "engine": engine,
        "load_seconds": round(loaded - BEGAN, 3),
        "first_face_seconds": round(time.perf_counter() - loaded, 3),
    }


def files_read(roots: tuple[Path, ...]) -> list[Path]:
    """The modules and libraries this process has loaded from below ``roots``, the largest first."""
    loaded = list(sys.modules.values())
    modules = {getattr(m, "__cached__", None) or getattr(m, "__file__", None) for m in loaded}
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")}
    found = {Path(name) for name in modules | mapped if name}
    kept = [p for p in found if p.is_file() and any(p.is_relative_to(root) for root in roots)]
    return sorted(kept, key=lambda p: (-p.stat().st_size, p))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portrait", type=Path, help="a picture of one person")
    parser.add_argument("--models", type=Path, required=True, help="folder of the networks")
    parser.add_argument("--engine", default="resnet128", help="which embedder to try")
    parser.add_argument("--files", type=Path, help="write the files that were read, one a line")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        found = examine(options.portrait, options.models, options.engine)
    except Exception as error:  # noqa: BLE001  whatever it is, the image is not to be used
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if options.files:
        read = [*sorted(options.models.glob("*.onnx")), *files_read((Path(sys.prefix),))]
        options.files.write_text("".join(f"{path}\n" for path in read))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
