"""Who may reach the web tier without TLS."""

import pytest

from ami_build.stack.callers import network, open_in_clear
from facerec_tasks.errors import ConfigurationError

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/1"


@pytest.mark.parametrize(
    ("cidr", "anybody"),
    [
        ("", False), ("203.0.113.7/32", False), ("10.0.0.0/8", False), ("203.0.113.7/24", False),
        ("0.0.0.0/0", True), ("198.51.100.7/0", True), ("0.0.0.0/1", True), ("128.0.0.0/1", True),
    ],
)  # fmt: skip
def test_networks_of_everybody_are_open_unless_there_is_a_certificate(
    cidr: str, anybody: bool
) -> None:
    assert open_in_clear({"WebCidr": cidr, "Certificate": ""}) == anybody
    assert not open_in_clear({"WebCidr": cidr, "Certificate": CERTIFICATE})


@pytest.mark.parametrize("cidr", ["203.0.113.7", "999.0.0.1/24", "10.0.0.0/33", "::/0", "me"])
def test_what_is_no_network_is_refused_before_cloudformation_is_asked(cidr: str) -> None:
    with pytest.raises(ConfigurationError, match="no network of IPv4"):
        network(cidr)
