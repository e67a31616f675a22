"""Who reaches the web tier, and whether what they send can be read on its way."""

from collections.abc import Mapping
from ipaddress import IPv4Network

from facerec_tasks.errors import ConfigurationError

LONGEST_PUBLIC_PREFIX = 7
"""Bits: larger networks than any one owner has, such as 0.0.0.0/0 and the two halves of it."""


def network(cidr: str) -> IPv4Network | None:
    """The network that ``--allow`` names; none for nobody. Raises :class:`ConfigurationError`."""
    if not cidr:
        return None
    try:
        if "/" not in cidr:
            raise ValueError
        return IPv4Network(cidr, strict=False)
    except ValueError as error:
        raise ConfigurationError(
            f"{cidr} is no network of IPv4 addresses, such as 203.0.113.7/32"
        ) from error


def open_in_clear(parameters: Mapping[str, str]) -> bool:
    """Whether, with these parameters of the template, anybody sends keys and photos without TLS."""
    allowed = network(parameters.get("WebCidr", ""))
    anybody = allowed is not None and allowed.prefixlen <= LONGEST_PUBLIC_PREFIX
    return anybody and not parameters.get("Certificate")
