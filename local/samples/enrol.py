"""``python -m local.samples.enrol``: enrolls the sample people who are not known yet.

A process of its own, so that whoever starts it need not carry the engine.
"""

import sys

from facerec_tasks.errors import FacerecError
from facerec_tasks.recognition.gallery.gallery import GalleryError
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.samples import portraits


def main() -> int:
    """0 when somebody is known at the end; who has people of their own keeps those alone."""
    settings = get_settings()
    state = StateBucket(settings)
    people = People(state)
    try:
        enrolled = portraits.enrol(people, ModelFiles(state, settings))
        known = len(people.gallery())
    except (FacerecError, GalleryError, ModelMissing) as error:
        print(f"the sample people cannot be enrolled: {error}", file=sys.stderr)
        return 1
    print(f"enrolled {', '.join(enrolled) or 'nobody'}; {known} people are known")
    return 0 if known else 1


if __name__ == "__main__":
    sys.exit(main())
