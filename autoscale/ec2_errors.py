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

_CAPACITY_ERRORS = frozenset({
    "InsufficientInstanceCapacity", "InstanceLimitExceeded", "VcpuLimitExceeded",
    "MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow", "InsufficientHostCapacity", "Unsupported",
    "UnfulfillableCapacity", "InsufficientFreeAddressesInSubnet",
})  # fmt: skip


def code_of(error: ClientError) -> str:
    """EC2's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def lacks_capacity(code: str) -> bool:
    """Whether other machines, or fewer, may be granted."""
    return code in _CAPACITY_ERRORS or code.startswith("InvalidLaunchTemplate")
