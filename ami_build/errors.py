"""What can go wrong while the stack is built, examined or removed, as a tree.

::

    FacerecError
    └── StackError
        ├── DefaultId        FACEREC_ID is the one everybody begins with
        ├── BucketNameTaken        a bucket of that name exists: somebody else's, or left over
        ├── NoDefaultVpc     the region has no default VPC
        ├── NoStack          nothing was deployed under this id
        ├── Stuck            the stack is in a state that only its owner can end
        ├── StackFailed      CloudFormation gave up; says at which resource, and why
        ├── TookTooLong      the deadline passed; CloudFormation goes on by itself
        ├── PhotosRemain     buckets hold photos, and --with-photos was not given
        └── StillEmptying    S3 empties large buckets; the rest is removed
"""

from facerec_tasks.errors import FacerecError


class StackError(FacerecError):
    """Base of everything this package raises on purpose; the message says the remedy."""


class DefaultId(StackError):
    """Raised when ``FACEREC_ID`` is the default."""


class BucketNameTaken(StackError):
    """Raised when a bucket of that name exists and is not the stack's."""


class NoDefaultVpc(StackError):
    """Raised when the region has no default VPC to put machines into."""


class NoStack(StackError):
    """Raised when there is no stack of this id."""


class Stuck(StackError):
    """Raised for a stack whose update could neither be finished nor undone."""


class StackFailed(StackError):
    """Raised when CloudFormation has given up and undone what it did."""


class TookTooLong(StackError):
    """Raised when the deadline passed; running the same command again goes on waiting."""


class PhotosRemain(StackError):
    """Raised when buckets would have to be emptied of photos to remove them."""


class StillEmptying(StackError):
    """Raised when buckets are so large that S3's lifecycle empties them, in about two days."""
