"""The head of a request: what is known before the body, with trusted proxies taken into account."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "x-forwarded-host")
"""Headers that show that a proxy passed the request on."""
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]{1,128})/")
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - not an address we bind to


@dataclass(frozen=True)
class RequestHead:
    """Header names are lower case; a repeated header's values are joined by commas."""

    method: str
    path: str
    """Decoded, below the prefix."""
    headers: Mapping[str, str]
    client: str
    """Address of the client, not of a trusted proxy."""
    scheme: str
    host: str
    """``Host``, or what a trusted proxy says it was."""
    prefix: str = ""
    """Path below which the service is published."""
    forwarded: bool = False
    """Passed on by a proxy that is not trusted."""

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, or ``None`` when it is chunked."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))

    @property
    def access_key_id(self) -> str | None:
        """Of an AWS signature, which is yet to be verified."""
        found = _CREDENTIAL.match(self.headers.get("authorization", ""))
        return found.group(1) if found else None

    @property
    def token(self) -> str | None:
        """The API key as it was sent."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip() or None
        return self.headers.get("x-api-key") or None


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """RFC 9110, 5.3: repeated headers become one list."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def of_request(
    method: str,
    path: str,
    headers: Mapping[str, str],
    peer: str | None,
    trusted: Sequence[Network] = (),
    prefix: str = "",
) -> RequestHead:
    """``peer`` is the address at the other end of the connection."""
    address = peer or UNKNOWN_ADDRESS
    by_proxy = bool(trusted) and is_in(address, trusted)
    scheme, host = "http", headers.get("host", "")
    if by_proxy:
        address = _client(address, headers.get("x-forwarded-for", ""), trusted)
        scheme = _last(headers.get("x-forwarded-proto", "")) or scheme
        host = _last(headers.get("x-forwarded-host", "")) or host
        prefix = _prefix(_last(headers.get("x-forwarded-prefix", ""))) or prefix
    return RequestHead(
        method=method,
        path=below_prefix(path, prefix),
        headers=headers,
        client=address,
        scheme=scheme if scheme in ("http", "https") else "http",
        host=host,
        prefix=prefix,
        forwarded=not by_proxy and any(name in headers for name in FORWARDING_HEADERS),
    )


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks; ``False`` for what is no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)


def _client(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The last address that no trusted proxy has; what stands before it may be forged."""
    address = peer
    for part in reversed(forwarded_for.split(",")):
        found = part.strip().strip("[]")
        try:
            ip_address(found)
        except ValueError:
            break
        address = found
        if not is_in(found, trusted):
            break
    return address


def _last(values: str) -> str:
    """The value that the nearest proxy added."""
    return values.rpartition(",")[2].strip()


def _prefix(value: str) -> str:
    clean = value.rstrip("/")
    safe = all(c.isalnum() or c in "/._~-" for c in clean)
    return clean if clean.startswith("/") and "//" not in clean and safe and clean.isascii() else ""


def below_prefix(path: str, prefix: str) -> str:
    """A proxy may pass the prefix on or take it away."""
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        return path[len(prefix) :] or "/"
    return path
