"""The opening handshake of a WebSocket, as data: request headers in, response headers or a refusal out.

Source: RFC 6455 section 4.2; facts: rfb section 6 (what QEMU, noVNC and browsers expect).
"""

import base64
import binascii
import hashlib
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

VERSION = "13"
SUBPROTOCOL = "binary"
"""The one that QEMU and old noVNC speak of. Browsers fail if it is answered and was not offered."""

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host")


class UpgradeRefused(Exception):
    """The request gets an HTTP answer in place of a WebSocket. `status`: the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """Which web pages may connect; programs that are no browser send no origin and may always.

    Nobody is asked for a cookie here, so what has to be kept out are foreign pages in the browser of somebody
    who can reach this server. `allowed`: origins as browsers write them (https://vms.example.org), or "*";
    pages from the host that the browser connects to are allowed always.
    """

    allowed: Collection[str] = ()

    def admits(self, headers: Mapping[str, str], local_address: str, *, same_host: bool = True) -> bool:
        """Whether the page may connect. `local_address`: the address of ours that the client came to.

        `same_host`: whether to be of the host that the browser connects to is enough.
        """
        origin = headers.get("Origin")
        if origin is None or "*" in self.allowed or origin.lower() in (a.lower() for a in self.allowed):
            return True
        if not same_host:
            return False
        try:
            page_host = urlsplit(origin).hostname
            hosts = {
                urlsplit(f"//{value.split(',')[0].strip()}").hostname
                for name in ("Host", "X-Forwarded-Host")
                if (value := headers.get(name))
            }
        except ValueError:
            return False
        if page_host is None or page_host not in hosts:
            return False
        # A foreign page can have its own name point to 127.0.0.1 and so become "the same host". No page can
        # add these headers to a WebSocket, and a proxy before us adds them.
        is_forwarded = any(name in headers for name in _FORWARDED)
        return is_forwarded or not _is_loopback(local_address) or _is_literal_or_localhost(page_host)


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Whether the request asks for a WebSocket."""
    return "websocket" in _tokens(headers.get("Upgrade", "")) and "upgrade" in _tokens(
        headers.get("Connection", "")
    )


def accept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of the answer 101. Raises UpgradeRefused. No extension is ever accepted."""
    if headers.get("Sec-WebSocket-Version", "").strip() != VERSION:
        raise UpgradeRefused(426, f"WebSocket version {VERSION} is the one that is spoken here.")
    key = headers.get("Sec-WebSocket-Key", "").strip()
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise UpgradeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64.")
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": base64.b64encode(digest).decode(),
    }
    if SUBPROTOCOL in _tokens(headers.get("Sec-WebSocket-Protocol", "")):
        answer["Sec-WebSocket-Protocol"] = SUBPROTOCOL
    return answer


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_literal_or_localhost(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
