"""Who asks the management API, found out from a connection and the headers of a request."""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.access.grant import Attempt, Grant, LoginFailed, LoginThrottled
from sidecar.access.logins import Logins
from sidecar.control.certificate_names import ClientCertificate
from sidecar.control.role import Caller, Role
from sidecar.control.roles import RolesFile
from sidecar.log import get_logger
from sidecar.session.sight import names_machine
from sidecar.web.upgrade import OriginPolicy, is_upgrade

log = get_logger(__name__)


class Refused(Exception):
    """The request is answered with `status` and this text, and nothing is done.

    `wait`: seconds until another try is worth it.
    """

    def __init__(self, status: int, text: str, *, wait: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection. `address`: for people; `host`: without the port.

    Both are empty for a unix socket, whose `uid` is there. `local_host`: the address of ours that the peer
    came to. `certificate`: the one that it has shown, verified. `tls`: whether the connection is encrypted.
    """

    address: str = ""
    host: str = ""
    local_host: str = ""
    uid: int | None = None
    certificate: ClientCertificate | None = None
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may ask. `enter`: called when something is done for them; raises LoginFailed where what
    they have shown is used up meanwhile. `stays`: whether they would be let in with this role now, too; for
    answers that last."""

    caller: Caller
    enter: Callable[[], None] = lambda: None
    stays: Callable[[], bool] = lambda: True


class ApiAccess:
    """The rules. `logins`: who must prove something, and what counts; `roles`: those of certificates and of
    local users.

    `takes_certificates`: whether clients show certificates, so that nobody gets in without anything.
    `origins`: the web pages that may ask. A browser adds a password or a certificate that it once was given
    by itself, so foreign pages are kept out either way. `clock`: seconds since 1970.
    """

    def __init__(
        self,
        logins: Logins | None = None,
        *,
        roles: RolesFile | None = None,
        takes_certificates: bool = False,
        origins: OriginPolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._logins = Logins() if logins is None else logins
        self._roles = RolesFile(None) if roles is None else roles
        self._takes_certificates = takes_certificates
        self._origins = OriginPolicy() if origins is None else origins
        self._clock = clock

    @property
    def challenge(self) -> str:
        """What somebody is asked for who has shown nothing (RFC 9110 section 11.6.1)."""
        scheme = "Basic" if self._logins.asked else "Certificate"
        return f'{scheme} realm="vdi-sidecar"' + (', charset="UTF-8"' if self._logins.asked else "")

    async def visitor(self, headers: Mapping[str, str], peer: Peer) -> Visitor:
        """Who asks. Raises Refused."""
        self._check_origin(headers, peer)
        if peer.certificate is not None:
            return self._with_certificate(peer.certificate, peer)
        if (uid := peer.uid) is not None:
            role = self._roles.now().of_user(uid)
            if role is not None:
                return Visitor(
                    Caller(f"uid {uid}", "unix", role), stays=lambda: self._roles.now().of_user(uid) is role
                )
        if self._logins.asked:
            return await self._logged_in(headers, peer)
        if self._takes_certificates and peer.uid is None:
            raise Refused(401, "show a client certificate that this API trusts")
        if peer.uid is not None:
            role = None if self._takes_certificates else Role.VIEWER
            return Visitor(Caller(f"uid {peer.uid}", "unix", role, uses_machine=role is not None))
        return Visitor(Caller("anybody", "anonymous", Role.VIEWER, True, peer.address))

    def _with_certificate(self, certificate: ClientCertificate, peer: Peer) -> Visitor:
        """TLS has looked at it when the connection began; it may have expired since."""
        if certificate.not_after <= self._clock():
            raise Refused(401, "the client certificate has expired")
        role = self._roles.now().of_certificate(certificate)

        def stays() -> bool:
            return (
                certificate.not_after > self._clock()
                and self._roles.now().of_certificate(certificate) is role
            )

        return Visitor(Caller(certificate.name, "certificate", role, False, peer.address), stays=stays)

    def _check_origin(self, headers: Mapping[str, str], peer: Peer) -> None:
        # whoever sits between a browser and this host can show it a page of this host in the clear
        in_the_clear = peer.tls and headers.get("Origin", "").lower().startswith("http:")
        nothing_asked = not self._logins.asked and peer.certificate is None
        if nothing_asked and not is_upgrade(headers):
            headers = _believed(headers)
        if not self._origins.admits(headers, peer.local_host, same_host=not in_the_clear):
            log.warning("API request of a foreign page refused", origin=headers.get("Origin"))
            raise Refused(403, "pages of this origin may not use the API")

    async def _logged_in(self, headers: Mapping[str, str], peer: Peer) -> Visitor:
        user, password = credentials(headers)
        if not password:
            what = "a client certificate, or " if self._takes_certificates else ""
            raise Refused(401, f"show who you are: {what}a password by HTTP Basic or as a bearer token")
        # one local user's guesses must not slow down another's
        attempt = Attempt("api", peer.host if peer.uid is None else f"uid {peer.uid}")
        try:
            grant = await self._logins.verify(attempt, user, password)
        except LoginThrottled as error:
            raise Refused(429, str(error), wait=error.wait) from None
        except LoginFailed:
            raise Refused(401, "the password is wrong: send it by HTTP Basic or as a bearer token") from None
        return Visitor(
            _login_caller(grant, peer),
            enter=lambda: self._logins.use(attempt, grant),
            stays=lambda: self._logins.holds(grant),
        )


def _login_caller(grant: Grant, peer: Peer) -> Caller:
    uses_machine = not grant.view_only and names_machine(grant.consoles)
    match grant.method:
        case "user":
            role = Role[grant.role.upper()] if grant.role else None
            return Caller(grant.user, "user", role, uses_machine, peer.address, consoles=grant.consoles)
        case "ticket":
            name = f"ticket {grant.ticket}"
            return Caller(name, "ticket", None, uses_machine, peer.address, grant.ticket)
    return Caller("the password", "password", Role.VIEWER, uses_machine, peer.address)


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
