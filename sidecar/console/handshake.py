"""The client's side of the handshake, rfbproto 7.1 to 7.3, from the first byte to ServerInit."""

import re
import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from sidecar.console.errors import NotTrusted, NoVncServer, Refused
from sidecar.console.events import CredentialsWanted, Question, StartTls
from sidecar.console.plain_text import plain_text
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.wire import SecurityResult, SecurityType, VeNCryptSubtype, Version

MAX_REASON = 4096
"""Bytes of a refusal's text that are read."""

MAX_NAME = 65536
"""Bytes of a desktop's name; longer ones break the protocol."""

MAX_CREDENTIAL = 4096
"""Bytes of a user's name, and of a password, as servers take them."""

_CHALLENGE_SIZE = 16
_VENCRYPT_VERSION = b"\x00\x02"
_VERSION_SIZE = 12
_VERSION = re.compile(rb"RFB (\d{3})\.(\d{3})\n")
_U32 = struct.Struct(">I")
_LENGTHS = struct.Struct(">II")
_SERVER_INIT = struct.Struct(">4xB15xI")
"""Of the size and the pixel format only the bits of a pixel matter; then the name's length."""

_WITH_TLS = (VeNCryptSubtype.X509_PLAIN, VeNCryptSubtype.X509_VNC, VeNCryptSubtype.X509_NONE)
_WITH_NAME = (VeNCryptSubtype.X509_PLAIN, VeNCryptSubtype.PLAIN)

Steps: TypeAlias = Generator[int | Question, bytes, None]
"""Yields how many bytes it reads next and is resumed with exactly those, or a question, and is resumed when
that was answered."""


@dataclass(frozen=True, slots=True)
class ClientSecurity:
    """What a client accepts.

    `tls_only`: nothing but TLS. `plain`: a password may go as it is, because nobody can listen to the
    transport, or because somebody said so.
    """

    tls_only: bool = False
    plain: bool = False

    @property
    def types(self) -> tuple[SecurityType, ...]:
        """Security types, best first."""
        if self.tls_only:
            return (SecurityType.VENCRYPT,)
        return (SecurityType.VENCRYPT, SecurityType.NONE, SecurityType.VNC_AUTHENTICATION)

    @property
    def types_without_list(self) -> tuple[SecurityType, ...]:
        """Those that a server of RFB 3.3 can dictate."""
        return tuple(each for each in self.types if each is not SecurityType.VENCRYPT)

    @property
    def subtypes(self) -> tuple[VeNCryptSubtype, ...]:
        """VeNCrypt subtypes, best first."""
        return (*_WITH_TLS, VeNCryptSubtype.PLAIN) if self.plain and not self.tls_only else _WITH_TLS


class Handshake:
    """One handshake; `converse` is resumed by whoever owns the bytes.

    `credentials` (user, password) is to be set before a CredentialsWanted is answered. `name`: the desktop's,
    at the end, and `bytes_per_pixel` of what it shows.
    """

    __slots__ = ("_security", "_send", "bytes_per_pixel", "credentials", "name")

    def __init__(self, security: ClientSecurity, send: Callable[[bytes], None]) -> None:
        self._security = security
        self._send = send
        self.credentials = ("", "")
        self.name = ""
        self.bytes_per_pixel = 0

    def converse(self) -> Steps:
        """From ProtocolVersion to ServerInit.

        Raises RemoteError and, where a person can do something, NoVncServer, Refused and NotTrusted.
        """
        version = self._parse_version((yield _VERSION_SIZE))
        self._send(b"RFB 003.%03d\n" % version)
        security_type = yield from self._agree(version)
        asked = False
        if security_type is SecurityType.VENCRYPT:
            asked = yield from self._vencrypt()
        elif security_type is SecurityType.VNC_AUTHENTICATION:
            asked = True
            yield from self._vnc_authentication()
        # the older versions know no SecurityResult after None
        if security_type is not SecurityType.NONE or version is Version.V3_8:
            yield from self._result(version, asked)
        self._send(b"\x01")  # ClientInit: shared
        bits_per_pixel, size = _SERVER_INIT.unpack((yield _SERVER_INIT.size))
        if size > MAX_NAME:
            raise RemoteError(Reason.OVERSIZED, f"The desktop's name has {size} bytes.")
        if bits_per_pixel not in (8, 16, 32):
            raise RemoteError(Reason.MALFORMED, f"There are no pixels of {bits_per_pixel} bits.")
        self.bytes_per_pixel = bits_per_pixel // 8
        self.name = plain_text((yield size))

    def _parse_version(self, data: bytes) -> Version:
        match = _VERSION.fullmatch(data)
        number = (int(match[1]), int(match[2])) if match else (0, 0)
        if number < (3, 3):
            raise NoVncServer("what answers there is not a VNC server: check host and port")
        if number >= (3, 8):
            return Version.V3_8
        return Version.V3_7 if number == (3, 7) else Version.V3_3

    def _agree(self, version: Version) -> Generator[int | Question, bytes, SecurityType]:
        if version is Version.V3_3:
            (dictated,) = _U32.unpack((yield _U32.size))
            offered: tuple[int, ...] = (dictated,) if dictated else ()
            types = self._security.types_without_list
        else:
            (count,) = yield 1
            offered = tuple((yield count))
            types = self._security.types
        if not offered:
            raise Refused(f"the server turns us away: {(yield from self._reason())}")
        choice = next((each for each in types if each in offered), None)
        if choice is None:
            if self._security.tls_only:
                raise NotTrusted(
                    "the server offers no TLS: --ca and --tls-name ask for it, leave them out to do without"
                )
            raise NoVncServer(f"the server asks for a login that is not known here (types {_list(offered)})")
        if version is not Version.V3_3:
            self._send(bytes((choice,)))
        return choice

    def _vencrypt(self) -> Generator[int | Question, bytes, bool]:
        """Leads through VeNCrypt (facts: RFB section 1.3); whether a password was asked for."""
        if (yield len(_VENCRYPT_VERSION)) < _VENCRYPT_VERSION:
            raise NoVncServer("the server's VeNCrypt is older than 0.2")
        self._send(_VENCRYPT_VERSION)
        if (yield 1) != b"\0":
            raise NoVncServer("the server does not take VeNCrypt 0.2")
        (count,) = yield 1
        offered = struct.unpack(f">{count}I", (yield count * _U32.size))
        choice = next((each for each in self._security.subtypes if each in offered), None)
        if choice is None:
            if VeNCryptSubtype.PLAIN in offered and not self._security.tls_only:
                raise Refused(
                    "the server wants the password over a connection that anybody can read: "
                    "--insecure-plain sends it"
                )
            raise NotTrusted(f"the server offers no TLS with certificates (VeNCrypt {_list(offered)})")
        self._send(_U32.pack(choice))
        if choice is not VeNCryptSubtype.PLAIN:
            if (yield 1) != b"\x01":
                raise NoVncServer("the server does not take the kind of TLS that it has offered")
            yield StartTls()
        if choice in _WITH_NAME:
            yield from self._plain()
        elif choice is VeNCryptSubtype.X509_VNC:
            yield from self._vnc_authentication()
        return choice is not VeNCryptSubtype.X509_NONE

    def _vnc_authentication(self) -> Steps:
        # loads OpenSSL's bindings: not before they are needed
        from sidecar.vnc.security.vnc_auth import encrypt_challenge

        challenge = yield _CHALLENGE_SIZE
        yield CredentialsWanted(user=False)
        self._send(encrypt_challenge(challenge, self.credentials[1]))

    def _plain(self) -> Steps:
        yield CredentialsWanted(user=True)
        user, password = (each.encode("utf-8", "surrogateescape") for each in self.credentials)
        if max(len(user), len(password)) > MAX_CREDENTIAL:
            raise Refused(f"user name and password may have {MAX_CREDENTIAL} bytes each")
        self._send(_LENGTHS.pack(len(user), len(password)) + user + password)

    def _result(self, version: Version, asked: bool) -> Steps:
        (result,) = _U32.unpack((yield _U32.size))
        if result == SecurityResult.OK:
            return
        reason = (yield from self._reason()) if version is Version.V3_8 else "it does not say why"
        if asked:
            raise Refused(f"the server refuses the login ({reason}): is the password right?")
        raise Refused(f"the server turns us away: {reason}")

    def _reason(self) -> Generator[int | Question, bytes, str]:
        (size,) = _U32.unpack((yield _U32.size))
        # what is longer is cut: the connection ends here
        text = plain_text((yield min(size, MAX_REASON)).removesuffix(b"\0"))
        return text or "it does not say why"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in numbers)
