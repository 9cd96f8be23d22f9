"""Client Info PDU: who the client says that it is (MS-RDPBCGR 2.2.1.11)."""

from dataclasses import dataclass, field
from enum import IntFlag

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.security_header import SecurityFlags, parse_security_header
from sidecar.rdp.wire import Reader

MAX_STRING = 1024
"""Bytes of one of its strings; the specification has 512 at most, and 1024 for the working directory."""

_TIME_ZONE_SIZE = 172
_MAX_AUTO_RECONNECT_COOKIE = 128


class InfoFlags(IntFlag):
    """flags of TS_INFO_PACKET; only those that are looked at. INFO_ stands in front in the specification."""

    AUTOLOGON = 0x00000008
    UNICODE = 0x00000010
    NOAUDIOPLAYBACK = 0x00080000
    REMOTECONSOLEAUDIO = 0x00002000
    PASSWORD_IS_SC_PIN = 0x00040000


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """TS_INFO_PACKET. What a client leaves out at its end is empty or 0."""

    flags: InfoFlags
    domain: str
    user: str
    password: str = field(repr=False)
    alternate_shell: str = ""
    working_directory: str = ""
    address: str = ""
    """What the client takes for its own address, as a text."""
    performance_flags: int = 0


def parse_client_info(reader: Reader) -> ClientInfo:
    """Takes a Client Info PDU apart, security header and all."""
    if not parse_security_header(reader) & SecurityFlags.INFO_PKT:
        raise RemoteError(Reason.UNEXPECTED, "A Client Info PDU was expected.")
    reader.skip(4)  # CodePage
    flags = InfoFlags(reader.u32())
    encoding = "utf-16-le" if flags & InfoFlags.UNICODE else "cp1252"
    terminator = 2 if flags & InfoFlags.UNICODE else 1
    sizes = [reader.u16() for _ in range(5)]
    if max(sizes) > MAX_STRING:
        raise RemoteError(Reason.OVERSIZED, f"A string of the Client Info PDU has {max(sizes)} bytes.")
    domain, user, password, shell, directory = (
        _text(reader.take(size + terminator), encoding) for size in sizes
    )
    address, performance_flags = _parse_extra_info(reader, encoding)
    return ClientInfo(flags, domain, user, password, shell, directory, address, performance_flags)


def _parse_extra_info(reader: Reader, encoding: str) -> tuple[str, int]:
    """clientAddress and performanceFlags of TS_EXTENDED_INFO_PACKET, which old clients leave out."""
    if not reader.remaining:
        return "", 0
    reader.skip(2)  # clientAddressFamily
    address = _text(_short(reader, MAX_STRING), encoding)
    _short(reader, MAX_STRING)  # clientDir
    if not reader.remaining:
        return address, 0
    reader.skip(_TIME_ZONE_SIZE)
    if not reader.remaining:
        return address, 0
    reader.skip(4)  # clientSessionId
    performance_flags = reader.u32() if reader.remaining else 0
    if reader.remaining:
        _short(reader, _MAX_AUTO_RECONNECT_COOKIE)
    # behind it comes what later versions have added, of no interest
    return address, performance_flags


def _short(reader: Reader, limit: int) -> bytes:
    size = reader.u16()
    if size > limit:
        raise reader.malformed(f"a string has {size} bytes")
    return reader.take(size)


def _text(data: bytes, encoding: str) -> str:
    return data.decode(encoding, "replace").partition("\0")[0]
