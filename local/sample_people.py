"""``python -m local.sample_people``: enrols the sample people who are not known yet.

A process of its own, so that whoever starts it need not carry the engine.
"""

import sys

from facerec_tasks.errors import FacerecError
from facerec_tasks.people import People
from facerec_tasks.recognition.enrolment import Batch, Enroller
from facerec_tasks.recognition.gallery import GalleryError
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import Storage
from local.samples import portraits


def enrol() -> int:
    """Enrols them into an empty gallery; how many. Whoever has people of their own keeps those."""
    settings = get_settings()
    people = People(Storage(settings))
    known = people.gallery()
    if len(known):
        return 0
    batch = Batch(Enroller.load(known.engine, settings.models_dir), known, strict=False)
    for portrait in portraits():
        refused = batch.add(portrait.name, portrait.path.read_bytes())
        if refused:
            raise GalleryError(f"{portrait.path}: {refused.message}")
    people.add(batch.samples)
    return len(batch.samples)


def main() -> int:
    try:
        count = enrol()
    except (FacerecError, GalleryError, ModelMissing) as error:
        print(f"the sample people cannot be enrolled: {error}", file=sys.stderr)
        return 1
    print(f"enrolled {count} sample people")
    return 0


if __name__ == "__main__":
    sys.exit(main())
