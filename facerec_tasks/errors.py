"""The errors of the system, as a tree.

::

    FacerecError
    ├── ConfigurationError      the environment or the account is not set up
    ├── AwsError                AWS answered with an error we have a plan for
    │   ├── Unavailable         throttled, 5xx, timeout, no connection: try again later
    │   ├── NotFound            no such object, bucket, queue or version
    │   ├── PreconditionFailed  a conditional write lost its race
    │   └── Forbidden           credentials missing, expired or without the permission
    ├── Overloaded              more requests wait than this process may hold: 503
    └── AnswerLate              no answer before the deadline: 504; it may still come

What is wrong with a photo, and that it was dead-lettered as poison, is a value (``Answer.outcome``
and ``Answer.code``), not an error of this tree. An AWS error that has no class here is re-raised as
is.
"""


class FacerecError(Exception):
    """Base of everything raised on purpose by facerec_tasks, webapp and autoscale."""


class ConfigurationError(FacerecError):
    """Raised at start when the environment or the account is not set up; says the remedy."""


class AwsError(FacerecError):
    """Raised by :mod:`facerec_tasks.aws` translation; ``__cause__`` is botocore's error."""


class Unavailable(AwsError):
    """Raised when AWS throttles, times out, fails with 5xx or cannot be reached."""


class NotFound(AwsError):
    """Raised when an object, version, bucket or queue does not exist."""


class PreconditionFailed(AwsError):
    """Raised when ``If-Match`` or ``If-None-Match`` did not hold."""


class Forbidden(AwsError):
    """Raised when credentials are missing, expired or lack the permission."""


class Overloaded(FacerecError):
    """Raised by the web tier when too many requests wait already."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests wait; try again in {retry_after} s")
        self.retry_after = retry_after
        """Whole seconds for the ``Retry-After`` header."""


class AnswerLate(FacerecError):
    """Raised by the web tier when the deadline passed; ``GET /results/<task_id>`` has it later."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"no answer yet; see /results/{task_id}")
        self.task_id = task_id
