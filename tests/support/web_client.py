"""A VNC client through a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from support.rfb_client import AsyncRfbClient, no_verification
from support.waiting import DEADLINE


class _WebStream:
    """What `AsyncRfbClient` needs of a stream's two ends, over a WebSocket."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._received = bytearray()
        self._unsent = bytearray()

    async def readexactly(self, count: int) -> bytes:
        while len(self._received) < count:
            message = await self._connection.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise asyncio.IncompleteReadError(bytes(self._received), count)
            self._received += message.data
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    def get_extra_info(self, name: str) -> Any:
        return self._connection.get_extra_info(name)

    def write(self, data: bytes) -> None:
        self._unsent += data

    async def drain(self) -> None:
        data, self._unsent = bytes(self._unsent), bytearray()
        await self._connection.send_bytes(data)


@contextlib.asynccontextmanager
async def by_web(url: str, *, source: str = "", **options: Any) -> AsyncIterator[AsyncRfbClient]:
    """Through the handshake. `source`: the address of ours that it comes from. Raises what `AsyncRfbClient`
    does; nobody's certificate is checked."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0) if source else None)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(url, ssl=no_verification(), max_msg_size=0) as connection,
    ):
        client = AsyncRfbClient(**options)
        client.reader = client.writer = _WebStream(connection)  # type: ignore[assignment]
        async with asyncio.timeout(DEADLINE):
            await client._run(client.handshake())
            await client.flush()
        yield client
