"""Who may use the management API, found out from a request's headers."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.access.password import Passwords, same
from sidecar.log import get_logger
from sidecar.web.upgrade import OriginPolicy, is_upgrade

log = get_logger(__name__)


class Refused(Exception):
    """The request is answered with `status` and this text, and nothing is done."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """The rules. `passwords`: who must know one; `origins`: the web pages that may ask.

    A browser adds a password that it once was told by itself, so foreign pages are kept out either way.
    """

    passwords: Passwords = field(default_factory=Passwords)
    origins: OriginPolicy = field(default_factory=OriginPolicy)

    def check(self, headers: Mapping[str, str], local_address: str) -> None:
        """Raises Refused. `local_address`: the address of ours that the client came to; empty: none."""
        if not self.passwords.asked and not is_upgrade(headers):
            headers = _believed(headers)
        if not self.origins.admits(headers, local_address):
            log.warning("API request of a foreign page refused", origin=headers.get("Origin"))
            raise Refused(403, "pages of this origin may not use the API")
        if not self.passwords.asked:
            return
        user, password = credentials(headers)
        if not self.passwords.admits(user, lambda right: same(right, password)):
            raise Refused(401, "the password is missing or wrong: send it by HTTP Basic or as a bearer token")


def _believed(headers: Mapping[str, str]) -> Mapping[str, str]:
    """What counts of a plain request that needs no password.

    A foreign page can have its own name point to 127.0.0.1, be "the same host", and then ask without an
    origin, and with a proxy's headers: neither is possible for a WebSocket.
    """
    host = headers.get("Host", "")
    origin = headers.get("Origin") or (f"http://{host}" if host else None)
    return {} if origin is None else {"Origin": origin, "Host": host}


def credentials(headers: Mapping[str, str]) -> tuple[str, str]:
    """Name and password of `Authorization`, Basic (RFC 7617) or Bearer (RFC 6750); empty where there is none.

    With Bearer, the token is the password and there is no name.
    """
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return "", value
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return "", ""
        user, _, password = text.partition(":")
        return user, password
    return "", ""
