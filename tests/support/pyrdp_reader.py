"""What PyRDP's parsers make of a server's bytes; run by PyRDP's own environment, never by the tests' one.

Standard input: what one server has sent on one connection, TLS taken off, one after the other. Standard
output: a JSON list with an object for every PDU, in order; "pdu" is the name of PyRDP's class, the other
members are its attributes (bytes as hexadecimal digits, enumerations by name). A PDU that is not all there at
the end is left out. Ends with an error where PyRDP cannot read something.
"""

import json
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pyrdp.enum import FastPathOutputType, MCSPDUType, ParserMode, SecurityFlags
from pyrdp.parser import GCCParser, MCSParser, SlowPathParser, X224Parser
from pyrdp.parser.rdp.bitmap import BitmapParser
from pyrdp.parser.rdp.connection import ServerConnectionParser
from pyrdp.parser.rdp.fastpath import BasicFastPathParser
from pyrdp.parser.rdp.licensing import LicensingParser
from pyrdp.parser.rdp.negotiation import NegotiationResponseParser
from pyrdp.parser.rdp.security import BasicSecurityParser
from pyrdp.parser.rdp.virtual_channel.virtual_channel import VirtualChannelParser
from pyrdp.parser.tpkt import TPKTParser
from pyrdp.pdu import X224ConnectionConfirmPDU
from pyrdp_repairs import take_no_certificate

take_no_certificate()


class Reader:
    """One connection."""

    def __init__(self) -> None:
        self.tpkt = TPKTParser()
        self.fast_path = BasicFastPathParser(ParserMode.CLIENT)
        self.io_channel = 0
        self.is_licensed = False

    def read(self, data: bytes) -> Iterator[dict[str, Any]]:
        while data:
            parser = self.tpkt if self.tpkt.isTPKTPDU(data) else self.fast_path
            if not parser.isCompletePDU(data):
                return
            length = parser.getPDULength(data)
            pdu = parser.parse(data[:length])
            data = data[length:]
            if parser is self.tpkt:
                yield from self.x224(pdu.payload)
            else:
                yield from map(self.event, pdu.events)

    def x224(self, data: bytes) -> Iterator[dict[str, Any]]:
        pdu = X224Parser().parse(data)
        if isinstance(pdu, X224ConnectionConfirmPDU):
            yield told(NegotiationResponseParser().parse(pdu.payload))
        else:
            yield from self.mcs(MCSParser().parse(pdu.payload))

    def mcs(self, pdu: Any) -> Iterator[dict[str, Any]]:
        if pdu.header == MCSPDUType.CONNECT_RESPONSE:
            yield told(pdu)
            conference = GCCParser().parse(pdu.payload)
            server = ServerConnectionParser().parse(conference.payload)
            self.io_channel = server.networkData.mcsChannelID
            yield told(conference)
            yield told(server)
        elif pdu.header != MCSPDUType.SEND_DATA_INDICATION:
            yield told(pdu)
        elif pdu.channelID != self.io_channel:
            yield {"channel": pdu.channelID, **told(VirtualChannelParser().parse(pdu.payload))}
        elif not self.is_licensed:
            # with TLS, this is the only PDU here that has a security header
            secured = BasicSecurityParser().parse(pdu.payload)
            assert secured.header & SecurityFlags.SEC_LICENSE_PKT, secured
            self.is_licensed = True
            yield told(LicensingParser().parse(secured.payload))
        else:
            yield told(SlowPathParser().parse(pdu.payload))

    def event(self, event: Any) -> dict[str, Any]:
        found = told(event)
        if event.header & 15 == FastPathOutputType.FASTPATH_UPDATETYPE_BITMAP and not event.header >> 4:
            bitmaps = BitmapParser().parseBitmapUpdateData(event.payload[2:])
            found["bitmaps"] = [told(bitmap) for bitmap in bitmaps]
        return found


def told(value: Any) -> Any:
    """As JSON can say it."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [told(item) for item in value]
    if isinstance(value, dict):
        return {str(told(key)): told(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    return {"pdu": type(value).__name__, **{name: told(item) for name, item in vars(value).items()}}


if __name__ == "__main__":
    print(json.dumps(list(Reader().read(sys.stdin.buffer.read()))))
