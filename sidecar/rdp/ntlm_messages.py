"""The three messages of NTLM's handshake (MS-NLMP 2.2.1)."""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.wire import Reader

SIGNATURE = b"NTLMSSP\0"

SERVER_NAME = "VDI-SIDECAR"
"""What the server calls itself, and the domain that it is in; at most 15 characters, as for NetBIOS."""

_VERSION = bytes.fromhex("0a0063450000000f")
"""VERSION (2.2.2.10): Windows 10 build 17763, NTLMSSP_REVISION_W2K3. Nobody reads it but people."""

LONGEST_NAME = 1024
"""Bytes of a user's or domain's name; Windows has at most 512."""

_MIC_SIZE = 16
_PROOF_SIZE = 16
_HEADER_SIZE = 64
"""Bytes of an AUTHENTICATE_MESSAGE up to its flags: all that old clients have in front of the payload."""

_VERSION_SIZE = 8
_FILETIME_EPOCH = 11_644_473_600
"""Seconds from 1601 to 1970."""


class MessageType(IntEnum):
    """MessageType."""

    NEGOTIATE = 1
    CHALLENGE = 2
    AUTHENTICATE = 3


class NegotiateFlags(IntFlag):
    """NegotiateFlags (2.2.2.5), those that this server knows."""

    UNICODE = 0x00000001
    REQUEST_TARGET = 0x00000004
    SIGN = 0x00000010
    SEAL = 0x00000020
    NTLM = 0x00000200
    ANONYMOUS = 0x00000800
    ALWAYS_SIGN = 0x00008000
    TARGET_TYPE_SERVER = 0x00020000
    EXTENDED_SESSION_SECURITY = 0x00080000
    TARGET_INFO = 0x00800000
    VERSION = 0x02000000
    KEYS_128 = 0x20000000
    KEY_EXCHANGE = 0x40000000
    KEYS_56 = 0x80000000


class AvId(IntEnum):
    """AvId of AV_PAIR (2.2.2.1)."""

    EOL = 0
    NB_COMPUTER_NAME = 1
    NB_DOMAIN_NAME = 2
    DNS_COMPUTER_NAME = 3
    DNS_DOMAIN_NAME = 4
    FLAGS = 6
    TIMESTAMP = 7
    CHANNEL_BINDINGS = 10


AV_FLAG_MIC = 0x00000002
"""In the value of AvId.FLAGS: the message has a MIC."""


def parse_negotiate(token: bytes) -> NegotiateFlags:
    """The flags of a NEGOTIATE_MESSAGE (2.2.1.1); the rest of it says nothing. Raises RemoteError."""
    return NegotiateFlags(_begin(token, MessageType.NEGOTIATE).u32())


def pack_challenge(flags: NegotiateFlags, server_challenge: bytes, now: float) -> bytes:
    """A CHALLENGE_MESSAGE (2.2.1.2). `server_challenge`: 8 bytes; `now`: seconds since 1970.

    As it tells the time, clients send a MIC (3.1.5.1.2).
    """
    name = SERVER_NAME.encode("utf-16-le")
    dns_name = SERVER_NAME.lower().encode("utf-16-le")
    timestamp = struct.pack("<Q", int((now + _FILETIME_EPOCH) * 10_000_000))
    information = b"".join(
        struct.pack("<HH", av_id, len(value)) + value
        for av_id, value in (
            (AvId.NB_DOMAIN_NAME, name),
            (AvId.NB_COMPUTER_NAME, name),
            (AvId.DNS_DOMAIN_NAME, dns_name),
            (AvId.DNS_COMPUTER_NAME, dns_name),
            (AvId.TIMESTAMP, timestamp),
            (AvId.EOL, b""),
        )
    )
    payload = 56
    return (
        SIGNATURE
        + struct.pack(
            "<IHHII8s8x", MessageType.CHALLENGE, len(name), len(name), payload, flags, server_challenge
        )
        + struct.pack("<HHI", len(information), len(information), payload + len(name))
        + _VERSION
        + name
        + information
    )


@dataclass(frozen=True, slots=True)
class Authenticate:
    """An AUTHENTICATE_MESSAGE (2.2.1.3)."""

    user: str
    domain: bytes
    """As it came, in UTF-16: the proof is made of these very bytes."""
    lm_response: bytes
    nt_response: bytes
    session_key: bytes
    """EncryptedRandomSessionKey."""
    flags: NegotiateFlags
    mic_at: int
    """Where a MIC is, if there is one."""

    @classmethod
    def parse(cls, token: bytes) -> "Authenticate":
        """Raises RemoteError. Text must be Unicode: nothing else was negotiated."""
        reader = _begin(token, MessageType.AUTHENTICATE)
        fields = [_field(reader) for _ in range(6)]
        flags = NegotiateFlags(reader.u32())
        lm_response, nt_response, domain, user, _workstation, session_key = (
            _content(token, length, offset) for length, offset in fields
        )
        if max(len(user), len(domain)) > LONGEST_NAME:
            raise RemoteError(Reason.OVERSIZED, f"a name has more than {LONGEST_NAME} bytes")
        try:
            user_name = user.decode("utf-16-le")
        except UnicodeDecodeError:
            raise reader.malformed("the user's name is not UTF-16") from None
        first = min((offset for length, offset in fields if length), default=len(token))
        # the version is left out by some clients that have not negotiated one
        versioned = NegotiateFlags.VERSION in flags or first >= _HEADER_SIZE + _VERSION_SIZE + _MIC_SIZE
        mic_at = _HEADER_SIZE + (_VERSION_SIZE if versioned else 0)
        return cls(user_name, domain, lm_response, nt_response, session_key, flags, mic_at)

    def mic(self, token: bytes) -> tuple[bytes, bytes]:
        """The MIC of the message `token`, and the message with zeros in its place, which it is made of."""
        end = self.mic_at + _MIC_SIZE
        if len(token) < end:
            raise RemoteError(Reason.TRUNCATED, "an AUTHENTICATE_MESSAGE ends before its MIC")
        return token[self.mic_at : end], token[: self.mic_at] + bytes(_MIC_SIZE) + token[end:]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What counts of the AV_PAIRs of a client."""

    has_mic: bool
    """Whether the message has a MIC."""
    channel_bindings: bytes | None
    """The MD5 hash of the channel bindings; None where the client binds to none."""


@dataclass(frozen=True, slots=True)
class ClientChallenge:
    """What an NTLMv2 response holds besides its proof, NTLMv2_CLIENT_CHALLENGE (2.2.2.7)."""

    proof: bytes
    raw: bytes
    """The structure as it came: the proof is made of these very bytes."""

    @classmethod
    def parse(cls, nt_response: bytes) -> "ClientChallenge":
        """`nt_response`: more than 24 bytes, as NTLMv1's has. Raises RemoteError."""
        response = Reader(nt_response, "an NTLMv2_RESPONSE")
        proof = response.take(_PROOF_SIZE)
        raw = response.rest()
        reader = Reader(raw, "an NTLMv2_CLIENT_CHALLENGE")
        if reader.u8() != 1 or reader.u8() != 1:
            raise reader.malformed("it has another version than 1")
        return cls(proof, raw)

    def attributes(self) -> Attributes:
        """What it says besides. To be asked once the proof is right: before, it may be there to waste time.

        Raises RemoteError.
        """
        reader = Reader(self.raw, "an NTLMv2_CLIENT_CHALLENGE")
        # versions, reserved, the time, the client's challenge, reserved
        reader.skip(2 + 2 + 4 + 8 + 8 + 4)
        pairs: dict[int, bytes] = {}
        # what follows the end is padding, which FreeRDP sends
        while (av_id := reader.u16()) != AvId.EOL:
            pairs.setdefault(av_id, reader.take(reader.u16()))
        flags = int.from_bytes(pairs.get(AvId.FLAGS, b""), "little")
        bindings = pairs.get(AvId.CHANNEL_BINDINGS, b"")
        return Attributes(bool(flags & AV_FLAG_MIC), bindings if any(bindings) else None)


def _begin(token: bytes, message_type: MessageType) -> Reader:
    reader = Reader(token, f"an NTLM {message_type.name} message")
    if reader.take(len(SIGNATURE)) != SIGNATURE:
        raise reader.malformed("it has no signature")
    if (found := reader.u32()) != message_type:
        raise RemoteError(Reason.UNEXPECTED, f"NTLM message {found} comes where {message_type.name} should")
    return reader


def _field(reader: Reader) -> tuple[int, int]:
    """Length and offset of a field in the payload."""
    length = reader.u16()
    reader.skip(2)
    return length, reader.u32()


def _content(token: bytes, length: int, offset: int) -> bytes:
    if length and offset + length > len(token):
        raise RemoteError(Reason.TRUNCATED, "a field of an AUTHENTICATE_MESSAGE lies beyond its end")
    return token[offset : offset + length]
