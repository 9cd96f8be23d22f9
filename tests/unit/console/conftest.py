import struct
from collections.abc import Callable

import pytest

from sidecar.console.connection import ClientConnection
from sidecar.console.events import Initialized, StreamsAgreed
from sidecar.console.handshake import ClientSecurity
from sidecar.vnc.wire import PseudoEncoding

STREAMS_RECTANGLE = struct.pack(">BxHHHHHi", 0, 1, 1, 0, 0, 0, PseudoEncoding.STREAMS)


@pytest.fixture
def open_connection() -> Callable[..., ClientConnection]:
    """Makes a connection that is through its handshake (3.8, None) and, unless told not to, has streams."""

    def open_connection(*, streams: bool = True) -> ClientConnection:
        connection = ClientConnection(ClientSecurity())
        server_init = struct.pack(">HHB15xI", 640, 480, 32, 2) + b"vm"
        events = list(connection.receive(b"RFB 003.008\n\x01\x01\x00\x00\x00\x00" + server_init))
        assert events == [Initialized("vm")]
        if streams:
            assert list(connection.receive(STREAMS_RECTANGLE)) == [StreamsAgreed(1)]
        connection.outgoing()
        return connection

    return open_connection
