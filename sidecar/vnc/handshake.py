"""The handshake, rfbproto 7.1 to 7.3, as one conversation from the first byte to ServerInit."""

import re
import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass

from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import ClientInit, Question
from sidecar.vnc.security import Channel, Conversation, Method, none, vencrypt, vnc_auth
from sidecar.vnc.wire import (
    PROTOCOL_VERSION,
    SecurityResult,
    SecurityType,
    VeNCryptSubtype,
    Version,
    reason_string,
)

_VERSION = re.compile(rb"RFB 003\.(\d{3})\n")
_U32 = struct.Struct(">I")

_METHODS: dict[SecurityType, Method] = {
    SecurityType.NONE: none.converse,
    SecurityType.VNC_AUTHENTICATION: vnc_auth.converse,
}

_IN_RFB_3_3 = (SecurityType.NONE, SecurityType.VNC_AUTHENTICATION)
"""All that a server may dictate to a client of RFB 3.3."""


@dataclass(frozen=True, slots=True)
class Security:
    """What a server accepts, in its order of preference, and the transport it speaks over.

    `secure`: nobody can listen to the transport (TLS below it, or a unix socket), so that Plain is fine and
    TLS of VeNCrypt's own is not offered. `random` gives that many unpredictable bytes.
    """

    types: tuple[SecurityType, ...]
    random: Callable[[int], bytes]
    subtypes: tuple[VeNCryptSubtype, ...] = ()
    secure: bool = False

    @property
    def usable_subtypes(self) -> tuple[VeNCryptSubtype, ...]:
        """The VeNCrypt subtypes that fit the transport."""
        return vencrypt.usable_subtypes(self.subtypes, secure=self.secure)

    @property
    def usable_types(self) -> tuple[SecurityType, ...]:
        """The security types that are offered: VeNCrypt only where a subtype is left."""
        return tuple(
            security_type
            for security_type in self.types
            if security_type is not SecurityType.VENCRYPT or self.usable_subtypes
        )


class Handshake:
    """One client's handshake; `converse` is resumed by whoever owns the bytes.

    `version`, `security_type` and `subtype` are set as soon as they are agreed on.
    """

    __slots__ = (
        "_channel",
        "_security",
        "_send",
        "is_through",
        "refusal",
        "security_type",
        "subtype",
        "version",
    )

    def __init__(self, security: Security, send: Callable[[bytes], None]) -> None:
        self._security = security
        self._send = send
        self._channel = Channel(send, security.random, security.usable_subtypes)
        self.version: Version | None = None
        self.security_type: SecurityType | None = None
        self.subtype: VeNCryptSubtype | None = None
        self.refusal: str | None = None
        """Why the client is turned away as soon as the protocol has a place to say so."""
        self.is_through = False
        """The client waits for no SecurityResult any more."""

    def converse(self) -> Conversation:
        """From ProtocolVersion to ClientInit; ends early when the client is turned away.

        Raises RemoteError; by then the client was told, where the protocol has a place for it.
        """
        self._send(PROTOCOL_VERSION)
        self.version = version = self._parse_version((yield len(PROTOCOL_VERSION)))
        offered = self._offered(version)
        if self.refusal is not None:
            self._offer_nothing(version, self.refusal)
            return
        if not offered:
            text = "Nothing that this server accepts can be offered to such a viewer."
            self._offer_nothing(version, text)
            raise RemoteError(Reason.REFUSED, text)
        self.security_type = yield from self._choose_security_type(version, offered)
        method = _METHODS.get(self.security_type)
        if method is None:
            self.subtype = yield from vencrypt.negotiate(self._channel)
            method = vencrypt.INNER[self.subtype]
        try:
            yield from method(self._channel)
        except RemoteError as error:
            self.fail(error.text)
            raise
        # the older versions know no SecurityResult after None, and so no place for a refusal
        has_result = self.security_type is not SecurityType.NONE or version is Version.V3_8
        if self.refusal is not None:
            if has_result:
                self.fail(self.refusal)
            return
        if has_result:
            self._send(_U32.pack(SecurityResult.OK))
        self.is_through = True
        shared = (yield 1) != b"\0"
        yield ClientInit(shared)

    def fail(self, text: str) -> None:
        """Tells the client that it is not let in. Only once it waits for its SecurityResult."""
        self._send(_U32.pack(SecurityResult.FAILED))
        if self.version is Version.V3_8:
            self._send(reason_string(text))

    def _parse_version(self, data: bytes) -> Version:
        """Other minor versions than the known ones are what the nearest older one is (Apple's is 889)."""
        match = _VERSION.fullmatch(data)
        minor = int(match[1]) if match else 0
        if minor < Version.V3_3:
            text = "This is an RFB (VNC) server; it speaks the versions 3.3, 3.7 and 3.8."
            self._send(_U32.pack(SecurityType.INVALID) + reason_string(text))
            raise RemoteError(Reason.UNKNOWN_VERSION, text)
        if minor >= Version.V3_8:
            return Version.V3_8
        return Version.V3_7 if minor == Version.V3_7 else Version.V3_3

    def _offered(self, version: Version) -> tuple[SecurityType, ...]:
        offered = self._security.usable_types
        if version is Version.V3_3:
            return tuple(security_type for security_type in offered if security_type in _IN_RFB_3_3)
        return offered

    def _offer_nothing(self, version: Version, text: str) -> None:
        nothing = _U32.pack(SecurityType.INVALID) if version is Version.V3_3 else b"\0"
        self._send(nothing + reason_string(text))

    def _choose_security_type(
        self, version: Version, offered: tuple[SecurityType, ...]
    ) -> Generator[int | Question, bytes, SecurityType]:
        if version is Version.V3_3:
            self._send(_U32.pack(offered[0]))
            return offered[0]
        self._send(bytes((len(offered), *offered)))
        (choice,) = yield 1
        if choice not in offered:
            text = "A security type was chosen that was not offered."
            self.fail(text)
            raise RemoteError(Reason.UNKNOWN_SECURITY, text)
        return SecurityType(choice)
