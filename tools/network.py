"""One careful way to the network: what a tool fetches, and nothing that an image or a model could turn it to.

    >>> fetch("https://en.wikipedia.org/wiki/Tea", max_bytes=1_000_000)[:15]
    b'<!DOCTYPE html>'

Only http and https; each redirect is checked as the first address was; a host whose name leads to a private, loopback or other
address that is not public is refused, and the address that was checked is the one connected to, so that a second answer of the
name server changes nothing. Size and time are limited. Proxies are not used, since behind one no address can be checked.

``TACO_PRIVATE_NETWORK=1`` lets a person allow private addresses; a model cannot.
"""

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import time
from urllib.parse import urljoin, urlsplit

from taco.tools.action import ToolError

MAX_REDIRECTS = 5
AGENT = "taco-lmm (https://pypi.org/project/taco-lmm)"
CHUNK = 65_536
PRIVATE_SETTING = "TACO_PRIVATE_NETWORK"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NetworkError(ToolError):
    """What kept an address from being fetched."""


def fetch(url: str, *, max_bytes: int, timeout: float = 20.0) -> bytes:
    """The body of an http(s) address.

    Args:
        url: The address.
        max_bytes: Of the body.
        timeout: Seconds for all of it, redirects included.

    Raises:
        NetworkError: If the address is refused, cannot be reached, answers with an error, or the answer is too large or too slow.
    """
    deadline = time.monotonic() + timeout
    for _ in range(MAX_REDIRECTS + 1):
        answer = _request(url, deadline, max_bytes)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise NetworkError(f"{_shown(url)} leads from one address to the next, more than {MAX_REDIRECTS} times.")


def public_address(host: str, port: int) -> str:
    """The first address of a host, where all of them are public (or private ones are allowed).

    Raises:
        NetworkError: If the host is unknown or has an address that is not public.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NetworkError(f"{host} cannot be found: {error}. Check the address and the network.") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_public(address) and os.environ.get(PRIVATE_SETTING) != "1":
            raise NetworkError(f"{host} is not a public address. A person can allow it with {PRIVATE_SETTING}=1.")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet. Of an IPv4 address within an IPv6 one, the former is looked at.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1"), is_public("64:ff9b::7f00:1")
    (True, False, False, False)
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and (found.ipv4_mapped or found in _NAT64):
        found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    wrapped = isinstance(found, ipaddress.IPv6Address) and (found.sixtofour or found.teredo)
    return found.is_global and not (wrapped or found.is_multicast or found.is_reserved)


def _request(url: str, deadline: float, max_bytes: int) -> bytes | str:
    """The body, or where a redirect leads."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise NetworkError(f"{_shown(url)} is no address: {error}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise NetworkError(f"{_shown(url)} is no http or https address.")
    if parts.username or parts.password:
        raise NetworkError(f"An address with a user name in it is not fetched: {host}.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with contextlib.closing(kind(host, port)) as connection:
            connection.sock = link = _connected(parts.scheme, host, port, deadline)
            connection.request("GET", target, headers={"User-Agent": AGENT, "Accept-Encoding": "identity"})
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                return response.getheader("Location") or ""
            if response.status != 200:
                raise NetworkError(f"{_shown(url)} answered {response.status} {response.reason}.")
            return _body(response, link, url, deadline, max_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NetworkError(f"{_shown(url)} cannot be fetched: {error or type(error).__name__}.") from None


def _connected(scheme: str, host: str, port: int, deadline: float) -> socket.socket:
    link = socket.create_connection((public_address(host, port), port), timeout=_left(deadline))
    if scheme == "http":
        return link
    try:
        return ssl.create_default_context().wrap_socket(link, server_hostname=host)
    except OSError:
        link.close()
        raise


def _body(response: http.client.HTTPResponse, link: socket.socket, url: str, deadline: float, max_bytes: int) -> bytes:
    data = bytearray()
    while True:
        link.settimeout(_left(deadline))
        part = response.read1(CHUNK)
        if not part:
            return bytes(data)
        data += part
        if len(data) > max_bytes:
            raise NetworkError(f"{_shown(url)} has over {max_bytes:,} bytes, which is the limit.")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long")
    return left


def _shown(url: str) -> str:
    return url if len(url) <= 120 else url[:117] + "..."
