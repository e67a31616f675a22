"""What EC2's refusals mean to the controller.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from botocore.exceptions import BotoCoreError, ClientError

from facerec_tasks.errors import FacerecError


class InsufficientCapacity(FacerecError):
    """Raised when EC2 refuses machines for lack of capacity: its own, or the account's quota."""

    def __init__(self, message: str, *, other_offers: bool = False) -> None:
        """``other_offers``: another type, zone or market is asked for next."""
        super().__init__(message)
        self.other_offers = other_offers


AWS_CALL_ERRORS = (FacerecError, ClientError, BotoCoreError)
"""Whatever a call to AWS may raise, translated or not."""

_QUOTA_ERRORS = frozenset({
    "InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded",
    "VolumeLimitExceeded", "MaxIOPSLimitExceeded", "HostLimitExceeded",
    "ReservationCapacityExceeded", "SpotMaxPriceTooLow", "Unsupported", "UnfulfillableCapacity",
    "PendingVerification",
})  # fmt: skip
"""Besides those that begin with ``Insufficient``. ``Unsupported``: a zone without the type.
``PendingVerification``: of a new account's first launches in a region, for some hours."""


def code_of(error: BaseException) -> str:
    """EC2's code of an error, also of a translated one; empty for all others."""
    for each in (error, error.__cause__):
        if isinstance(each, ClientError):
            return str(each.response.get("Error", {}).get("Code", ""))
    return ""


def lacks_capacity(code: str) -> bool:
    """Whether other machines, or fewer, may be granted."""
    return code in _QUOTA_ERRORS or code.startswith(("Insufficient", "InvalidLaunchTemplate"))
