import struct
from collections.abc import Callable, Sequence

import pytest

from sidecar.encode.pixel_form import CANONICAL
from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.connection import MAX_CUT_TEXT, ServerConnection
from sidecar.vnc.handshake import Security
from sidecar.vnc.wire import SecurityType

OpenSession = Callable[..., ServerConnection]


@pytest.fixture
def open_session() -> OpenSession:
    """Makes a connection whose handshake (3.8, None) is through and which has had a list of encodings."""

    def open_session(
        encodings: Sequence[int] = (),
        *,
        offered: Extension = ALWAYS_OFFERED,
        max_cut_text: int = MAX_CUT_TEXT,
    ) -> ServerConnection:
        connection = ServerConnection(
            Security((SecurityType.NONE,), bytes), offered=offered, max_cut_text=max_cut_text
        )
        list(connection.receive(b"RFB 003.008\n\x01\x01"))
        connection.send_server_init(640, 480, CANONICAL, "test")
        connection.outgoing()
        if encodings:
            list(connection.receive(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings)))
        return connection

    return open_session
